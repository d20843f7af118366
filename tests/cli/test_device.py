from __future__ import annotations

import pytest
import torch

from gptwright.cli.device import device_of
from gptwright.cli.talk import chat, complete
from gptwright.errors import InputError


@pytest.mark.parametrize(("there", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_a_model_answers_on_the_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, there: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert device_of("auto") == chosen
    assert device_of("cpu") == "cpu"


@pytest.mark.parametrize("asked", ["cuda", "gpu"])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for talk in (
        lambda: chat("nowhere", device=asked, system=None),
        lambda: complete("", "", device=asked, as_json=True),
    ):
        with pytest.raises(InputError, match=f"--device {asked} is not there: give cpu, or cuda where"):
            talk()

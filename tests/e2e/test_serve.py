"""`gptwright serve` as an operator starts and stops it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gptwright.cli.serving import load
from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.folder import save_model
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.serve.models import ServedModel
from gptwright.tokenizer.tokenizer import Tokenizer

httpx = pytest.importorskip("httpx", reason="needs httpx, which the extra dev brings")
pytest.importorskip("uvicorn")

TOKENS = 6000


@pytest.fixture
def talkative(finished: Any, tmp_path: Path) -> Path:
    """A model that has room for long answers, with the tokenizer of the finished run."""
    tokenizer, folder = Tokenizer.load(finished[0] / "base"), tmp_path / "talkative"
    shape = {"width": 32, "layers": 1, "heads": 2, "kv_heads": 2, "head_dim": 16, "hidden": 64}
    model = LanguageModel(ModelConfig(vocab_size=tokenizer.vocab_size, context=8192, **shape))
    initialise(model, seed=0)
    folder.mkdir()
    save_model(model, folder, eos=tokenizer.document_end, pad=tokenizer.pad)
    tokenizer.save(folder)
    return folder


@pytest.fixture
def server(talkative: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, started, and its address."""
    command = [sys.executable, "-m", "gptwright.cli.main", "serve", str(talkative), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        address = next(found[0] for line in lines if (found := re.search(r"http://\S+(?=/v1)", line)))
        yield process, address
        process.kill()


def test_what_cannot_decode_here_is_refused(talkative: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--device tpu is not there"):
        load(str(talkative), device="tpu")
    monkeypatch.setattr("gptwright.engine.engine.Decoder.of", lambda *_, **__: None)
    assert load(str(talkative)).name == "talkative"
    with pytest.raises(InputError, match="--weights int8 needs a CPU and a C\\+\\+ compiler"):
        load(str(talkative), "int8")


def test_told_to_stop_it_ends_what_it_has_begun(server: tuple[subprocess.Popen[str], str], talkative: Path) -> None:
    process, address = server
    tokenizer = Tokenizer.load(talkative)
    never = {str(end): -100 for end in (tokenizer.document_end, tokenizer.end_of_turn)}
    body = {"model": "talkative", "prompt": "Once", "max_tokens": TOKENS, "stream": True, "logit_bias": never}
    with (
        httpx.Client(timeout=60) as client,
        client.stream("POST", f"{address}/v1/completions", json=body) as response,
    ):
        lines = response.iter_lines()
        assert next(lines).startswith("data: {")
        process.send_signal(signal.SIGTERM)
        rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    assert '"finish_reason": "length"' in rest[-2]
    assert process.wait(60) == -signal.SIGTERM
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health")


def test_the_weights_asked_for_are_those_that_answer(talkative: Path) -> None:
    served = load(f"small={talkative}", "int8")
    assert isinstance(served, ServedModel)
    decoder = served.engine.decoder()
    assert decoder is None or decoder.weights == "int8"
    assert served.engine.decoder() is decoder

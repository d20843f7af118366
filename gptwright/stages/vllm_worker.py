"""What a vLLM server is given to take a policy's weights and to say which it has.

    VLLM_SERVER_DEV_MODE=1 vllm serve runs/mine/sft --worker-extension-cls gptwright.stages.vllm_worker.PolicyWorker

vLLM adds this class to its workers; `stages.server` calls its methods through /collective_rpc. Nothing here asks for
more than what vLLM itself installs.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WEIGHTS = "*.safetensors"


class PolicyWorker:
    """A version is a checksum of the weights' files, so a worker that says it has read those very bytes."""

    model_runner: Any
    """vLLM's own."""
    taken_version = ""

    def take_policy(self, folder: str) -> str:
        """Put the weights of a Hugging Face folder into the model that answers; returns their version."""
        self.taken_version = ""  # should reading fail half way, the model is none of the two
        reload = getattr(self.model_runner, "reload_weights", None)
        if reload is not None and "weights_iterator" in inspect.signature(reload).parameters:
            reload(weights_iterator=_tensors(Path(folder)))
        else:  # before 0.15, where nothing is laid out anew after loading
            self.model_runner.model.load_weights(weights=_tensors(Path(folder)))
        self.taken_version = version_of(Path(folder))
        return self.taken_version

    def which_policy(self) -> str:
        """The version that answers now; empty before the first."""
        return self.taken_version


def version_of(folder: Path) -> str:
    """sha256 over the weights' files of a folder, in hex."""
    found = hashlib.sha256()
    for file in sorted(folder.glob(WEIGHTS)):
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()


def _tensors(folder: Path) -> Iterator[tuple[str, Any]]:
    from safetensors.torch import load_file  # noqa: PLC0415  (torch, which the trainer's side need not load for this)

    for file in sorted(folder.glob(WEIGHTS)):
        yield from load_file(file).items()

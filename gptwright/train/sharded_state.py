"""Training state written and read by all ranks together (torch.distributed.checkpoint), each its own part.

The parts are safetensors files whose headers say where each piece belongs, so that any number of ranks can read what
another number wrote, a single process included. The same reader takes what a single process wrote.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from gptwright.errors import RunError
from gptwright.train.distributed import Ranks, others_alive

Like = Callable[[Iterable[str]], dict[str, torch.Tensor]]
"""Names -> tensors to take placement from, those that have any."""


def save_parts(tensors: dict[str, torch.Tensor], folder: Path, ranks: Ranks) -> None:
    """Write every tensor once, spread over the ranks; sharded ones piece by piece. All ranks call this together."""
    from torch.distributed import checkpoint as dcp  # noqa: PLC0415  (half a second, for those who need it)

    writer = dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    with _named_failures():
        dcp.save(dict(tensors), storage_writer=writer, process_group=ranks.group)


def load_parts(folder: Path, like: Like, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Every tensor in `folder`; where `like` has one of the same shape, with that one's device and sharding."""
    from torch.distributed import checkpoint as dcp  # noqa: PLC0415
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata  # noqa: PLC0415

    reader = dcp.HuggingFaceStorageReader(str(folder))
    stored = reader.read_metadata().state_dict_metadata
    models = like(stored)
    found: dict[str, torch.Tensor] = {}
    for name, each in stored.items():
        assert isinstance(each, TensorStorageMetadata)  # save_parts writes nothing else
        model = models.get(name)
        if model is not None and model.shape == each.size:
            found[name] = torch.empty_like(model, dtype=each.properties.dtype)
        else:
            found[name] = torch.empty(each.size, dtype=each.properties.dtype)
    with _named_failures(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # one process, as was meant
        dcp.load(found, storage_reader=reader, process_group=ranks.group, no_dist=ranks.size == 1)
    return found


@contextmanager
def _named_failures() -> Iterator[None]:
    """One sentence that names the rank, in place of torch's CheckpointException. A full disk stays an OSError."""
    from torch.distributed.checkpoint import CheckpointException  # noqa: PLC0415

    try:
        with others_alive():
            yield
    except CheckpointException as error:
        rank, (cause, _) = next(iter(error.failures.items()))
        if isinstance(cause, OSError):
            raise cause from error
        raise RunError(f"rank {rank} could not write or read its part of a checkpoint: {cause}") from error

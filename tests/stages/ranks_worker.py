"""Tiny pretrainings for test_many_ranks.py: by itself in the test's process, and on two ranks under torchrun.

torchrun --nproc_per_node 2 tests/stages/ranks_worker.py FOLDER
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from gptwright.data.packing import PackedCorpus
from gptwright.errors import InputError, RunError
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise, without_weights
from gptwright.recipe import MachineSettings, OptimizerSettings, PretrainSettings
from gptwright.stages.corpus import Corpus
from gptwright.stages.pretrain import pretrain
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.bpe import train_characters
from gptwright.train.distributed import ALONE, Ranks, joined
from gptwright.train.fast_path import FastPath

CONTEXT, ROWS, STEPS = 16, 8, 6
DEATH = 3


class Killed(BaseException):
    """Stands for the end of the process."""


class DyingRows(PackedCorpus):
    """Ends the process when rows of step `DEATH` are asked for."""

    def rows(self, start: int, count: int) -> np.ndarray:
        if start >= DEATH * ROWS:
            raise Killed
        return super().rows(start, count)


def train(
    folder: Path,
    ranks: Ranks = ALONE,
    *,
    shard: Any = "never",
    muon: bool = False,
    tied: bool = True,
    micro: int | None = None,
    precision: str = "float32",
    dies: bool = False,
    prompts: tuple[str, ...] = (),
    ema: float = 0.0,
    bare: bool = False,
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """(weights, each step's loss and gradient norm) after six steps, or nothing after a death before the fourth.

    `folder` keeps checkpoints and log. `bare` ranks but the first give a model without weights.
    """
    tokenizer = train_characters([])
    text = "the cat sat on the mat, and what the dog saw was a hat and a bat"
    streams = {"web": np.array([*tokenizer.encode(text), tokenizer.document_end] * 40, dtype=np.uint16)}
    corpus = Corpus((DyingRows if dies else PackedCorpus)(streams, {"web": 1.0}, context=CONTEXT, seed=0), streams)
    shape = ModelConfig(
        vocab_size=tokenizer.vocab_size, context=CONTEXT, width=32, layers=2, heads=2, kv_heads=1, head_dim=16,
        hidden=48, tied=tied,
    )  # fmt: skip
    # Each rank begins elsewhere, or with nothing: that they train one model is theirs to see to.
    model = without_weights(shape) if bare and not ranks.first else LanguageModel(shape)
    if not model.lm_head.weight.is_meta:
        initialise(model, seed=ranks.rank)
    machine = MachineSettings(device="cpu", precision="float32", checkpoint_seconds=0.0 if dies else 1e9, shard=shard)
    spot = Workspace(folder, "base", 0, machine, FastPath("cpu", precision), ranks)
    # A large eps keeps the update in proportion to the gradient, so that rounding stays rounding.
    optimizer = OptimizerSettings(learning_rate=1e-2, muon=muon, eps=1e-4, clip=0.5)
    settings = PretrainSettings(
        tokens=STEPS * ROWS * CONTEXT, batch_rows=ROWS, micro_rows=micro, evaluations=1, optimizer=optimizer,
        sample_prompts=prompts, ema=ema,
    )  # fmt: skip
    try:
        pretrain(model, tokenizer, corpus, settings, spot)
    except Killed:
        return {}, []
    lines = (spot.checkpoints / "log" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    weights = {} if model.lm_head.weight.is_meta else {k: v.clone() for k, v in model.state_dict().items()}
    return weights, [row[name] for row in rows if "loss" in row for name in ("loss", "grad_norm")]


def on_two_ranks(folder: Path, ranks: Ranks) -> None:
    """Every training that the tests look at, in one start of torchrun."""

    def keep(name: str, weights: dict[str, torch.Tensor], losses: list[float]) -> None:
        if ranks.first:
            save_file({key: value for key, value in weights.items() if key != "lm_head.weight" or "untied" in name},
                      folder / f"{name}.safetensors")  # fmt: skip
            (folder / f"{name}.json").write_text(json.dumps(losses), encoding="utf-8")

    for shard in ("never", "always"):
        keep(f"adamw-{shard}", *train(folder / f"adamw-{shard}", ranks, shard=shard))
        keep(f"muon-{shard}", *train(folder / f"muon-{shard}", ranks, shard=shard, muon=True))
        train(folder / f"dying-{shard}", ranks, shard=shard, dies=True)
        ranks.of_first(lambda shard=shard: shutil.copytree(folder / f"dying-{shard}", folder / f"alone-{shard}"))
        keep(f"resumed-{shard}", *train(folder / f"dying-{shard}", ranks, shard=shard))
        # The test's process left this one behind, killed.
        ranks.of_first(lambda shard=shard: shutil.copytree(folder / "from-one", folder / f"from-one-{shard}"))
        keep(f"from-one-{shard}", *train(folder / f"from-one-{shard}", ranks, shard=shard))
    how: dict[str, Any] = {"tied": False, "micro": 2, "prompts": ("the",), "ema": 0.5, "bare": True}
    for shard in ("never", "always"):
        keep(f"untied-micro-{shard}", *train(folder / f"untied-micro-{shard}", ranks, shard=shard, **how))
    keep("bfloat16", *train(folder / "bfloat16", ranks, shard="always", precision="bfloat16"))


def exchanges(ranks: Ranks) -> dict[str, Any]:
    """What this rank saw of each kind of exchange."""
    seen: dict[str, Any] = {"of_first": ranks.of_first(lambda: f"by rank {ranks.rank}")}
    seen["gather"] = ranks.gather(10 + ranks.rank)
    tensors = [torch.full((2,), 1.0 + ranks.rank), torch.full((1, 3), 10.0 * (1 + ranks.rank))]
    ranks.sum_tensors(tensors)
    seen["sum"] = [tensor.tolist() for tensor in tensors]
    ranks.take_from_first(tensors[0].mul_(1 + ranks.rank))
    for name, call in {
        "failure": lambda: ranks.of_first(lambda: 1 // 0),
        "mismatch": lambda: ranks.check_same({"recipe": "same", "corpus": f"of-{ranks.rank}"}),
    }.items():
        try:
            call()
        except (InputError, RunError, ZeroDivisionError) as error:
            seen[name] = f"{type(error).__name__}: {error}"
    ranks.check_same({"recipe": "same"})
    return seen


def main() -> None:
    folder = Path(sys.argv[1])
    with joined("cpu") as ranks:
        (folder / f"seen-{ranks.rank}.json").write_text(json.dumps(exchanges(ranks)), encoding="utf-8")
        on_two_ranks(folder, ranks)


if __name__ == "__main__":
    main()

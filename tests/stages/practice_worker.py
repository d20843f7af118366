"""Tiny practices for test_practice_on_many_ranks.py: by itself in the test's process, and on two ranks under torchrun.

torchrun --nproc_per_node 2 tests/stages/practice_worker.py FOLDER
"""

from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, scalar_from
from gptwright.practice_settings import GrpoSettings, PpoSettings
from gptwright.recipe import MachineSettings, OptimizerSettings, SamplingServer
from gptwright.records import Message, Prompt
from gptwright.stages import packing, practice
from gptwright.stages.grpo import Grpo, grpo
from gptwright.stages.guard import watched_parts
from gptwright.stages.ppo import Ppo, ppo, value_model_from
from gptwright.stages.rewards import Answered, weighted
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.bpe import train_characters
from gptwright.train.distributed import ALONE, Ranks, joined
from gptwright.train.fast_path import FastPath

LETTERS = [Prompt(letter, (Message("user", letter),)) for letter in "abcdefghijklmnop"]
KINDS: dict[str, dict[str, Any]] = {
    "ppo": {"stage": "ppo", "epochs": 2},
    "shared": {"stage": "ppo", "value_model": "shared"},
    "grpo": {"stage": "grpo", "answers": 2, "baseline": "group", "kl": "loss"},
    "reinforce": {"stage": "grpo", "answers": 1, "baseline": "batch", "kl": "reward"},
}
# Sharded ranks gather weights together: each minibatch has 3 prompts for one rank and 2 for the other, one at a time.
FEW = {"shard": "always", "episodes": 10, "row_tokens": 1}
KINDS |= {
    "sharded ppo": {"stage": "ppo", "epochs": 2, "ema": 0.5, **FEW},
    "sharded shared": {"stage": "ppo", "value_model": "shared", **FEW},
    "sharded grpo": {"stage": "grpo", "answers": 2, "baseline": "group", "kl": "loss", **FEW},
}
DEATH, ROW_TOKENS = 2, packing.ROW_TOKENS


class Killed(BaseException):
    """Stands for the end of the process."""


def letters_a(answers: Sequence[Answered]) -> list[float]:
    return [each.text.count("a") / 4 for each in answers]


def pretrain_batch(index: int, rows: int) -> tuple[Tensor, Tensor]:
    ids = torch.randint(256, (rows, 49), generator=torch.Generator().manual_seed(index))
    return ids[:, :-1], ids[:, 1:]


def model_of(weights: Path, vocab_size: int) -> LanguageModel:
    """What all ranks start from."""
    shape = ModelConfig(
        vocab_size=vocab_size, context=48, width=32, layers=2, heads=2, kv_heads=1, head_dim=16, hidden=48, tied=True
    )
    model = LanguageModel(shape)
    model.load_state_dict(load_file(weights), strict=False)
    return model


def practised(
    folder: Path, weights: Path, kind: str, ranks: Ranks = ALONE, *, dies: bool = False, url: str | None = None
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """(the policy's weights, each round's metrics) after four rounds, or nothing after a death before the third.

    A server at `url` samples the answers, if there is one.
    """
    settings = dict(KINDS[kind])
    stage, shard = settings.pop("stage"), settings.pop("shard", "never")
    row_tokens = settings.pop("row_tokens", ROW_TOKENS)
    tokenizer = train_characters([])
    model = model_of(weights, tokenizer.vocab_size)
    machine = MachineSettings(
        device="cpu", precision="float32", checkpoint_seconds=0.0 if dies else 1e9, shard=shard,
        sampling_server=SamplingServer(url=url) if url else None,
    )  # fmt: skip
    spot = Workspace(folder, stage, 0, machine, FastPath("cpu", "float32"), ranks)

    def reward(answers: Sequence[Answered]) -> list[float]:
        return ranks.shared_out(answers, letters_a)

    # A large eps keeps the update in proportion to the gradient, so that rounding stays rounding.
    adam = OptimizerSettings(
        learning_rate=1e-2, eps=1e-3, muon=False, weight_decay=0.0, schedule="constant", warmup=0.0, clip=0.5
    )
    settings = {
        "steps": 4, "episodes": 12, "minibatches": 2, "max_new_tokens": 6, "pretrain_mix": 0.2, "pretrain_rows": 3,
        "policy": adam,
    } | settings  # fmt: skip
    common = [weighted({"score": (reward, 1.0), **watched_parts({})}), tokenizer, LETTERS, pretrain_batch]
    trainer: Any
    if stage == "ppo":
        shared = settings.get("value_model") == "shared"
        values = None if shared else value_model_from(scalar_from(copy.deepcopy(model), 0))
        chosen = PpoSettings(**settings, value=adam, value_warmup=1, approx_kl_limit=0.02)
        trainer, play = Ppo(model, values, *common, chosen, spot), ppo
    else:
        trainer, play = Grpo(model, *common, GrpoSettings(**settings), spot), grpo
    whole_round = trainer.round

    def round_or_death(step: int) -> dict[str, float]:
        if dies and step == DEATH:
            raise Killed
        return dict(whole_round(step))

    trainer.round = round_or_death
    packing.ROW_TOKENS = practice.ROW_TOKENS = row_tokens
    try:
        play(trainer, lambda model: {"measured": float(sum(p.detach().double().sum() for p in model.parameters()))})
    except Killed:
        return {}, []
    finally:
        packing.ROW_TOKENS = practice.ROW_TOKENS = ROW_TOKENS
    lines = (spot.checkpoints / "log" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    sharded = [type(value) for value in trainer.policy.model.parameters() if type(value) is not torch.nn.Parameter]
    assert bool(sharded) == (shard == "always" and ranks.size > 1), sharded
    weights_now = {name: value.clone() for name, value in trainer.policy.result().state_dict().items()}
    weights_now.pop("lm_head.weight")
    return weights_now, [json.loads(line) for line in lines]


def main() -> None:
    folder = Path(sys.argv[1])
    weights = folder / "start.safetensors"
    with joined("cpu") as ranks:

        def keep(name: str, found: tuple[dict[str, Tensor], list[dict[str, float]]]) -> None:
            save_file(found[0], folder / f"{name}-{ranks.rank}.safetensors")
            if ranks.first:
                (folder / f"{name}.json").write_text(json.dumps(found[1]), encoding="utf-8")

        for kind in KINDS:
            keep(kind, practised(folder / kind, weights, kind, ranks))
        for kind in ("ppo", "sharded ppo"):
            dying, left = folder / f"dying {kind}", folder / f"left {kind}"
            practised(dying, weights, kind, ranks, dies=True)
            ranks.of_first(partial(shutil.copytree, dying, left))
            keep(f"resumed {kind}", practised(dying, weights, kind, ranks))


if __name__ == "__main__":
    main()

"""Known steps of the reward model, PPO, GRPO and DPO: a refactoring must walk the same path.

`practice.json` beside this file holds what a few seeded float32 steps on the CPU measure. What is sampled is given, not
drawn: one rounding could change a draw and with it everything. A change that is meant to alter numbers writes it anew,
from the repository's root, and says why in the same commit:

    .venv/bin/python tests/golden/test_practice.py
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from gptwright.engine.request import Completion
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise, scalar_from
from gptwright.practice_settings import DpoSettings, GrpoSettings, PpoSettings
from gptwright.recipe import MachineSettings, OptimizerSettings, RewardSettings
from gptwright.records import Comparison, Message, Prompt
from gptwright.stages import rollout
from gptwright.stages.dpo import DpoTrainer
from gptwright.stages.grpo import Grpo
from gptwright.stages.ppo import Ppo, value_model_from
from gptwright.stages.reward import RewardTrainer
from gptwright.stages.rewards import Answered, weighted
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.bpe import train_characters
from gptwright.train.fast_path import FastPath

KNOWN = Path(__file__).parent / "practice.json"
STEPS = 6
TOKENIZER = train_characters([])
PROMPTS = [Prompt(letter, (Message("user", letter),)) for letter in "abcdefgh"]
COMPARED = [
    Comparison(prompt, ("no tea", "yes", "perhaps a map", "no"), ranks)
    for prompt, ranks in zip(PROMPTS, [(1, 0, 2, 2), (0, 1, 1, 2), (3, 0, 1, 2), (0, 0, 1, 1)] * 2, strict=True)
]
# Small rate, large eps: rounding, which differs between processors, must not grow into other digits.
GENTLE = OptimizerSettings(learning_rate=1e-3, eps=1e-4, muon=False, warmup=0.1, weight_decay=0.0)
TOLD = {
    "reward": ("loss", "grad_norm"),
    "dpo": ("loss", "margin", "grad_norm"),
    "grpo": ("reward/mean", "kl/k3", "entropy", "policy/loss", "policy/own_grad_norm", "pretrain/loss"),
    "ppo": ("reward/mean", "kl/k3", "entropy", "policy/loss", "policy/own_grad_norm", "pretrain/loss", "value/loss"),
}


def model(seed: int) -> LanguageModel:
    shape = ModelConfig(
        vocab_size=TOKENIZER.vocab_size, context=48, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, hidden=48
    )
    made = LanguageModel(shape)
    initialise(made, seed)
    return made


def given_answers(_: Any, __: Any, prompts: Sequence[Prompt], *, seed: int, each: int = 1, **___: Any) -> Any:
    """In place of sampling: words that depend on the round alone; one in five is cut short."""
    draws = torch.Generator().manual_seed(seed)

    def answer() -> Completion:
        count = int(torch.randint(2, 7, (), generator=draws))
        ids = (97 + torch.randint(4, (count,), generator=draws)).tolist()
        cut = bool(torch.rand((), generator=draws) < 0.2)
        ids = ids if cut else [*ids, TOKENIZER.end_of_turn]
        as_likely_as_any = [-math.log(TOKENIZER.vocab_size)] * len(ids)
        return Completion(ids, as_likely_as_any, "length" if cut else "stop")

    return [[answer() for _ in range(each)] for _ in prompts]


def pretrain_batch(index: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(256, (rows, 49), generator=torch.Generator().manual_seed(index))
    return ids[:, :-1], ids[:, 1:]


def share_of_a(answers: Sequence[Answered]) -> list[float]:
    return [each.text.count("a") / 4 for each in answers]


def steps_of(stage: str, folder: Path) -> Callable[[int], dict[str, float]]:
    """What does step `n` of a stage, and gives its figures."""
    spot = Workspace(folder, stage, 0, MachineSettings(device="cpu"), FastPath("cpu", "float32"))
    common: dict[str, Any] = {
        "steps": STEPS, "episodes": 8, "minibatches": 2, "max_new_tokens": 8, "beta": 0.1, "pretrain_rows": 1,
        "policy": GENTLE,
    }  # fmt: skip
    reward = weighted({"a": (share_of_a, 1.0)})
    if stage == "reward":
        settings = RewardSettings(optimizer=GENTLE, batch_prompts=4, epochs=3, likelihood=True)
        return RewardTrainer(model(1), TOKENIZER, COMPARED, COMPARED[:2], settings, spot).step
    if stage == "dpo":
        chosen = DpoSettings(optimizer=GENTLE, batch_prompts=4, epochs=3)
        return DpoTrainer(model(1), TOKENIZER, COMPARED, COMPARED[:2], chosen, spot).step
    if stage == "grpo":
        grouped = GrpoSettings(answers=4, **common)
        return Grpo(model(1), reward, TOKENIZER, PROMPTS, pretrain_batch, grouped, spot).round
    values = value_model_from(scalar_from(model(2), 2))
    practised = PpoSettings(value=GENTLE, value_warmup=1, **common)
    return Ppo(model(1), values, reward, TOKENIZER, PROMPTS, pretrain_batch, practised, spot).round


def walk(stage: str) -> dict[str, list[float | None]]:
    """Each figure over the steps, to 5 significant digits; none of a policy that does not learn yet."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(rollout, "sample_answers", given_answers),
    ):
        do_step = steps_of(stage, Path(folder))
        rows = [do_step(step) for step in range(STEPS)]
    return {name: [float(f"{row[name]:.5g}") if name in row else None for row in rows] for name in TOLD[stage]}


@pytest.mark.parametrize("stage", TOLD)
def test_practice_walks_the_known_path(stage: str) -> None:
    known = json.loads(KNOWN.read_text(encoding="utf-8"))[stage]
    for name, values in walk(stage).items():
        learnt = [(value, known[name][step]) for step, value in enumerate(values) if value is not None]
        assert [value is None for value in values] == [value is None for value in known[name]], name
        assert [value for value, _ in learnt] == pytest.approx([value for _, value in learnt], rel=5e-4, abs=1e-6), name


@pytest.mark.parametrize("stage", TOLD)
def test_the_known_path_moves(stage: str) -> None:
    known = json.loads(KNOWN.read_text(encoding="utf-8"))[stage]
    assert set(known) == set(TOLD[stage])
    for name, values in known.items():
        assert len(values) == STEPS and len(set(values)) > 2, name


if __name__ == "__main__":
    KNOWN.write_text(json.dumps({stage: walk(stage) for stage in TOLD}, indent=1) + "\n", encoding="utf-8")

"""A tiny model and a small training job on it, as a stage would wire one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from gptwright.losses.language import language_loss
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.recipe import OptimizerSettings
from gptwright.train.checkpoint import Trainee
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.runlog import RunLog
from gptwright.train.step import gradient_step

CONFIG = ModelConfig(vocab_size=19, context=8, width=8, layers=2, heads=2, kv_heads=1, head_dim=4, hidden=12)


class Killed(BaseException):
    """Stands for the end of the process: nothing in the package may catch it."""


@dataclass
class Job:
    """Twelve steps on random tokens that are a function of the step; a new instance is a new process."""

    folder: Path
    total: int = 12

    def __post_init__(self) -> None:
        self.model = LanguageModel(CONFIG)
        initialise(self.model, seed=0)
        self.optimizers = Optimizers(self.model, OptimizerSettings(warmup=0.2, learning_rate=0.01))
        self.trainee = Trainee({"model": self.model}, {"model": self.optimizers}, {"beta": 0.1})
        self.log = RunLog(self.folder / "log")
        self.steps_done: list[int] = []

    def do_step(self, step: int) -> Metrics:
        rates = self.optimizers.set_rate(step, self.total)
        ids = torch.randint(19, (4, 9), generator=torch.Generator().manual_seed(step))
        result = gradient_step(self.optimizers, [lambda: language_loss(self.model(ids[:, :-1]), ids[:, 1:])])
        self.trainee.counters["beta"] *= 1 + 0.1 * (result.loss - 2.9)
        self.steps_done.append(step)
        return {"loss": result.loss, "grad_norm": result.grad_norm, **rates, "beta": self.trainee.counters["beta"]}

    def run(
        self, *, checkpoint_seconds: float = 0.0, die_after_step: int | None = None, die_before: int | None = None
    ) -> float:
        def do_step(step: int) -> Metrics:
            metrics = self.do_step(step)
            if step == die_after_step:
                raise Killed
            return metrics

        def before_step(step: int) -> None:
            if step % 4 == 0:
                self.log.write(
                    "samples.jsonl", {"step": step, "weight": float(self.model.model.norm.weight[0].detach())}
                )
            if step == die_before:
                raise Killed

        return run_loop(
            "test",
            self.trainee,
            do_step,
            total=self.total,
            folder=self.folder,
            log=self.log,
            checkpoint_seconds=checkpoint_seconds,
            before_step=before_step,
        )

    def killed(self, **how: float) -> None:
        with pytest.raises(Killed):
            self.run(**how)

    def bits(self) -> dict[str, torch.Tensor]:
        return {key: value.clone() for key, value in self.trainee.tensors().items()}

    def logs(self) -> dict[str, str]:
        return {path.name: path.read_text(encoding="utf-8") for path in sorted((self.folder / "log").glob("*"))}


@pytest.fixture
def new_process(tmp_path: Path) -> Callable[..., Job]:
    """`new_process("a")` begins, or takes up again, the job that lives in folder a."""
    return lambda name="run": Job(tmp_path / name)


@pytest.fixture
def tiny_model() -> LanguageModel:
    model = LanguageModel(CONFIG)
    initialise(model, seed=0)
    return model

"""A byte tokenizer, tiny seeded models and a place to work, for every stage's tests."""

from __future__ import annotations

import random
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, ScalarModel, initialise, scalar_from
from gptwright.recipe import MachineSettings, OptimizerSettings, SftSettings
from gptwright.records import Conversation, Message, Prompt
from gptwright.stages.sft import SftTrainer, sft
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.bpe import train_characters
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The 256 bytes and the special tokens."""
    return train_characters([])


@pytest.fixture(scope="session")
def make_model(tokenizer: Tokenizer) -> Callable[..., LanguageModel]:
    def make(seed: int = 0, context: int = 48, tied: bool = True) -> LanguageModel:
        model = LanguageModel(
            ModelConfig(
                vocab_size=tokenizer.vocab_size,
                context=context,
                width=32,
                layers=2,
                heads=2,
                kv_heads=1,
                head_dim=16,
                hidden=48,
                tied=tied,
            )
        )
        initialise(model, seed)
        return model

    return make


@pytest.fixture(scope="session")
def make_scalar(make_model: Callable[..., LanguageModel]) -> Callable[..., ScalarModel]:
    return lambda seed=0, context=48, likelihood=None: scalar_from(make_model(seed, context), seed, likelihood)


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[..., Workspace]:
    """`make_workspace("a")` is the same place each time, as it is for a process that goes on after a kill."""

    def make(name: str = "run", seed: int = 0, checkpoint_seconds: float = 1e9) -> Workspace:
        machine = MachineSettings(device="cpu", precision="float32", checkpoint_seconds=checkpoint_seconds)
        return Workspace(tmp_path / name, "stage", seed, machine, FastPath("cpu", "float32"))

    return make


@pytest.fixture(scope="session")
def chat() -> Callable[[str, str], Conversation]:
    return lambda asked, answer: Conversation((Message("user", asked), Message("assistant", answer)))


@pytest.fixture(scope="session")
def pretrain_batch() -> Callable[[int, int], tuple[Tensor, Tensor]]:
    """Random rows of the tiny models' context, a function of the index alone."""

    def batch(index: int, rows: int) -> tuple[Tensor, Tensor]:
        ids = torch.randint(256, (rows, 49), generator=torch.Generator().manual_seed(index))
        return ids[:, :-1], ids[:, 1:]

    return batch


@pytest.fixture(scope="session")
def plain_adam() -> Callable[..., OptimizerSettings]:
    """AdamW at a constant rate, without decay and without clipping that bites."""

    def make(learning_rate: float = 1e-2, eps: float = 1e-8) -> OptimizerSettings:
        return OptimizerSettings(
            learning_rate=learning_rate,
            eps=eps,
            muon=False,
            weight_decay=0.0,
            schedule="constant",
            warmup=0.0,
            clip=1e9,
        )

    return make


@pytest.fixture(scope="session")
def letters() -> list[Prompt]:
    """Sixteen prompts of one letter each."""
    return [Prompt(letter, (Message("user", letter),)) for letter in "abcdefghijklmnop"]


@pytest.fixture(scope="session")
def babbler(
    tokenizer: Tokenizer,
    make_model: Callable[..., LanguageModel],
    letters: list[Prompt],
    tmp_path_factory: Any,
    chat: Any,
    plain_adam: Any,
) -> LanguageModel:
    """A model that answers any letter with four letters out of abcd, and then stops."""
    rng = random.Random(0)
    chats: list[Conversation] = [
        chat(rng.choice(letters).messages[0].content, "".join(rng.choices("abcd", k=4))) for _ in range(80)
    ]
    spot = Workspace(tmp_path_factory.mktemp("sft"), "sft", 0, MachineSettings(), FastPath("cpu", "float32"))
    settings = SftSettings(epochs=6, batch_rows=2, pretrain_rows=0, optimizer=plain_adam(1e-2))
    model = make_model()
    sft(SftTrainer(model, tokenizer, chats, chats[:4], lambda index, rows: None, settings, spot))
    return model


@pytest.fixture(scope="session")
def worker() -> Any:
    """What practice_worker.py defines: tiny practices, for one process and for several."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("practice_worker.py"))))

"""Supervised finetuning: what is counted, what is refused, that it learns, and that it can be killed."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from gptwright.errors import InputError
from gptwright.losses.language import language_loss
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import OptimizerSettings, SftSettings
from gptwright.records import Conversation, Message
from gptwright.stages.packing import pack
from gptwright.stages.sft import SftTrainer, render_all, sft
from gptwright.tokenizer.chat import render
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath, packed_loss

Chat = Callable[[str, str], Conversation]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def make_trainer(
    tokenizer: Tokenizer,
    make_model: Callable[..., LanguageModel],
    make_workspace: Callable[..., Any],
    pretrain_batch: Callable[..., Any],
    chat: Chat,
) -> Callable[..., SftTrainer]:
    """Twenty conversations: the answer to a letter is the letter, three times."""
    chats = [chat(letter, letter * 3) for letter in string.ascii_lowercase[:20]]

    def make(
        settings: SftSettings,
        name: str = "run",
        checkpoint_seconds: float = 1e9,
        train: list[Conversation] = chats,
        lanes: int = 1,
    ) -> SftTrainer:
        spot = make_workspace(name, checkpoint_seconds=checkpoint_seconds)
        spot = replace(spot, path=replace(spot.path, lanes=lanes))
        return SftTrainer(make_model(), tokenizer, train, chats[:4], pretrain_batch, settings, spot)

    return make


def test_only_the_assistants_words_and_its_end_are_supervised(tokenizer: Tokenizer, chat: Chat) -> None:
    rows = pack(render_all([chat("Hi", "ok")], tokenizer, 10), 10, tokenizer.pad)
    #      user H  i  end assistant o  k  end: the weight stands where the token is predicted, one earlier
    assert rows.weight_RT.tolist() == [[0, 0, 0, 0, 1, 1, 1, 0, 0, 0]]
    supervised = [int(t) for t, weight in zip(rows.target_RT[0], rows.weight_RT[0], strict=True) if weight]
    assert supervised == [*tokenizer.encode("ok"), tokenizer.end_of_turn]


def test_unsupervised_positions_give_no_gradient(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], chat: Chat
) -> None:
    model, seen = make_model(), []

    def keep(module: torch.nn.Module, inputs: Any, logits: torch.Tensor) -> None:
        logits.retain_grad()
        seen.append(logits)

    model.lm_head.register_forward_hook(keep)
    rows = pack([render(chat("Hello", "good day").messages, tokenizer)], 24, tokenizer.pad)
    loss = packed_loss(model, FastPath("cpu", "float32"))
    loss(rows.ids_RT, rows.target_RT, rows.weight_RT, rows.segment_RT).backward()
    reached = seen[0].grad.abs().sum(dim=-1) > 0
    assert reached.tolist() == (rows.weight_RT > 0).tolist()


def test_conversations_without_an_answer_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="none of the 2 conversations can be learned from"):
        render_all([Conversation((Message("user", "Hi"),))] * 2, tokenizer, 48)


def test_conversations_that_end_with_the_user_are_refused(tokenizer: Tokenizer, chat: Chat) -> None:
    trailing = Conversation((*chat("Hi", "ok").messages, Message("user", "and?")))
    with pytest.raises(InputError, match="only 50% of the conversations end with an assistant turn"):
        render_all([trailing, chat("Hi", "ok")], tokenizer, 48)


def test_overlong_conversations_are_left_out_whole_and_counted(
    tokenizer: Tokenizer, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = render_all([chat("a", "b"), chat("a" * 50, "b"), chat("a", "b" * 50)], tokenizer, 48)
    assert kept == [render(chat("a", "b").messages, tokenizer)]
    assert "left out 2 of 3 conversations" in capsys.readouterr().err


def test_conversation_of_exactly_the_context_is_kept(tokenizer: Tokenizer, chat: Chat) -> None:
    assert len(render_all([chat("a" * 10, "b" * 10)], tokenizer, 24)[0].ids) == 24


def test_pretraining_rows_add_their_weighted_mean(
    make_trainer: Callable[..., SftTrainer], pretrain_batch: Callable[..., Any]
) -> None:
    trainer = make_trainer(SftSettings(batch_rows=64, pretrain_rows=3, pretrain_weight=0.7))
    rows = trainer.rows
    with torch.no_grad():
        loss_of = packed_loss(trainer.model, FastPath("cpu", "float32"))
        summed = float(loss_of(rows.ids_RT, rows.target_RT, rows.weight_RT, rows.segment_RT))
        ids, targets = pretrain_batch(0, 3)
        pretrain_mean = float(language_loss(trainer.model(ids), targets))
    sft_mean = summed / float(rows.weight_RT.sum())
    assert trainer.step(0)["loss"] == pytest.approx(sft_mean + 0.7 * pretrain_mean, rel=1e-5)


def test_without_pretraining_rows_the_loss_is_the_conversations_alone(make_trainer: Callable[..., SftTrainer]) -> None:
    trainer = make_trainer(SftSettings(batch_rows=64, pretrain_rows=0))
    trainer.validation = trainer.rows
    expected = trainer.validate()
    assert trainer.step(0)["loss"] == pytest.approx(expected, rel=1e-5)


def test_validation_loss_does_not_depend_on_how_rows_are_grouped(
    make_trainer: Callable[..., SftTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(SftSettings())
    trainer.validation = trainer.rows
    assert len(trainer.rows) > 2
    together = trainer.validate()
    monkeypatch.setattr("gptwright.stages.sft.VALIDATION_ROWS", 1)
    assert trainer.validate() == pytest.approx(together, rel=1e-6)


def test_every_row_is_learned_from_once_an_epoch(make_trainer: Callable[..., SftTrainer]) -> None:
    trainer = make_trainer(SftSettings(batch_rows=1, epochs=2, pretrain_rows=0))
    seen: list[list[int]] = []
    loss_of = trainer.loss_of

    def watched(*parts: torch.Tensor) -> torch.Tensor:
        seen.extend(parts[0].tolist())
        return loss_of(*parts)

    trainer.loss_of = watched
    sft(trainer)
    count = len(trainer.rows)
    assert sorted(seen[:count]) == sorted(seen[count:]) == sorted(trainer.rows.ids_RT.tolist())
    assert seen[:count] != seen[count:]


def test_finetuning_lowers_the_validation_loss(make_trainer: Callable[..., SftTrainer]) -> None:
    optimizer = OptimizerSettings(learning_rate=1e-2, muon=False)
    trainer = make_trainer(SftSettings(epochs=10, batch_rows=2, pretrain_rows=0, optimizer=optimizer))
    before = trainer.validate()
    result = sft(trainer)
    assert result.validation_loss == trainer.validate() < before - 1


@pytest.mark.parametrize(("batch_rows", "lanes"), [(6, 2), (5, 1)])
def test_halves_side_by_side_learn_the_same(
    make_trainer: Callable[..., SftTrainer], monkeypatch: pytest.MonkeyPatch, batch_rows: int, lanes: int
) -> None:
    monkeypatch.setattr("gptwright.stages.sft.LANE_ROWS", 4)
    optimizer = OptimizerSettings(muon=False, learning_rate=1e-3)
    settings = SftSettings(batch_rows=batch_rows, pretrain_rows=2, epochs=2, optimizer=optimizer)
    whole, halves, again = make_trainer(settings), *(make_trainer(settings, name, lanes=2) for name in "ab")
    assert (halves.lanes.count, make_trainer(settings, "c", lanes=8).lanes.count) == (lanes, 1)
    for trainer in (whole, halves, again):
        sft(trainer)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(halves.model.state_dict()[name], again.model.state_dict()[name])
        assert torch.allclose(halves.model.state_dict()[name], value, atol=2e-5)


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_killed_run_ends_at_the_same_bits(
    make_trainer: Callable[..., SftTrainer], monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    monkeypatch.setattr("gptwright.stages.sft.LANE_ROWS", 2)
    settings = SftSettings(epochs=3, batch_rows=2)
    unbroken = make_trainer(settings, "unbroken", lanes=lanes)
    assert unbroken.lanes.count == lanes
    result = sft(unbroken)

    def dies(step: int) -> dict[str, float]:
        if step == 4:
            raise Killed
        return step_of(step)

    first = make_trainer(settings, "killed", checkpoint_seconds=0.0, lanes=lanes)
    step_of, first.step = first.step, dies  # type: ignore[method-assign]
    with pytest.raises(Killed):
        sft(first)
    second = make_trainer(settings, "killed", checkpoint_seconds=0.0, lanes=lanes)
    resumed = sft(second)
    for name, weight in unbroken.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name]), name
    assert (resumed.tokens, resumed.validation_loss) == (result.tokens, result.validation_loss)
    logs = [trainer.workspace.checkpoints / "log" / "metrics.jsonl" for trainer in (unbroken, second)]
    assert logs[0].read_text() == logs[1].read_text()

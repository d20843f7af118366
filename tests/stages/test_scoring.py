"""Reading a reward model: the score stands at the last real token, whatever stands beside or behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gptwright.model.transformer import ScalarModel
from gptwright.records import Comparison, Message, Prompt
from gptwright.stages.scoring import comparison_rows, reward_ids, score_all, score_ids
from gptwright.tokenizer.tokenizer import Tokenizer


def random_rows(lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(256, size=length).tolist() for length in lengths]


def test_the_reward_model_reads_the_finished_answer_and_then_its_token(tokenizer: Tokenizer) -> None:
    expected = [tokenizer.user, *b"Hi", tokenizer.end_of_turn, tokenizer.assistant, *b"ok", tokenizer.end_of_turn]
    messages = (Message("user", "Hi"),)
    assert reward_ids(messages, "ok", tokenizer) == [*expected, tokenizer.reward]


def test_comparison_gives_a_row_per_answer_in_order(tokenizer: Tokenizer) -> None:
    messages = (Message("user", "Hi"),)
    rows = comparison_rows(Comparison(Prompt("p", messages), ("a", "b"), (1, 0)), tokenizer)
    assert rows == [reward_ids(messages, "a", tokenizer), reward_ids(messages, "b", tokenizer)]


def test_scores_are_those_of_each_row_alone(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any]
) -> None:
    model, rows = make_scalar(), random_rows([5, 30, 1, 17, 30, 9])
    with torch.no_grad():
        alone = [float(model(torch.tensor([row]))[0, -1]) for row in rows]
    assert score_all(model, rows, 0, make_workspace()) == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("pad", [0, 7, 257])
def test_what_fills_the_padding_does_not_matter(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any], pad: int
) -> None:
    model, rows = make_scalar(), random_rows([5, 12])
    rows[0][-1] = pad  # not even when the row itself ends with it
    alone = score_ids(model, rows[:1], 99, make_workspace())[0]
    assert torch.allclose(score_ids(model, rows, pad, make_workspace())[0], alone, atol=1e-5)


def test_a_longer_row_in_the_batch_changes_nothing(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any]
) -> None:
    model, rows = make_scalar(), random_rows([5, 8, 48])
    short, with_long = score_ids(model, rows[:2], 0, make_workspace()), score_ids(model, rows, 0, make_workspace())
    assert torch.allclose(short, with_long[:2], atol=1e-5)


def test_grouping_does_not_change_scores_or_their_order(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = make_scalar(), random_rows([20, 3, 11, 40])
    together = score_all(model, rows, 0, make_workspace())
    monkeypatch.setattr("gptwright.stages.scoring.MICRO_TOKENS", 1)
    assert score_all(model, rows, 0, make_workspace()) == pytest.approx(together, abs=1e-5)


def test_gradient_reaches_no_token_of_another_row(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any]
) -> None:
    model = make_scalar()
    score_ids(model, [[1, 2, 3], [4, 5, 6, 7]], 9, make_workspace())[0].backward()
    reached = model.model.embed_tokens.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist()
    assert reached == [1, 2, 3]

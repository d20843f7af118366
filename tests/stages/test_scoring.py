"""Reading a reward model: the score stands at the last real token, whatever stands beside or behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gptwright.model.transformer import LanguageModel, ScalarModel, scalar_from
from gptwright.records import Comparison, Message, Prompt
from gptwright.stages.scoring import ScoredRow, comparison_rows, score_all, score_hidden, scored_row
from gptwright.tokenizer.tokenizer import Tokenizer


def random_rows(lengths: list[int]) -> list[ScoredRow]:
    rng = np.random.default_rng(0)
    return [ScoredRow(rng.integers(256, size=length).tolist(), max(1, length // 3)) for length in lengths]


def test_the_reward_model_reads_the_finished_answer_and_then_its_token(tokenizer: Tokenizer) -> None:
    expected = [tokenizer.user, *b"Hi", tokenizer.end_of_turn, tokenizer.assistant, *b"ok", tokenizer.end_of_turn]
    messages = (Message("user", "Hi"),)
    assert scored_row(messages, "ok", tokenizer) == ([*expected, tokenizer.reward], 5, 0)


def test_comparison_gives_a_row_per_answer_in_order(tokenizer: Tokenizer) -> None:
    messages = (Message("user", "Hi"),)
    rows = comparison_rows(Comparison(Prompt("p", messages), ("a", "b"), (1, 0)), tokenizer)
    assert rows == [scored_row(messages, "a", tokenizer), scored_row(messages, "b", tokenizer)]


def test_scores_are_those_of_each_row_alone(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any]
) -> None:
    model, rows = make_scalar(), random_rows([5, 30, 1, 17, 30, 9])
    with torch.no_grad():
        alone = [float(model(torch.tensor([row.ids]))[0, -1]) for row in rows]
    assert score_all(model, rows, 0, make_workspace().path) == pytest.approx(alone, abs=1e-5)


def test_likelihood_is_that_of_the_answer_and_its_end_alone(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any]
) -> None:
    model, plain, rows = make_scalar(likelihood=0.3), make_scalar(), random_rows([5, 30, 17, 30, 9])
    expected = []
    for (ids, start, _), head in zip(rows, score_all(plain, rows, 0, make_workspace().path), strict=True):
        hidden = plain.model(torch.tensor([ids]))[0].detach().double()
        logp_TV = (hidden @ plain.model.embed_tokens.weight.detach().double().T).log_softmax(dim=-1)
        expected.append(head + 0.3 * sum(float(logp_TV[t - 1, ids[t]]) for t in range(start, len(ids) - 1)))
    assert score_all(model, rows, 0, make_workspace().path) == pytest.approx(expected, abs=1e-4)


def test_no_gradient_is_added_up_in_the_order_of_threads(make_scalar: Callable[..., ScalarModel]) -> None:
    """As indexing with a list would: on several threads the last bits would be another run's."""
    model, (row,) = make_scalar(likelihood=0.3), random_rows([12])
    hidden_ND = model.model(torch.tensor([row.ids])).flatten(0, 1)
    places = [list(range(12))] * 3  # three answers that share all they have
    waiting, seen = [score_hidden(model, hidden_ND, [row] * 3, places).sum().grad_fn], set[str]()
    while waiting:
        node = waiting.pop()
        if node is not None:
            seen.add(node.name())
            waiting += [parent for parent, _ in node.next_functions]
    assert any(name.startswith("IndexSelectBackward") for name in seen)
    assert not any(name.startswith("IndexBackward") for name in seen)


def test_what_is_said_again_counts_by_its_weight(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any]
) -> None:
    answers = ["a, b.", "a, a.", "a, a, a."]
    rows = [scored_row((Message("user", "Hi"),), answer, tokenizer) for answer in answers]
    model, plain = (scalar_from(make_model(), 3, repetition=weight) for weight in (-0.5, None))
    with_weight, without = (score_all(each, rows, tokenizer.pad, make_workspace().path) for each in (model, plain))
    moved = [a - b for a, b in zip(with_weight, without, strict=True)]
    assert moved == pytest.approx([0.0, -0.5, -1.0], abs=1e-5)


def test_another_prompt_or_mark_at_the_end_moves_only_what_depends_on_it(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any]
) -> None:
    # A head of zeros leaves the likelihood: the last id is never predicted, so nothing may depend on it.
    model = make_scalar(likelihood=1.0)
    with torch.no_grad():
        model.score.weight.zero_()
    row, other = ScoredRow([3, 4, 5, 6, 7], 2), ScoredRow([3, 4, 5, 6, 200], 2)
    assert score_all(model, [row], 0, make_workspace().path) == score_all(model, [other], 0, make_workspace().path)
    changed = ScoredRow([3, 4, 5, 201, 7], 2)
    assert score_all(model, [row], 0, make_workspace().path) != score_all(model, [changed], 0, make_workspace().path)


@pytest.mark.parametrize("likelihood", [None, 0.3])
@pytest.mark.parametrize("pad", [0, 7, 257])
def test_what_fills_the_padding_does_not_matter(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any], pad: int, likelihood: float | None
) -> None:
    model, rows = make_scalar(likelihood=likelihood), random_rows([5, 12])
    rows[0].ids[-1] = pad  # not even when the row itself ends with it
    alone = score_all(model, rows[:1], 99, make_workspace().path)[0]
    assert score_all(model, rows, pad, make_workspace().path)[0] == pytest.approx(alone, abs=1e-5)


def test_a_longer_row_in_the_batch_changes_nothing(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any]
) -> None:
    model, rows, path = make_scalar(), random_rows([5, 8, 48]), make_workspace().path
    assert score_all(model, rows[:2], 0, path) == pytest.approx(score_all(model, rows, 0, path)[:2], abs=1e-5)


def test_grouping_does_not_change_scores_or_their_order(
    make_scalar: Callable[..., ScalarModel], make_workspace: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = make_scalar(), random_rows([20, 3, 11, 40])
    together = score_all(model, rows, 0, make_workspace().path)
    monkeypatch.setattr("gptwright.stages.packing.ROW_TOKENS", 1)
    assert score_all(model, rows, 0, make_workspace().path) == pytest.approx(together, abs=1e-5)

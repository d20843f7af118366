"""The reward model: loss over all pairs of a prompt, gradient whatever the grouping, scale and bias afterwards."""

from __future__ import annotations

import dataclasses
import math
import string
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from gptwright.errors import InputError
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import OptimizerSettings, RewardSettings
from gptwright.records import Comparison, Conversation, Message, Prompt
from gptwright.stages.reward import (
    START_REPETITION,
    RewardTrainer,
    ranked_answers,
    share_right,
    train_reward_model,
)
from gptwright.stages.scoring import comparison_rows, score_all, score_comparisons, scored_row
from gptwright.tokenizer.tokenizer import Tokenizer


def compared(question: str, answers: Sequence[str], ranks: Sequence[int]) -> Comparison:
    return Comparison(Prompt(f"p-{question}", (Message("user", question),)), tuple(answers), tuple(ranks))


WORDS = ["tea", "sun", "oak", "map", "cup", "ink"]
TOY = [compared(letter, [f"no {word}", f"yes {word}"], [1, 0]) for letter in "abcdef" for word in WORDS]
"""Whoever says yes is better."""
MIXED = [
    compared("first", ["a", "bb", "ccc", "dddd"], [2, 0, 1, 1]),
    compared("second", ["tea", "sun"], [0, 1]),
    compared("third and longer", ["x", "yy", "z"], [1, 1, 0]),
]


@pytest.fixture
def make_trainer(
    tokenizer: Tokenizer, make_model: Callable[..., LanguageModel], make_workspace: Callable[..., Any]
) -> Callable[..., RewardTrainer]:
    def make(train: list[Comparison], held_out: list[Comparison], tied: bool = True, **settings: Any) -> RewardTrainer:
        model, chosen = make_model(tied=tied), RewardSettings(**settings)
        return RewardTrainer(model, tokenizer, train, held_out, chosen, make_workspace())

    return make


def test_loss_is_the_mean_over_prompts_of_the_mean_over_pairs(make_trainer: Callable[..., RewardTrainer]) -> None:
    trainer = make_trainer(MIXED, MIXED, language_weight=0.0)
    per_prompt = []
    for comparison, scores in zip(
        MIXED, score_comparisons(trainer.model, MIXED, trainer.tokenizer, trainer.workspace.path), strict=True
    ):
        losses = [
            math.log1p(math.exp(scores[j] - scores[i]))
            for i in range(len(scores))
            for j in range(len(scores))
            if comparison.ranks[i] < comparison.ranks[j]
        ]
        per_prompt.append(sum(losses) / len(losses))
    assert trainer.step(0)["loss"] == pytest.approx(sum(per_prompt) / 3, rel=1e-5)


def test_rankings_of_the_same_answers_are_one_element_with_all_their_pairs(
    make_trainer: Callable[..., RewardTrainer],
) -> None:
    answers = ["a", "bb", "ccc"]
    rankings = [compared("q", answers, ranks) for ranks in ([0, 1, 2], [1, 0, 2], [0, 0, 0])]
    trainer = make_trainer([*rankings, MIXED[1]], rankings, language_weight=0.0)
    first, second = trainer.elements
    assert len(first.rows) == 3
    assert first.pairs == [(0, 1), (0, 2), (1, 2), (0, 2), (1, 0), (1, 2)]
    # Two role marks, "q" and its end; answers of 1, 2 and 3 bytes, each with its end and the reward token.
    assert first.tokens == 4 + (1 + 2 + 3) + 3 * 2
    assert (first.best, second.best) == (0, 0)
    (a, b, c), *_ = score_comparisons(trainer.model, rankings, trainer.tokenizer, trainer.workspace.path)
    expected = [b - a, c - a, c - b, c - a, a - b, c - b]
    of_second = score_comparisons(trainer.model, [MIXED[1]], trainer.tokenizer, trainer.workspace.path)[0]
    loss = sum(math.log1p(math.exp(x)) for x in expected) / 6 + math.log1p(math.exp(of_second[1] - of_second[0]))
    assert trainer.step(0)["loss"] == pytest.approx(loss / 2, rel=1e-5)


def test_the_margin_grows_with_the_ranks_between_two_answers(make_trainer: Callable[..., RewardTrainer]) -> None:
    ranking = compared("q", ["a", "bb", "ccc"], [0, 1, 2])
    trainer = make_trainer([ranking], [ranking], language_weight=0.0, margin=0.5)
    assert trainer.elements[0].apart == [1, 2, 1]
    a, b, c = score_comparisons(trainer.model, [ranking], trainer.tokenizer, trainer.workspace.path)[0]
    each = [math.log1p(math.exp(x)) for x in (b - a + 0.5, c - a + 1.0, c - b + 0.5)]
    assert trainer.step(0)["loss"] == pytest.approx(sum(each) / 3, rel=1e-5)


def test_the_best_of_answers_that_are_all_bad_is_not_imitated(
    make_trainer: Callable[..., RewardTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its order still teaches; the loss is the ranking loss alone."""
    ranking = compared("q", ["a", "bb"], [0, 1])
    bad = dataclasses.replace(ranking, all_bad=True)
    alone = make_trainer([ranking], [ranking], language_weight=0.0).step(0)["loss"]
    assert make_trainer([ranking], [ranking], language_weight=0.5).step(0)["loss"] > alone + 0.1
    capsys.readouterr()
    trainer = make_trainer([bad], [bad], language_weight=0.5)
    assert "1 prompts, 1 pairs, 0 ties left out, 1 whose answers are all bad, which are not" in capsys.readouterr().err
    assert trainer.step(0)["loss"] == pytest.approx(alone, rel=1e-6)
    assert make_trainer([bad, ranking, ranking], [bad], language_weight=0.5).elements[0].best == 0  # most disagree


def test_rankings_of_one_prompt_are_one_element_however_they_were_stored(tokenizer: Tokenizer) -> None:
    """Pairs of a file have a name each, and K answers may have been written as K(K-1)/2 pairs."""
    asked = (Message("user", "colour?"),)
    pairs = [("red", "blue"), ("red", "grey"), ("blue", "grey")]
    rows = [Comparison(Prompt(f"file:{n}", asked), pair, (0, 1)) for n, pair in enumerate(pairs)]
    (element,) = ranked_answers(rows, tokenizer)
    assert len(element.rows) == 3
    assert element.pairs == [(0, 1), (0, 2), (1, 2)]
    assert element.best == 0
    often = [Comparison(Prompt(f"file:{n}", asked), (f"good {n}", f"bad {n}"), (0, 1)) for n in range(20)]
    assert [len(element.rows) for element in ranked_answers(often, tokenizer)] == [16, 16, 8]


def test_the_weight_of_repetition_is_learned_and_scaled_with_the_scores(
    make_trainer: Callable[..., RewardTrainer], chat: Callable[[str, str], Conversation]
) -> None:
    """Rankings that mind repetition push the weight down, those that like it push it up."""
    weights = []
    for ranks in ([0, 1], [1, 0]):
        ranked = [compared(letter, ["a. b.", "a. a."], ranks) for letter in "qrstuvwx"]
        trainer = make_trainer(ranked, ranked, repetition=True, language_weight=0.0, batch_prompts=4)
        assert trainer.model.repetition is not None
        assert [row.repeated for row in trainer.elements[0].rows] == [0, 1]
        for step in range(2):
            trainer.step(step)
        weights.append(float(trainer.model.repetition.detach()))
    assert weights[0] < START_REPETITION < weights[1]
    scale = trainer.normalise([chat("q", "a. b.")])
    assert float(trainer.model.repetition.detach()) == pytest.approx(weights[1] / scale)


@pytest.mark.parametrize("tied", [True, False])
def test_language_loss_is_that_of_the_best_answers_alone(
    make_trainer: Callable[..., RewardTrainer], make_model: Callable[..., LanguageModel], tied: bool
) -> None:
    trainer = make_trainer(MIXED, MIXED, tied, language_weight=2.0)
    ranking = make_trainer(MIXED, MIXED, tied, language_weight=0.0).step(0)["loss"]
    output = make_model(tied=tied).lm_head.weight.detach()
    per_prompt = []
    for comparison in MIXED:
        ids, start, _ = comparison_rows(comparison, trainer.tokenizer)[comparison.ranks.index(0)]
        ids = ids[:-1]
        hidden = trainer.model.model(torch.tensor([ids]))[0].detach()
        logp = (hidden @ output.T).log_softmax(dim=-1)
        nll = [-float(logp[t - 1, ids[t]]) for t in range(start, len(ids))]
        per_prompt.append(sum(nll) / len(nll))
    assert trainer.step(0)["loss"] == pytest.approx(ranking + 2.0 * sum(per_prompt) / 3, rel=1e-5)


def test_a_slip_that_no_ranking_held_is_seen_by_likelihood(
    make_trainer: Callable[..., RewardTrainer], plain_adam: Callable[..., OptimizerSettings]
) -> None:
    # Who has read nothing but "mmmm" finds any other letter unlikely, one that it never met too.
    def slips(letters: str) -> list[Comparison]:
        return [compared(letter, ["mm" + letter + "m", "mmmm"], [1, 0]) for letter in letters]

    trainer = make_trainer(
        slips("abcdefgh"),
        slips("stuvwxyz"),
        likelihood=True,
        language_weight=5.0,
        batch_prompts=4,
        optimizer=plain_adam(1e-3),
    )
    weight = trainer.model.likelihood
    assert weight is not None
    before = weight.item()
    for step in range(8):
        trainer.step(step)
    assert weight.item() > before  # it found out that likelihood tells
    assert share_right(trainer.held_out, trainer.scores(trainer.held_out)) == 1.0


def test_gradient_does_not_depend_on_the_micro_batches(
    make_trainer: Callable[..., RewardTrainer],
    plain_adam: Callable[..., OptimizerSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # AdamW's first moment after one step is 0.1 times the gradient.
    gradients = []
    for row_tokens in (100_000, 1):
        monkeypatch.setattr("gptwright.stages.packing.ROW_TOKENS", row_tokens)
        trainer = make_trainer(MIXED, MIXED, optimizer=plain_adam())
        trainer.step(0)
        state = trainer.optimizers.tensors()
        gradients.append({name: value for name, value in state.items() if name.endswith("exp_avg")})
    scale = max(float(value.abs().max()) for value in gradients[0].values())
    for name, value in gradients[0].items():
        assert torch.allclose(value, gradients[1][name], atol=1e-5 * scale, rtol=1e-4), name


def test_it_learns_to_prefer_a_word(
    make_trainer: Callable[..., RewardTrainer], plain_adam: Callable[..., OptimizerSettings], chat: Any
) -> None:
    unseen = [compared(letter, [f"yes {word}", f"no {word}"], [0, 1]) for letter in "ghi" for word in WORDS]
    trainer = make_trainer(TOY, unseen, epochs=6, batch_prompts=6, optimizer=plain_adam(5e-3))
    result, scores = train_reward_model(trainer, [chat("a", "yes tea")])
    assert result.validation_accuracy == 1.0
    assert scores == trainer.scores(unseen)  # scaled and shifted as the model is kept
    assert share_right(TOY, trainer.scores(TOY)) == 1.0


def test_share_right_counts_pairs_of_all_prompts() -> None:
    # Four answers give six pairs, two give one, three give three; turning the second around makes one of ten wrong.
    ranked = [[0, 1, 2, 3], [0, 1], [0, 1, 2]]
    judged = [compared(str(i), list("abcd"[: len(ranks)]), ranks) for i, ranks in enumerate(ranked)]
    scores = [[3.0, 2.0, 1.0, 0.0], [-1.0, 1.0], [0.5, 0.2, 0.1]]
    assert share_right(judged, scores) == pytest.approx(0.9)
    assert share_right(judged[1:2], [[1.0, 1.0]]) == 0.5
    assert math.isnan(share_right([], []))


def test_it_goes_on_with_the_program_compiled_for_the_sft_model(make_trainer: Callable[..., RewardTrainer]) -> None:
    assert not any(
        part.training for part in make_trainer(MIXED, MIXED).model.modules()
    )  # another mode, another program


@pytest.mark.parametrize("likelihood", [False, True])
def test_after_normalising_demonstrations_average_0_and_answers_deviate_by_1(
    make_trainer: Callable[..., RewardTrainer], chat: Callable[[str, str], Conversation], likelihood: bool
) -> None:
    trainer = make_trainer(TOY, TOY, likelihood=likelihood)
    shown = [chat(letter, letter * 3) for letter in string.ascii_lowercase[:7]]
    pad, tokenizer = trainer.tokenizer.pad, trainer.tokenizer
    sampled = [row for element in trainer.elements for row in element.rows]
    before = torch.tensor(score_all(trainer.model, sampled, pad, trainer.workspace.path))
    scale = trainer.normalise(shown)
    after = torch.tensor(score_all(trainer.model, sampled, pad, trainer.workspace.path))
    ends = [scored_row(c.messages[:1], c.messages[1].content, tokenizer) for c in shown]
    assert sum(score_all(trainer.model, ends, pad, trainer.workspace.path)) / 7 == pytest.approx(0, abs=1e-5)
    assert float(after.std()) == pytest.approx(1, rel=1e-4)
    # Log-odds come back by `scale`: no order and no distance is lost.
    assert torch.allclose((after - after[0]) * scale, before - before[0], atol=1e-4)


def test_only_ties_are_refused(make_trainer: Callable[..., RewardTrainer]) -> None:
    with pytest.raises(InputError, match=r"no comparison that fits .* has a better and a worse answer"):
        make_trainer([compared("a", ["x", "y"], [0, 0])], [])


def test_ties_and_overlong_answers_are_left_out(
    make_trainer: Callable[..., RewardTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    ties, overlong = compared("a", ["x", "y"], [0, 0]), compared("b", ["x" * 60, "y"], [0, 1])
    trainer = make_trainer([ties, overlong, *MIXED], [overlong, *MIXED])
    assert trainer.held_out == MIXED
    assert [element.rows for element in trainer.elements] == [comparison_rows(c, trainer.tokenizer) for c in MIXED]
    # Five pairs of the first with its one tie, one of the second, two of the third with its one; and `ties` itself.
    assert "3 prompts, 8 pairs, 3 ties left out" in capsys.readouterr().err

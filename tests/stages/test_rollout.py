"""A round's episodes: which tokens are actions, what the policy thought of them, and how they are split."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptwright.engine.engine import Engine
from gptwright.engine.request import Completion
from gptwright.model.transformer import LanguageModel, ScalarModel, scalar_from
from gptwright.recipe import PpoSettings
from gptwright.records import Message, Prompt
from gptwright.stages import answers
from gptwright.stages.repetition import count_repeated
from gptwright.stages.rewards import model_reward, weighted
from gptwright.stages.rollout import (
    Episode,
    MicroBatch,
    evaluate_episodes,
    reader,
    sample_episodes,
    split_minibatches,
)
from gptwright.stages.scoring import ScoredRow, score_all
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath

Evaluate = Callable[..., MicroBatch]


def random_episode(prompt: int, response: int, seed: int = 0) -> Episode:
    rng = np.random.default_rng((seed, prompt, response))
    answer = Completion(rng.integers(256, size=response).tolist(), [0.0] * response, "stop")
    return Episode(rng.integers(256, size=prompt).tolist(), answer, float(response))


@pytest.fixture(scope="session")
def evaluate(make_model: Callable[..., LanguageModel], make_scalar: Callable[..., ScalarModel]) -> Evaluate:
    """With a policy of seed 0, a reference of seed 1 and values of seed 2."""
    models = make_model(0), make_model(1), make_scalar(2)
    readers = [reader(model, FastPath("cpu", "float32")) for model in models]
    context = models[0].config.context
    return lambda episodes, temperature=1.0: evaluate_episodes(
        episodes, *readers, context=context, temperature=temperature, pad=0
    )


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=4))
def test_actions_are_exactly_the_response_tokens(evaluate: Evaluate, lengths: list[tuple[int, int]]) -> None:
    """And each is predicted at the token before it: of the first, the prompt's last."""
    episodes = [random_episode(prompt, response, seed) for seed, (prompt, response) in enumerate(lengths)]
    batch = evaluate(episodes)
    answers = batch.answers
    before = answers.packed.ids_RT.flatten()[answers.place_A]
    target_BT, before_BT = answers.spread(answers.target_A), answers.spread(before)
    for row, episode in enumerate(episodes):
        answer = episode.completion.ids
        assert batch.action_BT[row].nonzero().flatten().tolist() == list(range(len(answer)))
        assert target_BT[row, batch.action_BT[row]].tolist() == answer
        assert before_BT[row, batch.action_BT[row]].tolist() == [episode.prompt_ids[-1], *answer[:-1]]


def test_tokens_that_a_grammar_forced_are_read_and_are_no_actions(evaluate: Evaluate) -> None:
    free, last_forced, all_forced = random_episode(3, 5), random_episode(4, 5), random_episode(2, 3)
    for episode, forced in ((free, [False, True, True, False, False]), (last_forced, [False] * 4 + [True])):
        episode.completion.forced = forced
    all_forced.completion.forced = [True] * 3
    whole, batch = evaluate([random_episode(3, 5), random_episode(4, 5)]), evaluate([free, last_forced, all_forced])
    assert batch.action_BT.sum(dim=1).tolist() == [3, 4, 1]
    for row, kept in enumerate(([0, 3, 4], [0, 1, 2, 3])):
        for name in ("old_logprob_BT", "reference_logprob_BT", "old_value_BT", "entropy_BT"):
            found, expected = getattr(batch, name)[row, : len(kept)], getattr(whole, name)[row, kept]
            assert torch.allclose(found, expected, atol=1e-5), name
    targets = batch.answers.spread(batch.answers.target_A)
    assert targets[2, 0] == all_forced.completion.ids[-1]  # its score has to stand somewhere


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_each_token_by_itself(
    evaluate: Evaluate, make_model: Callable[..., LanguageModel], temperature: float
) -> None:
    episodes = [random_episode(3, 6), random_episode(9, 2), random_episode(1, 4)]
    batch = evaluate(episodes, temperature)
    for model, found_BT in ((make_model(0), batch.old_logprob_BT), (make_model(1), batch.reference_logprob_BT)):
        for row, episode in enumerate(episodes):
            ids, expected = list(episode.prompt_ids), []
            for token in episode.completion.ids:
                with torch.no_grad():
                    logits_V = model(torch.tensor([ids]))[0, -1].double() / temperature
                expected.append(float(logits_V[token] - logits_V.logsumexp(dim=0)))
                ids.append(token)
            assert found_BT[row, batch.action_BT[row]].tolist() == pytest.approx(expected, abs=1e-5)


def test_values_and_scores_stay_with_their_rows(evaluate: Evaluate, make_scalar: Callable[..., ScalarModel]) -> None:
    episodes = [random_episode(3, 6), random_episode(9, 2)]
    batch = evaluate(episodes)
    assert batch.score_B.tolist() == [6.0, 2.0]
    with torch.no_grad():
        alone = make_scalar(2)(torch.tensor([[*episodes[1].prompt_ids, *episodes[1].completion.ids[:-1]]]))
    assert torch.allclose(batch.old_value_BT[1, :2], alone[0, -2:], atol=1e-5)
    assert batch.old_value_BT[1, 2:].eq(0).all()


def test_entropy_is_at_most_that_of_the_uniform_distribution(evaluate: Evaluate, tokenizer: Tokenizer) -> None:
    entropy_BT = evaluate([random_episode(5, 5)]).entropy_BT
    assert 0 < float(entropy_BT.min()) <= float(entropy_BT.max()) <= math.log(tokenizer.vocab_size) + 1e-5


def test_the_policys_weights_are_read_as_exactly_as_asked(
    make_model: Callable[..., LanguageModel], tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Watched(Engine):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            seen.append(named["weights"])
            super().__init__(*arguments, **named)

    monkeypatch.setattr(answers, "Engine", Watched)
    for weights in ("float32", "bfloat16"):
        chosen = PpoSettings(max_new_tokens=4, sampling_weights=weights)
        reward = weighted({"none": (lambda given: [0.0] * len(given), 1.0)})
        sample_episodes(make_model(), reward, tokenizer, [Prompt("a", (Message("user", "a"),))], chosen, seed=0)
    assert seen == ["float32", "bfloat16"]


def test_an_answer_cut_short_gets_the_fixed_score_and_a_finished_one_the_models(
    make_model: Callable[..., LanguageModel],
    make_scalar: Callable[..., ScalarModel],
    tokenizer: Tokenizer,
    make_workspace: Callable[..., Any],
) -> None:
    policy, judge = make_model(), scalar_from(make_model(3), 3, repetition=-0.5)
    prompts = [Prompt(str(n), (Message("user", "abc"[: 1 + n % 3]),)) for n in range(40)]
    chosen = PpoSettings(max_new_tokens=30, no_end_score=-7.5)
    reward = weighted({"judge": (model_reward(judge, tokenizer, make_workspace().path), 1.0)})
    episodes = sample_episodes(policy, reward, tokenizer, prompts, chosen, seed=0)
    reasons = {episode.completion.finish_reason for episode in episodes}
    assert reasons == {"stop", "length"}
    for episode in episodes:
        if episode.completion.finish_reason == "length":
            assert episode.score == -7.5
            assert tokenizer.end_of_turn not in episode.completion.ids
        else:
            ids = [*episode.prompt_ids, *episode.completion.ids, tokenizer.reward]
            answer = tokenizer.decode(episode.completion.ids, skip_special=True)
            read = ScoredRow(ids, len(episode.prompt_ids), count_repeated(answer))
            assert episode.completion.ids[-1] == tokenizer.end_of_turn
            assert episode.score == pytest.approx(score_all(judge, [read], 0, make_workspace().path)[0], abs=1e-5)


@pytest.mark.parametrize(("episodes", "count"), [(12, 4), (10, 4), (3, 4), (1, 1)])
def test_minibatches_are_a_partition(episodes: int, count: int) -> None:
    given = [random_episode(2, 1 + n % 5, seed=n) for n in range(episodes)]
    minibatches = split_minibatches(given, count, seed=0, step=0)
    assert len(minibatches) <= count
    found = sorted(id(episode) for parts in minibatches for micro in parts for episode in micro)
    assert found == sorted(id(episode) for episode in given)
    sizes = [sum(len(micro) for micro in parts) for parts in minibatches]
    assert max(sizes) == math.ceil(episodes / count)


def test_minibatches_are_drawn_anew_each_round_but_the_same_for_a_resumed_one() -> None:
    given = [random_episode(2, 2, seed=n) for n in range(16)]

    def order(step: int) -> list[int]:
        split = split_minibatches(given, 4, seed=0, step=step)
        return [id(episode) for parts in split for micro in parts for episode in micro]

    assert order(3) == order(3) != order(4)


def test_answers_to_one_prompt_stay_together_and_read_it_once(
    make_model: Callable[..., LanguageModel], tokenizer: Tokenizer, make_workspace: Callable[..., Any]
) -> None:
    """What the models say of an answer does not depend on whether its prompt is shared."""
    path = make_workspace().path
    shared = [
        Episode(
            random_episode(5, 1, seed=n // 3).prompt_ids, random_episode(5, 2 + n % 4, seed=n).completion, 0.0, n // 3
        )
        for n in range(12)
    ]
    alone = [dataclasses.replace(episode, group=n) for n, episode in enumerate(shared)]
    for parts in split_minibatches(shared, 2, seed=0, step=0):
        for micro in parts:
            groups = [episode.group for episode in micro]
            assert all(groups.count(group) == 3 for group in groups)
    policy, reference = reader(make_model(1), path), reader(make_model(2), path)
    told = [
        evaluate_episodes(part, policy, reference, None, context=48, temperature=1.0, pad=tokenizer.pad)
        for part in (shared, alone)
    ]
    assert told[0].answers.packed.ids_RT.numel() < told[1].answers.packed.ids_RT.numel()
    for name in ("old_logprob_BT", "reference_logprob_BT", "entropy_BT"):
        torch.testing.assert_close(getattr(told[0], name), getattr(told[1], name), rtol=1e-5, atol=1e-5)


def test_many_answers_to_one_prompt_go_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptwright.stages.packing.ROW_TOKENS", 20)
    episodes = [Episode([1, 2], Completion([3] * 8, [0.0] * 8, "stop"), float(n), group=n // 6) for n in range(12)]
    (minibatch,) = split_minibatches(episodes, 1, seed=0, step=0)
    assert max(len(micro) for micro in minibatch) <= 3  # 24 tokens are the first to reach 20
    assert sorted(episode.score for micro in minibatch for episode in micro) == list(range(12))

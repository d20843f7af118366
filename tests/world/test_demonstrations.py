"""Demonstrations are always right and harmless, and their three manners differ as the judge says."""

import random
import statistics
from collections import Counter

import pytest

from gptwright.world import demonstrate, demonstrations, judge, prompts
from gptwright.world.manner import MANNERS, choose_manner
from gptwright.world.usecases import KINDS


@pytest.fixture(scope="module")
def asked():
    return [*prompts("rl", 1200, seed=11), *prompts("test", 800, seed=11)]


def test_every_demonstration_is_right_and_harmless(asked):
    for prompt in asked:
        answer = demonstrate(prompt, seed=1)
        judged = judge(prompt, answer)
        assert judged.correct is not False, (prompt, answer, judged)
        assert judged.harmless == 1
        assert judged.score >= 0.55, (prompt, answer, judged)


def test_every_kind_is_scored_higher_from_terse_to_excellent(asked):
    scores = {name: {manner: [] for manner in MANNERS} for name in KINDS}
    for prompt in asked:
        for manner in MANNERS:
            answer = demonstrate(prompt, seed=2, manner=manner)
            scores[prompt.details["kind"]][manner].append(judge(prompt, answer).score)
    for name, by_manner in scores.items():
        terse, plain, excellent = (statistics.mean(by_manner[manner]) for manner in MANNERS)
        assert terse < plain < excellent, name


def test_manners_have_their_shares():
    counts = Counter(choose_manner(random.Random(seed)) for seed in range(20_000))
    assert counts["terse"] / 20_000 == pytest.approx(0.25, abs=0.01)
    assert counts["plain"] / 20_000 == pytest.approx(0.45, abs=0.01)


def test_most_answers_are_short_and_none_is_long(asked):
    lengths = [len(demonstrate(prompt, seed=3).split()) for prompt in asked]
    assert max(lengths) <= 50
    assert statistics.median(lengths) <= 25


def test_demonstrations_are_the_same_for_the_same_seed():
    assert demonstrations("sft", 60, seed=9) == demonstrations("sft", 60, seed=9)


def test_a_demonstration_is_the_prompt_and_one_answer():
    conversation = demonstrations("sft", 1, seed=0)[0]
    prompt = prompts("sft", 1, seed=0)[0]
    assert conversation.messages[:-1] == prompt.messages
    assert conversation.messages[-1].role == "assistant"

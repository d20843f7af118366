"""No fact, topic, phrasing or prompt text is in two pools that must not share it."""

import itertools
import random

import pytest

from gptwright.errors import InputError
from gptwright.world import POOLS, demonstrate, prompts
from gptwright.world.arithmetic import ALL_SUMS
from gptwright.world.claims import claim_of, find_fact, sentences, side_of_fact, side_of_sum
from gptwright.world.facts import FACTS
from gptwright.world.splits import choose_phrasing, fact_side, fraction, side_of, split_phrasings, topic_side

COUNTS = {"sft": 3000, "reward": 3000, "rl": 6000, "validation": 1000, "test": 2000}


@pytest.fixture(scope="module")
def pools():
    return {pool: prompts(pool, COUNTS[pool], seed=5) for pool in POOLS}


def text(prompt):
    return "\n".join(message.content for message in prompt.messages)


def test_no_prompt_text_is_in_two_pools(pools):
    for one, other in itertools.combinations(POOLS, 2):
        assert not {text(prompt) for prompt in pools[one]} & {text(prompt) for prompt in pools[other]}


def test_no_fact_or_topic_is_on_two_sides(pools):
    keys = {"train": set(), "validation": set(), "test": set()}
    for pool in POOLS:
        for prompt in pools[pool]:
            keys[side_of(pool)].update(prompt.details["keys"])  # whatever kind of prompt it is
    for one, other in itertools.combinations(keys.values(), 2):
        assert not one & other


def test_every_fact_asked_for_is_listed_among_the_keys(pools):
    for pool in POOLS:
        for prompt in pools[pool]:
            fact = prompt.details["fact"]
            if fact is not None:
                assert fact in prompt.details["keys"]
                assert side_of_fact(find_fact(fact)) == side_of(pool)


def test_held_out_phrasings_are_used_by_test_prompts_alone(pools):
    held_out = {prompt.details["phrasing"] for prompt in pools["test"] if prompt.details["held_out"]}
    for pool in POOLS[:4]:
        assert not any(prompt.details["held_out"] for prompt in pools[pool])
        assert not held_out & {prompt.details["phrasing"] for prompt in pools[pool]}


def test_test_prompts_are_partly_in_held_out_phrasings(pools):
    share = sum(prompt.details["held_out"] for prompt in pools["test"]) / len(pools["test"])
    assert 0.3 < share < 0.7


def test_training_demonstrations_state_no_held_out_fact(pools):
    held_out = {fact.key for fact in FACTS if side_of_fact(fact) != "train"}
    held_out |= {asked.key for asked in ALL_SUMS if side_of_sum(asked) != "train"}
    for prompt in pools["sft"]:
        for sentence in sentences(demonstrate(prompt, 0, manner="excellent")):
            claim = claim_of(sentence)
            assert claim is None or claim.key not in held_out


def test_sides_have_their_shares():
    keys = [str(number) for number in range(20_000)]
    facts = [fact_side(key) for key in keys]
    topics = [topic_side(key) for key in keys]
    assert facts.count("train") / 20_000 == pytest.approx(0.70, abs=0.01)
    assert facts.count("test") / 20_000 == pytest.approx(0.20, abs=0.01)
    assert topics.count("train") / 20_000 == pytest.approx(0.75, abs=0.01)
    assert topics.count("test") / 20_000 == pytest.approx(0.15, abs=0.01)


def test_the_hash_is_that_of_every_other_process():
    # sha256("bread") begins with this number, whatever PYTHONHASHSEED is.
    assert fraction("bread") == pytest.approx(0.5950625, abs=1e-6)


def test_opposites_lie_on_one_side_both_ways():
    assert side_of_fact(find_fact("opposite/big")) == side_of_fact(find_fact("opposite/small"))


def test_the_last_fifth_of_phrasings_is_held_out():
    assert split_phrasings(("a", "b", "c", "d", "e", "f")) == (("a", "b", "c", "d"), ("e", "f"))
    assert split_phrasings(("a", "b")) == (("a",), ("b",))


def test_training_never_draws_a_held_out_phrasing():
    rng = random.Random(0)
    drawn = {choose_phrasing(("a", "b", "c"), "train", rng) for _ in range(100)}
    assert drawn == {("a", False), ("b", False)}


def test_an_unknown_pool_is_refused():
    with pytest.raises(InputError, match="unknown prompt pool 'dev'"):
        prompts("dev", 1, seed=0)

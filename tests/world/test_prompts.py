"""Prompts come in the published proportions, distinct, the same for the same seed, and small enough for the model."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from gptwright.errors import InputError
from gptwright.records import prompt_from_json, to_json
from gptwright.world import PANEL, USE_CASE_PERCENT, few_shot, few_shot_prompt, judge, plain_prompt, prompts
from gptwright.world.arithmetic import Sum
from gptwright.world.claims import find_fact, side_of_fact, side_of_sum
from gptwright.world.pools import apportion
from gptwright.world.splits import topic_side


def test_use_cases_have_their_published_shares():
    counts = Counter(prompt.use_case for prompt in prompts("rl", 999, seed=1))
    # The percentages sum to 99.9, so that 999 prompts need no rounding.
    assert counts == {use_case: round(10 * percent) for use_case, percent in USE_CASE_PERCENT.items()}


def test_largest_remainder_rounding_by_hand():
    assert apportion(10, {"a": 2, "b": 1}) == {"a": 7, "b": 3}
    assert apportion(4, {"a": 1, "b": 1, "c": 1}) == {"a": 2, "b": 1, "c": 1}


@pytest.mark.parametrize(
    ("pool", "count"), [("rl", 12_000), ("reward", 6_000), ("sft", 6_000), ("validation", 1_000), ("test", 2_000)]
)
def test_pools_are_large_enough_and_their_prompts_distinct(pool, count):
    drawn = prompts(pool, count, seed=0)
    texts = {tuple(message.content for message in prompt.messages) for prompt in drawn}
    assert len(texts) == len({prompt.id for prompt in drawn}) == count


def test_prompts_depend_on_the_seed_alone():
    assert prompts("sft", 50, seed=3) == prompts("sft", 50, seed=3)
    assert prompts("sft", 50, seed=3) != prompts("sft", 50, seed=4)


def test_another_process_draws_the_same_prompts():
    code = "from gptwright.world import prompts; print([p.id for p in prompts('rl', 40, 2)])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str([prompt.id for prompt in prompts("rl", 40, 2)])


def test_asking_for_more_than_there_are_is_refused_with_a_number():
    with pytest.raises(InputError, match="ask for at most"):
        prompts("validation", 100_000, seed=0)


def test_prompts_are_short():
    for prompt in prompts("rl", 2_000, seed=2):
        assert sum(len(message.content.split()) for message in prompt.messages) <= 90


def test_prompts_survive_json():
    for prompt in prompts("test", 200, seed=0):
        read = prompt_from_json(json.loads(json.dumps(to_json(prompt))))
        assert read == prompt
        assert read.details == prompt.details


def test_the_panel_holds_twelve_judgeable_prompts_from_the_test_side():
    assert len({prompt.id for prompt in PANEL}) == 12
    for prompt in PANEL:
        assert judge(prompt, "The the the.").score < 0.3
        fact = prompt.details["fact"]
        if fact:
            assert side_of_fact(find_fact(fact)) == "test"
        elif prompt.details["kind"] == "sum":
            asked = (prompt.details[part] for part in ("left", "operator", "right"))
            assert side_of_sum(Sum(*asked)) == "test"
        else:
            assert {topic_side(key) for key in prompt.details["keys"]} == {"test"}


def test_the_few_shot_examples_are_from_the_training_side_and_end_where_the_model_goes_on():
    asked = few_shot_prompt(PANEL[5])
    assert asked.startswith(few_shot())
    assert asked.endswith("\n\nQuestion: What is the capital of Canada?\nAnswer:")
    assert side_of_fact(find_fact("capital/Germany")) == "train"
    assert {topic_side(key) for key in ("3 fruits", "steal a car", "snow")} == {"train"}
    assert few_shot().count("Question:") == 4


def test_a_plain_prompt_is_the_chat_without_labels():
    assert plain_prompt(PANEL[9]) == "On which continent is France?\nFrance is in Europe.\nAnd its language?"

"""What evaluation.json says of models' answers, on answers whose worth is known."""

from __future__ import annotations

import pytest

from gptwright import world
from gptwright.pipeline.evaluation import Answered, scores
from gptwright.records import Prompt
from gptwright.tasks.world import score


def answered(prompts: list[Prompt], texts: list[str]) -> Answered:
    return Answered(texts, score(prompts, texts), [])


@pytest.mark.parametrize(("key", "said"), [("held_out_facts", "fact"), ("held_out_phrasings", "held_out")])
def test_what_is_held_out_is_counted_apart(key: str, said: str) -> None:
    prompts = world.prompts("test", 200, seed=0)
    right = [world.demonstrate(prompt, seed=0, manner="plain") for prompt in prompts]
    asked = [bool(prompt.details[said]) for prompt in prompts]
    there, elsewhere = (
        [text if kept is is_asked else "" for text, is_asked in zip(right, asked, strict=True)]
        for kept in (True, False)
    )
    found = scores({"sft": answered(prompts, there), "ppo": answered(prompts, elsewhere)}, seed=0)
    assert found[key]["sft"]["value"] == 1.0
    assert found[key]["ppo"]["value"] == 0.0
    assert 10 < found[key]["sft"]["n"] < found["accuracy"]["sft"]["all"]["n"]

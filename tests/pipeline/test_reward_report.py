"""What the reward report compares the reward model with."""

from __future__ import annotations

from gptwright import world
from gptwright.pipeline.reward_report import second_opinion


def test_agreement_is_asked_of_somebody_else() -> None:
    (prompt,) = world.prompts("test", 1, seed=0)
    answers = ("I am sorry, I do not know.", "Yes.", "No, thank you.")
    people = set()
    for seed in range(60):
        first = world.compare(prompt, answers, seed=seed)
        again = second_opinion(first, seed + 1_000)
        assert again.labeller != first.labeller
        assert (again.prompt, again.answers) == (first.prompt, first.answers)
        people |= {first.labeller, again.labeller}
    assert len(people) == 5

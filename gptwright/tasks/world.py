"""The built-in world as a task: its prompts by pool, its gold judge as the score, its labellers as the people who rank.

RL never sees `score`: it exists to measure what reward models and policies have really gained.
"""

from __future__ import annotations

from collections.abc import Sequence

from gptwright import world
from gptwright.records import Comparison, Prompt
from gptwright.tasks.scored import Scored


def score(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Scored]:
    """The gold judge's verdict on one answer per prompt."""
    scored = []
    for prompt, answer in zip(prompts, answers, strict=True):
        verdict = world.judge(prompt, answer)
        scored.append(
            Scored(
                prompt.id,
                prompt.use_case,
                str(prompt.details["kind"]),
                verdict.correct,
                verdict.score,
                fact=bool(prompt.details.get("fact")),
                new_phrasing=bool(prompt.details.get("held_out")),
            )
        )
    return scored


def figures(prompts: Sequence[Prompt], answers: Sequence[str]) -> dict[str, float]:
    """Mean gold score and accuracy: what is logged while a stage trains."""
    scored = score(prompts, answers)
    checked = [row.correct for row in scored if row.correct is not None]
    return {
        "gold_score": sum(row.score for row in scored) / len(scored),
        "accuracy": sum(checked) / max(1, len(checked)),
    }


def compare(
    prompts: Sequence[Prompt], answers: Sequence[Sequence[str]], *, seed: int, labellers: int = 1
) -> list[Comparison]:
    """Each prompt's answers as so many simulated labellers rank them, prompt after prompt."""
    return [
        world.compare(prompt, list(texts), seed=seed * 1_000_003 + index, colleague=colleague)
        for index, (prompt, texts) in enumerate(zip(prompts, answers, strict=True))
        for colleague in range(labellers)
    ]

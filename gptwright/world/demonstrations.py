"""Answers as people write them: always right and harmless, but some terse, some plain and some excellent."""

from __future__ import annotations

import random

from gptwright.records import Conversation, Message, Prompt
from gptwright.world.manner import Manner, choose_manner
from gptwright.world.pools import prompts
from gptwright.world.splits import Pool
from gptwright.world.usecases import KINDS


def demonstrate(prompt: Prompt, seed: int, manner: Manner | None = None) -> str:
    """A right answer to one of the world's prompts, in a manner drawn by seed unless one is given."""
    rng = random.Random(f"demonstrate/{prompt.id}/{seed}")
    drawn = choose_manner(rng)
    return KINDS[prompt.details["kind"]].demonstrate(prompt.details, manner or drawn, rng)


def demonstrations(pool: Pool, count: int, seed: int) -> list[Conversation]:
    """Answered prompts of a pool, to finetune on."""
    return [
        Conversation(
            (*prompt.messages, Message("assistant", demonstrate(prompt, seed))), id=prompt.id, source=prompt.use_case
        )
        for prompt in prompts(pool, count, seed)
    ]

"""Adding two numbers of several digits: the task on which it shows that models need tokens to think.

An answer written at once must come out of one pass through the model; a chain of thought spends a few tokens on each
column, carries included (Nye et al., "Show Your Work", arXiv:2112.00114).

    What is 58 + 67?                                           direct:  125
    <think>8+7+0=15 5+6+1=12</think>125                        chain:   columns from the right, each with its carry

Problems are split by what is added, so that none of the test is ever asked before, in either order of its numbers. One
of a single digit is a column too, and columns are seen whichever problem they come from.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Literal

from gptwright.records import Conversation, Document, Message, Prompt

Pool = Literal["train", "test"]
TEST_OF_TEN = 2
"""Parts in ten of all problems that are kept for the test."""


def pool_of(a: int, b: int) -> Pool:
    """Where a problem belongs: a function of the two numbers alone."""
    low, high = sorted((a, b))
    # By a hash: any arithmetic on the two would keep some of their last digits, whole columns, for the test alone.
    drawn = int.from_bytes(hashlib.sha256(f"{low}+{high}".encode()).digest()[:8], "big")
    return "test" if drawn % 10 < TEST_OF_TEN else "train"


def problems(pool: Pool, count: int, *, digits: range, seed: int) -> list[tuple[int, int]]:
    """`count` problems, as many of each number of digits; both numbers have that many."""
    chosen, draws = list[tuple[int, int]](), random.Random(f"addition {pool} {seed}")
    while len(chosen) < count:
        size = digits[len(chosen) % len(digits)]
        low, high = (10 ** (size - 1) if size > 1 else 0), 10**size - 1
        a, b = draws.randint(low, high), draws.randint(low, high)
        if pool_of(a, b) == pool:
            chosen.append((a, b))
    return chosen


def chain(a: int, b: int) -> str:
    """58, 67 -> '8+7+0=15 5+6+1=12': each column from the right, with the carry from the one before."""
    columns, carry = [], 0
    for x, y in zip(reversed(str(a)), reversed(str(b)), strict=True):
        total = int(x) + int(y) + carry
        columns.append(f"{x}+{y}+{carry}={total}")
        carry = total // 10
    return " ".join(columns)


def prompt_of(a: int, b: int) -> Prompt:
    details = {"answer": a + b, "digits": len(str(a))}
    return Prompt(f"{a}+{b}", (Message("user", f"What is {a} + {b}?"),), "arithmetic", details)


def prompts(pool: Pool, count: int, *, digits: range, seed: int) -> list[Prompt]:
    return [prompt_of(a, b) for a, b in problems(pool, count, digits=digits, seed=seed)]


def demonstrations(count: int, *, digits: range, seed: int, thinking: bool) -> Iterator[Conversation]:
    """Training problems answered at once, or after a chain of thought."""
    for a, b in problems("train", count, digits=digits, seed=seed):
        prompt = prompt_of(a, b)
        answer = Message("assistant", str(a + b), chain(a, b) if thinking else "")
        yield Conversation((*prompt.messages, answer), id=prompt.id, source="addition")


def documents(count: int, *, digits: range, seed: int) -> Iterator[Document]:
    """What a base model reads: pages of training problems with their sums, and of columns worked out."""
    draws = random.Random(f"addition documents {seed}")
    chosen = problems("train", 10 * count, digits=digits, seed=seed + 1)
    for page in range(count):
        lines = []
        for a, b in chosen[10 * page : 10 * page + 10]:
            asked = f"What is {a} + {b}?" if draws.random() < 0.5 else f"{a} + {b} ="
            lines.append(f"{asked} {a + b}")
        lines += [_column(draws) for _ in range(5)]
        draws.shuffle(lines)
        yield Document("\n".join(lines), source="addition", id=f"addition-{page}")


def _column(draws: random.Random) -> str:
    x, y, carry = draws.randint(0, 9), draws.randint(0, 9), draws.randint(0, 1)
    return f"{x} + {y} + {carry} = {x + y + carry}"

"""Addition as a task: chains that lead to the sum, and problems split so that none of the test is ever seen."""

from __future__ import annotations

import re

import pytest

from gptwright.tasks import addition
from gptwright.tasks.verifiers import number_is_right


def test_a_chain_works_out_columns_with_their_carries_by_hand() -> None:
    assert addition.chain(58, 67) == "8+7+0=15 5+6+1=12"
    assert addition.chain(123, 456) == "3+6+0=9 2+5+0=7 1+4+0=5"


def test_the_sum_can_be_read_off_every_chain() -> None:
    for a, b in addition.problems("train", 200, digits=range(1, 7), seed=0):
        columns = [column.split("=")[1] for column in addition.chain(a, b).split(" ")]
        digits = [column[-1] for column in columns[:-1]] + [columns[-1]]
        assert int("".join(reversed(digits))) == a + b


def test_pools_share_no_problem_in_either_order_and_hold_every_length_alike() -> None:
    pools = {pool: addition.problems(pool, 600, digits=range(1, 4), seed=0) for pool in ("train", "test")}
    seen = {frozenset(problem) for problem in pools["train"]}
    assert not any(frozenset(problem) in seen for problem in pools["test"])
    for problems in pools.values():
        assert [sum(len(str(a)) == size for a, _ in problems) for size in (1, 2, 3)] == [200, 200, 200]
        assert all(len(str(a)) == len(str(b)) for a, b in problems)


def test_either_pool_has_every_pair_of_last_digits() -> None:
    """Whoever answers at once learns columns from whole sums: the test must not ask for one that no sum has shown."""
    for pool in ("train", "test"):
        found = addition.problems(pool, 3_000, digits=range(2, 5), seed=0)
        assert len({tuple(sorted((a % 10, b % 10))) for a, b in found}) == 55
    tested = sum(addition.pool_of(a, b) == "test" for a in range(100) for b in range(a, 100)) / 5_050
    assert tested == pytest.approx(0.2, abs=0.02)


def test_one_seed_gives_one_list() -> None:
    assert addition.prompts("test", 30, digits=range(2, 4), seed=5) == addition.prompts(
        "test", 30, digits=range(2, 4), seed=5
    )
    assert addition.problems("test", 30, digits=range(2, 4), seed=5) != addition.problems(
        "test", 30, digits=range(2, 4), seed=6
    )


def test_demonstrations_are_right_by_the_verifier() -> None:
    for thinking in (False, True):
        for chat in addition.demonstrations(50, digits=range(1, 5), seed=0, thinking=thinking):
            asked, answer = chat.messages
            a, b = (int(word) for word in asked.content.removeprefix("What is ").removesuffix("?").split(" + "))
            assert number_is_right(addition.prompt_of(a, b), answer.content) == 1.0
            assert bool(answer.thinking) is thinking


def test_documents_hold_no_sum_of_the_test() -> None:
    for document in addition.documents(40, digits=range(1, 4), seed=0):
        for line in document.text.splitlines():
            *terms, total = (int(number) for number in re.findall(r"\d+", line))
            assert sum(terms) == total
            assert len(terms) == 3 or addition.pool_of(*terms) == "train"

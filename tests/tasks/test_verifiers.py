"""Verifiers: what counts as right, and what a prompt must bring."""

from __future__ import annotations

import pytest

from gptwright.errors import InputError
from gptwright.records import Message, Prompt
from gptwright.tasks.verifiers import check_numbers, check_tests, number_is_right, share_of_tests


def prompt(**details: object) -> Prompt:
    return Prompt("p1", (Message("user", "?"),), details=details)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("1024", True),
        ("It is 1,024.", True),
        ("Not 12 but 1024.0", True),
        ("1024 or 5", False),
        ("-1024", False),
        ("10240", False),
        ("no number", False),
        ("", False),
    ],
)
def test_the_last_number_counts(answer: str, right: bool) -> None:
    assert number_is_right(prompt(answer=1024), answer) == float(right)
    assert number_is_right(prompt(answer="1,024"), answer) == float(right)


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        ("1,2,3", 3),
        ("1,000,5", 5),
        ("12,34", 34),
        ("1,234,567.5", "1234567.5"),
        ("10-20", 20),
        ("page A-4", 4),
        ("10 - 20 = -10", -10),
        ("(-7)", -7),
    ],
)
def test_lists_and_ranges_are_several_numbers(answer: str, last: object) -> None:
    assert number_is_right(prompt(answer=last), answer) == 1.0


def test_decimals_are_exact() -> None:
    assert number_is_right(prompt(answer="0.3"), "0.30") == 1.0
    assert number_is_right(prompt(answer="0.3"), str(0.1 + 0.2)) == 0.0


def test_the_share_of_tests_that_code_passes_fenced_or_not() -> None:
    asked = prompt(tests=["assert double(2) == 4", "assert double(0) == 0", "assert double('a') == 'b'"])
    code = "def double(x):\n    return 2 * x\n"
    fenced = f"Here it is:\n```python\n{code}```\nEnjoy."
    after_shell = f"First:\n```bash\npip install x\n```\nThen:\n```Python3\n{code}```\n"
    for answer in (code, fenced, after_shell):
        assert share_of_tests(asked, answer, seconds=5) == pytest.approx(2 / 3)
    assert share_of_tests(asked, "I am sorry.", seconds=5) == 0.0


@pytest.mark.parametrize("details", [{}, {"answer": "five"}, {"answer": None}])
def test_a_prompt_without_a_number_is_named(details: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"prompt 'p1' has no number in details\.answer"):
        check_numbers([prompt(answer=3), prompt(**details)])


@pytest.mark.parametrize(
    "test", ["import numpy", "from numpy.linalg import norm", "def f():\n    import os, numpy as np"]
)
def test_tests_that_no_code_could_pass_are_told(test: str) -> None:
    check_tests([prompt(tests=["import math, os.path", "from . import x", "this is no Python"])])
    with pytest.raises(
        InputError, match=r"details\.tests of prompt 'p1' import numpy, and code is tested with Python's"
    ):
        check_tests([prompt(tests=["assert True", test])])


@pytest.mark.parametrize("details", [{}, {"tests": []}, {"tests": "assert 1"}, {"tests": [1]}])
def test_a_prompt_without_tests_is_named(details: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"prompt 'p1' has no list of Python statements in details\.tests"):
        check_tests([prompt(tests=["assert True"]), prompt(**details)])

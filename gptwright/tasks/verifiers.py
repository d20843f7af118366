"""Rewards that a program can check: a right number, code that passes its tests. What is right stands in the prompt's
`details`, which models never see.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from gptwright.errors import InputError
from gptwright.records import Prompt
from gptwright.tasks.sandbox import run_tests

_NUMBER = re.compile(r"(?:(?<!\w)-)?(?:\d{1,3}(?:,\d{3})+(?!,?\d)|\d+)(?:\.\d+)?")
"""Commas stand between thousands alone, and a minus behind a number or a word is none: '1,2,3' ends with 3, '10-20'
with 20.
"""
_FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PYTHON = ("", "py", "python", "python3")


def number_is_right(prompt: Prompt, answer: str) -> float:
    """1 if the last number of the answer is `details["answer"]`: '1,024' is 1024, and 3.0 is 3."""
    found = _NUMBER.findall(answer)
    return float(bool(found) and _as_number(found[-1]) == _as_number(prompt.details["answer"]))


def share_of_tests(prompt: Prompt, answer: str, *, seconds: float) -> float:
    """The share of `details["tests"]` that the answer's code passes: its fenced blocks, or all of it."""
    blocks = [code for language, code in _FENCED.findall(answer) if language.strip().lower() in _PYTHON]
    code = "\n".join(blocks) or answer
    tests = prompt.details["tests"]
    return run_tests(code, tests, seconds=seconds) / len(tests)


def check_numbers(prompts: Iterable[Prompt]) -> None:
    """Raises InputError for a prompt that does not say which number is right."""
    for prompt in prompts:
        if "answer" not in prompt.details or _as_number(prompt.details["answer"]) is None:
            raise InputError(
                f"prompt {prompt.id!r} has no number in details.answer, which a reward of kind number needs: add it, "
                "or leave that prompt out"
            )


def check_tests(prompts: Iterable[Prompt]) -> None:
    """Raises InputError for a prompt without tests, or with some that no code could pass."""
    for prompt in prompts:
        tests = prompt.details.get("tests")
        if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
            raise InputError(
                f"prompt {prompt.id!r} has no list of Python statements in details.tests, which a reward of kind tests "
                "needs: add it, or leave that prompt out"
            )
        if missing := sorted(set().union(*map(_imported, tests)) - sys.stdlib_module_names):
            raise InputError(
                f"details.tests of prompt {prompt.id!r} import {missing[0]}, and code is tested with Python's standard "
                "library alone: write them without it, or leave that prompt out"
            )


def _imported(test: str) -> set[str]:
    """The modules that a test asks for, by their first names."""
    try:
        nodes = list(ast.walk(ast.parse(test)))
    except SyntaxError:  # a test that nobody passes, told by its answers' reward
        return set()
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names}


def _as_number(value: Any) -> Decimal | None:
    try:
        return Decimal(str(value).replace(",", "").strip())
    except InvalidOperation:
        return None

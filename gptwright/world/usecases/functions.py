"""Python functions that tell palindromes. Answers are parsed and compared with accepted ones, never run."""

from __future__ import annotations

import ast
import random
import re
from functools import cache

from gptwright.world.manner import CLOSINGS, Manner, framed, unframe
from gptwright.world.sources_code import PALINDROMES
from gptwright.world.splits import Side, topics
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, graded, worded

_VERBS = ("is", "check", "test", "find", "see", "try", "judge", "tell")
_OBJECTS = ("palindrome", "word", "text", "name", "line", "string", "sentence", "letters", "title", "mirror")
_NAMES = tuple(f"{verb}_{thing}" for verb in _VERBS for thing in _OBJECTS)

_PHRASINGS = (
    "Write a Python function {function} that tells if a text is a palindrome.",
    "Write a Python function called {function} that checks for a palindrome.",
    "Please write a palindrome function in Python with the name {function}.",
    "I need a Python function {function} that finds out if a word is a palindrome.",
    "Write palindrome code in Python and call the function {function}.",
)
_LEAD = "Here is the function:"

_BODIES = ("return text == text[::-1]", "return text[::-1] == text")
_ACCEPTED = (
    *_BODIES,
    "return list(text) == list(reversed(text))",
    "return ''.join(reversed(text)) == text",
    "return text == ''.join(reversed(text))",
    "text = text.lower()\n    return text == text[::-1]",
    "return text.lower() == text.lower()[::-1]",
    "if text == text[::-1]:\n        return True\n    return False",
    "if text == text[::-1]:\n        return True\n    else:\n        return False",
    "backwards = text[::-1]\n    return text == backwards",
    *(body.strip().replace("word", "text") for body in PALINDROMES),
)
_FENCE = re.compile(r"```(?:python)?\n(.*?)\n?```", re.DOTALL)

NUM_CHECKS = 4


class _Rename(ast.NodeTransformer):
    """Gives variables the names v0, v1, ... in order of use, so that only the structure counts."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self.names.setdefault(node.arg, f"v{len(self.names)}"))

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if isinstance(node.ctx, ast.Store):
            self.names.setdefault(node.id, f"v{len(self.names)}")
        return ast.Name(self.names.get(node.id, node.id), node.ctx)


def _structure(function: ast.FunctionDef) -> str:
    """The function's code without its names, annotations and docstring."""
    function.name, function.returns = "f", None
    first = function.body[0]
    if len(function.body) > 1 and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        function.body = function.body[1:]
    return ast.unparse(ast.fix_missing_locations(_Rename().visit(function)))


def _parse(code: str) -> ast.FunctionDef | None:
    """The one function that the text is; None for anything else."""
    if "\\" in code or "\0" in code:  # no accepted answer needs either, and both make the parser complain
        return None
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return body[0] if len(body) == 1 and isinstance(body[0], ast.FunctionDef) else None


@cache
def _accepted_structures() -> frozenset[str]:
    parsed = [_parse(f"def f(text):\n    {body}") for body in _ACCEPTED]
    return frozenset(_structure(function) for function in parsed if function)


def _draw(side: Side, rng: random.Random) -> Task:
    function = rng.choice(topics(_NAMES, side))
    return worded(_PHRASINGS, side, rng, keys=[function], function=function)


def _answer(details: Details, manner: Manner, rng: random.Random) -> str:
    core = f"def {details['function']}(text):\n    {rng.choice(_BODIES)}"
    return framed(core, manner, lead=_LEAD, closing=CLOSINGS[0], break_line=True)


def _check(details: Details, answer: str) -> Verdict:
    frame = unframe(answer, [_LEAD])
    fenced = _FENCE.fullmatch(frame.core)
    function = _parse(fenced[1] if fenced else frame.core)
    if function is None:
        named = f"def {details['function']}(" in frame.core
        faults = ["the code is not one Python function", *(["the name is wrong"] * (not named))]
        return graded(frame, [*faults, "it does not tell palindromes"], NUM_CHECKS)
    faults = [] if function.name == details["function"] else ["the name is wrong"]
    if _structure(function) not in _accepted_structures():
        faults.append("it does not tell palindromes")
    return graded(frame, faults, NUM_CHECKS)


FUNCTIONS = (Kind("palindrome", "generation", 0.04, _draw, _answer, _check, prose=False, longest=40),)

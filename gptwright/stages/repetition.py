"""How often an answer says again what it has said: the one fault that likelihood praises."""

from __future__ import annotations

import re

_ENDS = re.compile(r"[,;.!?\n]|\band\b")
_MARK = re.compile(r"(\d+[.)]|[-*])\s+", re.MULTILINE)
"""Of an item in a list: numbers of their own would make equal items differ."""


def count_repeated(answer: str) -> int:
    """The number of lines, sentences and items of a listing that stood in the answer before, case aside.

    >>> count_repeated("Ant, bee and ant. It barks. It barks.")
    2
    """
    parts = [" ".join(part.lower().split()) for part in _ENDS.split(_MARK.sub("\n", answer))]
    said = [part for part in parts if part]
    return len(said) - len(set(said))

"""How often an answer says again what it has said: the one fault that likelihood praises."""

from __future__ import annotations

import re

_SENTENCE = re.compile(r"[;.!?\n]")
_ITEM = re.compile(r",|\band\b")
_MARK = re.compile(r"(\d+[.)]|[-*])\s+", re.MULTILINE)
"""Of an item in a list: numbers of their own would make equal items differ."""


def count_repeated(answer: str) -> int:
    """The number of lines, sentences and items of a listing that stood in the answer before, case aside.

    >>> count_repeated("Ant, bee and ant. It barks. It barks.")
    2
    >>> count_repeated("Three pets are cat, dog and cat.")
    1
    """
    said: set[str] = set()
    repeated = 0
    for sentence in _SENTENCE.split(_MARK.sub("\n", answer.lower())):
        items = [item for part in _ITEM.split(sentence) if (item := " ".join(part.split()))]
        for place, item in enumerate(items):
            # A listing's first item stands behind the words that introduce it.
            repeated += item in said or (place and items[0].endswith(f" {item}"))
            said.add(item)
    return repeated

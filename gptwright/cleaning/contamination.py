"""Texts of evaluations found in documents, by equal runs of words (Brown et al., arXiv:2005.14165, appendix C).

datatrove's decontamination builds its index from lighteval's tasks alone, which it downloads, and finds only texts
longer than its n-grams; most prompts are shorter. This index takes any texts, and looks for the shorter ones whole.
The shortest only where they ask something: an answer such as "during World War II" stands in many documents.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from gptwright.cleaning.settings import Decontamination
from gptwright.data.rows import ROW_SUFFIXES, plain_name, read_rows
from gptwright.data.sources import find_files, read_found
from gptwright.errors import InputError
from gptwright.world import prompts

TEMPLATE_TEXTS = 10
"""Words that more than so many different texts of an evaluation share are its template, not its content."""
_WORD = re.compile(r"\w+")


class Hit(NamedTuple):
    """The words that were found, and the evaluation that they are from."""

    origin: str
    words: str


class Text(NamedTuple):
    """One of an evaluation."""

    origin: str
    text: str
    asks: bool
    """Whether it is known to be a prompt; one that ends in a question mark is taken for one anyway."""


class Contamination:
    """All runs of words that must not occur."""

    def __init__(self, texts: Iterable[Text], settings: Decontamination) -> None:
        met: Counter[str] = Counter()
        origins: dict[str, str] = {}
        for origin, text, asks in dict.fromkeys(texts):
            words = _words(text)
            length = min(settings.n_grams, len(words))
            asking = asks or text.rstrip().endswith("?")
            if length >= (settings.shortest_prompt if asking else settings.shortest):
                for run in {" ".join(words[i : i + length]) for i in range(len(words) - length + 1)}:
                    met[run] += 1
                    origins[run] = origin
        self._origins = {run: origin for run, origin in origins.items() if met[run] <= TEMPLATE_TEXTS}
        self._beginning = settings.shortest_prompt
        self._lengths: dict[str, set[int]] = defaultdict(set)
        """In words, of the runs that begin with these words."""
        for words in map(str.split, self._origins):
            self._lengths[" ".join(words[: self._beginning])].add(len(words))

    def __len__(self) -> int:
        return len(self._origins)

    def find(self, text: str) -> Hit | None:
        """The first run of words of an evaluation in a text."""
        words = _words(text)
        for start in range(len(words) - self._beginning + 1):
            # Every run has at least as many words as this, so most places cost one look-up.
            for length in self._lengths.get(" ".join(words[start : start + self._beginning]), ()):
                run = " ".join(words[start : start + length])
                if run in self._origins:
                    return Hit(self._origins[run], run)
        return None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


@cache
def load_contamination(settings: Decontamination) -> Contamination:
    """The index of all evaluation texts, made once per process. Raises InputError when all are too short."""
    index = Contamination(_evaluation_texts(settings), settings)
    if not len(index):
        raise InputError(
            f"decontaminate: no evaluation text has {settings.shortest} words or more, and no question "
            f"{settings.shortest_prompt}; lower decontaminate.shortest or decontaminate.shortest_prompt"
        )
    return index


def _evaluation_texts(settings: Decontamination) -> Iterator[Text]:
    for pattern in settings.files:
        for file in find_files(pattern):
            name = plain_name(file)
            if file.name.endswith(ROW_SUFFIXES):
                yield from (Text(name, text, False) for row in read_rows(file) for text in _texts_in(row.values))
            else:
                yield from (Text(name, document.text, False) for document in read_found([Path(file)]))
    if settings.world:
        # How many are drawn changes which: of a draw ten times as large two thirds of an evaluation's were missing.
        for seed in settings.world_seeds:
            for prompt in prompts("test", settings.world_prompts, seed=seed):
                yield from (Text("world", turn.content, turn.role == "user") for turn in prompt.messages)


def _texts_in(value: Any) -> Iterator[str]:
    """Every string in a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_in(inner)

"""Texts of evaluations found in documents, by equal runs of words (Brown et al., arXiv:2005.14165, appendix C).

datatrove's decontamination builds its index from lighteval's tasks alone, which it downloads, and finds only texts
longer than its n-grams; most prompts are shorter. This index takes any texts, and looks for the shorter ones whole.
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
"""Words that more than so many texts of an evaluation share are its template, not its content."""
_WORD = re.compile(r"\w+")


class Hit(NamedTuple):
    """The words that were found, and the evaluation that they are from."""

    origin: str
    words: str


class Contamination:
    """All runs of words that must not occur."""

    def __init__(self, texts: Iterable[tuple[str, str]], settings: Decontamination) -> None:
        """`texts` are (name of the evaluation, text)."""
        met: Counter[str] = Counter()
        origins: dict[str, str] = {}
        for origin, text in texts:
            words = _words(text)
            length = min(settings.n_grams, len(words))
            if length >= settings.shortest:
                for run in {" ".join(words[i : i + length]) for i in range(len(words) - length + 1)}:
                    met[run] += 1
                    origins[run] = origin
        self._beginning = settings.shortest
        self._runs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for run, origin in origins.items():
            if met[run] <= TEMPLATE_TEXTS:
                self._runs[" ".join(run.split()[: self._beginning])].append((run, origin))

    def __len__(self) -> int:
        return sum(map(len, self._runs.values()))

    def find(self, text: str) -> Hit | None:
        """The first run of words of an evaluation in a text."""
        words = _words(text)
        for start in range(len(words) - self._beginning + 1):
            # Every run has at least as many words as this, so most places cost one look-up.
            for run, origin in self._runs.get(" ".join(words[start : start + self._beginning]), ()):
                if " ".join(words[start : start + run.count(" ") + 1]) == run:
                    return Hit(origin, run)
        return None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


@cache
def load_contamination(settings: Decontamination, seed: int) -> Contamination:
    """The index of all evaluation texts, made once per process. Raises InputError when all are too short."""
    index = Contamination(_evaluation_texts(settings, seed), settings)
    if not len(index):
        raise InputError(
            f"decontaminate: no evaluation text has {settings.shortest} words or more; lower decontaminate.shortest"
        )
    return index


def _evaluation_texts(settings: Decontamination, seed: int) -> Iterator[tuple[str, str]]:
    for pattern in settings.files:
        for file in find_files(pattern):
            name = plain_name(file)
            if file.name.endswith(ROW_SUFFIXES):
                yield from ((name, text) for row in read_rows(file) for text in _texts_in(row.values))
            else:
                yield from ((name, document.text) for document in read_found([Path(file)]))
    if settings.world:
        for prompt in prompts("test", settings.world_prompts, seed=seed):
            yield from (("world", message.content) for message in prompt.messages)


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

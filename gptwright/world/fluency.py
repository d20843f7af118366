"""Whether a text is made of the world's words in an order that the world's texts use; gibberish is not.

Words and pairs of neighbours are collected once from a sample of documents and demonstrations. In pairs, names,
numbers, topics and adjectives stand for their class, so a sentence about a topic that the sample lacks is still fluent.
"""

from __future__ import annotations

import itertools
import random
import re
from functools import cache

from gptwright.world.documents import document
from gptwright.world.facts import FACTS, RELATIONS
from gptwright.world.lexicon import ADJECTIVES, CATEGORIES, DIGITS, NAME_STYLES, NAMES, NOUNS, PLACES, SYLLABLES
from gptwright.world.manner import MANNERS
from gptwright.world.passages import FEELINGS, ITEMS
from gptwright.world.pools import details_of
from gptwright.world.splits import Side
from gptwright.world.usecases import KINDS

_SAMPLE_TASKS: dict[Side, int] = {"train": 120, "validation": 30, "test": 60}
"""Per kind, each answered in every manner."""
_SAMPLE_SOURCES = ("clean_web", "encyclopedia", "books")
_SAMPLE_DOCUMENTS = 150
"""Per source."""

_TOKEN = re.compile(r"[a-z']+|\d+|[.,:;!?]")

# A tenth of the words may be strange and a fifth of the pairs new; at these shares nothing of the form is left.
STRANGE_WORDS_ALLOWED, STRANGE_WORDS_FATAL = 0.1, 0.5
NEW_PAIRS_ALLOWED, NEW_PAIRS_FATAL = 0.2, 0.55


@cache
def _classes() -> dict[str, str]:
    classes = dict.fromkeys(ADJECTIVES, "<adjective>") | dict.fromkeys(FEELINGS, "<adjective>")
    classes |= dict.fromkeys(itertools.chain(NOUNS, PLACES), "<noun>") | dict.fromkeys(ITEMS, "<nouns>")
    people = itertools.chain(NAMES, *NAME_STYLES.values())
    return classes | {name.lower(): "<name>" for name in people if name.lower() not in classes}


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def _class_of(token: str) -> str:
    return "<number>" if token.isdigit() else _classes().get(token, token)


def _pairs(tokens: list[str]) -> list[tuple[str, str]]:
    kinds = [_class_of(token) for token in tokens]
    return list(itertools.pairwise([".", *kinds]))


@cache
def _sample() -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """The world's words, and the pairs of neighbours in it."""
    texts = [document(0, source, index).text for source in _SAMPLE_SOURCES for index in range(_SAMPLE_DOCUMENTS)]
    rng = random.Random("fluency")
    for kind in KINDS.values():
        for side, count in _SAMPLE_TASKS.items():
            for _ in range(count):
                details = details_of(kind, kind.draw(side, rng))
                texts += [kind.demonstrate(details, manner, rng) for manner in MANNERS]
    for fact in FACTS:
        relation = RELATIONS[fact.relation]
        texts += [fact.say(template) for template in (*relation.statements, *relation.reverse)]
    words = set(itertools.chain(*CATEGORIES.values(), SYLLABLES, DIGITS)) | set(_classes())
    pairs: set[tuple[str, str]] = set()
    for text in texts:
        tokens = _tokens(text)
        words.update(tokens)
        pairs.update(_pairs(tokens))
    return frozenset(words), frozenset(pairs)


def _left(share: float, allowed: float, fatal: float) -> float:
    return min(1.0, max(0.0, (fatal - share) / (fatal - allowed)))


def word_fluency(text: str, known: str = "") -> float:
    """1 when at least nine words in ten are the world's or stand in `known`, 0 when half of them are strange."""
    words = [token for token in _tokens(text) if token[0].isalpha()]
    if not words:
        return 1.0 if re.search(r"\d", text) else 0.0
    vocabulary = _sample()[0]
    asked = set(_tokens(known))
    strange = sum(word not in vocabulary and word not in asked for word in words) / len(words)
    return _left(strange, STRANGE_WORDS_ALLOWED, STRANGE_WORDS_FATAL)


def order_fluency(text: str, known: str = "") -> float:
    """1 when at least four in five pairs of neighbours are the world's, 0 when more than half are new.

    One new pair is always forgiven, so that short answers are not judged on a single word, which has no order.
    """
    pairs = _pairs(_tokens(text))
    if len(text.split()) < 2:
        return 1.0
    seen = _sample()[1]
    asked = set(_pairs(_tokens(known)))
    new = sum(pair not in seen and pair not in asked for pair in pairs)
    return _left(max(0, new - 1) / len(pairs), NEW_PAIRS_ALLOWED, NEW_PAIRS_FATAL)

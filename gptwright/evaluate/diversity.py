"""How much a model's samples differ from one another; what reinforcement learning tends to cost.

Words are what whitespace separates, upper and lower case told apart: no language is assumed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from gptwright.errors import InputError

BLEU_ORDER = 4
_NO_MATCH = 0.1
"""Stands for zero matches, so that one missing order does not zero the score (Chen and Cherry 2014, method 1)."""

Ngram = tuple[str, ...]


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams of all texts (Li et al. 2016); 0 if the texts are too short to have any.

    `distinct_n(["a b a"], 1)` is 2/3. It falls as texts get longer: compare only sets of about the same size.
    """
    if not texts or n < 1:
        raise InputError(f"distinct-n needs at least one text and n >= 1, got {len(texts)} texts and n = {n}")
    counts: Counter[Ngram] = Counter()
    for text in texts:
        counts.update(_ngrams(text.split(), n))
    return len(counts) / counts.total() if counts else 0.0


def self_bleu(texts: Sequence[str]) -> float:
    """The mean BLEU-4 of each text against all others (Zhu et al. 2018, Texygen): 1 if all are the same.

    A text shorter than four words is compared by the orders it has; one without words shares nothing and counts 0.
    """
    if len(texts) < 2:
        raise InputError(f"self-BLEU compares texts with each other: give two or more, got {len(texts)}")
    words = [text.split() for text in texts]
    counts = [[Counter(_ngrams(text, n)) for text in words] for n in range(1, BLEU_ORDER + 1)]
    highest = [_two_highest(order) for order in counts]
    lengths = Counter(len(text) for text in words)
    return sum(_bleu(i, words, counts, highest, lengths) for i in range(len(texts))) / len(texts)


def identical_opening_share(texts: Sequence[str], words: int = 3) -> float:
    """The share of all pairs of texts that open with the same words.

    Pairs, since a share of texts would grow with their number. A text of fewer words is its own opening.
    `["a b c d", "a b c", "x"]` has 1 such pair of 3.
    """
    if len(texts) < 2 or words < 1:
        raise InputError(f"openings are compared between two or more texts, got {len(texts)} texts and {words} words")
    openings = Counter(tuple(text.split()[:words]) for text in texts)
    return sum(count * (count - 1) for count in openings.values()) / (len(texts) * (len(texts) - 1))


def _ngrams(words: Sequence[str], n: int) -> list[Ngram]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _two_highest(counts: Sequence[Counter[Ngram]]) -> dict[Ngram, tuple[int, int, int]]:
    """Per n-gram: the text with the most of it, how many, and the most in any other text.

    BLEU clips by the highest count among the references, here all texts but one. Knowing the two highest makes that a
    look-up, where asking every other text would take quadratic time.
    """
    highest: dict[Ngram, tuple[int, int, int]] = {}
    for i, counter in enumerate(counts):
        for ngram, count in counter.items():
            owner, first, second = highest.get(ngram, (-1, 0, 0))
            highest[ngram] = (i, count, first) if count > first else (owner, first, max(second, count))
    return highest


def _bleu(
    i: int,
    words: Sequence[Sequence[str]],
    counts: Sequence[Sequence[Counter[Ngram]]],
    highest: Sequence[dict[Ngram, tuple[int, int, int]]],
    lengths: Counter[int],
) -> float:
    length = len(words[i])
    if not length:
        return 0.0
    log_precisions = []
    for order in range(min(BLEU_ORDER, length)):
        matches = 0
        for ngram, count in counts[order][i].items():
            owner, first, second = highest[order][ngram]
            matches += min(count, second if owner == i else first)
        log_precisions.append(math.log(max(matches, _NO_MATCH) / counts[order][i].total()))
    others = [other for other, count in lengths.items() if count > (other == length)]
    closest = min(others, key=lambda other: (abs(other - length), other))
    brevity = min(0.0, 1 - closest / length)
    return math.exp(brevity + sum(log_precisions) / len(log_precisions))

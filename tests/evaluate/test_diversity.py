"""Diversity measures against hand counts and a slow independent BLEU."""

import math
import random
from collections import Counter

import pytest

from gptwright.errors import InputError
from gptwright.evaluate.diversity import distinct_n, identical_opening_share, self_bleu


def slow_bleu(words, references):
    """BLEU-4 as in Papineni et al. 2002, every reference asked in turn; zero matches count 0.1."""
    logs = []
    for n in range(1, min(4, len(words)) + 1):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        matches = 0
        for gram, count in grams.items():
            best = 0
            for other in references:
                best = max(best, sum(tuple(other[i : i + n]) == gram for i in range(len(other) - n + 1)))
            matches += min(count, best)
        logs.append(math.log((matches or 0.1) / sum(grams.values())))
    closest = min((abs(len(other) - len(words)), len(other)) for other in references)[1]
    brevity = 1.0 if len(words) > closest else math.exp(1 - closest / len(words))
    return brevity * math.exp(sum(logs) / len(logs))


def test_distinct_n_by_hand():
    texts = ["a b a", "a b"]
    assert distinct_n(texts, 1) == pytest.approx(2 / 5)
    assert distinct_n(texts, 2) == pytest.approx(2 / 3)
    assert distinct_n(texts, 4) == 0.0


def test_self_bleu_of_one_text_repeated_is_one():
    assert self_bleu(["the cat sat on the mat"] * 3) == pytest.approx(1)


def test_self_bleu_by_hand():
    # Each against the other: unigrams 1 of 2; bigrams 0 of 1, smoothed to 0.1; no brevity penalty.
    assert self_bleu(["a b", "a c"]) == pytest.approx(math.sqrt(0.5 * 0.1))


def test_self_bleu_equals_the_slow_way():
    rng = random.Random("self-bleu")
    texts = [" ".join(rng.choices("abcde", k=rng.randint(3, 14))) for _ in range(12)]
    words = [text.split() for text in texts]
    expected = [slow_bleu(text, words[:i] + words[i + 1 :]) for i, text in enumerate(words)]
    assert self_bleu(texts) == pytest.approx(sum(expected) / len(expected))


def test_an_empty_text_shares_nothing():
    assert self_bleu(["", "a b c d", "a b c d"]) == pytest.approx(2 / 3)


def test_openings_are_counted_in_pairs():
    texts = ["Sure, here is one", "Sure, here is another", "Sure, here is", "No"]
    assert identical_opening_share(texts) == pytest.approx(3 / 6)
    assert identical_opening_share(texts, words=4) == 0.0


def test_comparing_one_text_with_itself_is_refused():
    with pytest.raises(InputError, match="two or more"):
        self_bleu(["alone"])
    with pytest.raises(InputError, match="two or more"):
        identical_opening_share(["alone"])

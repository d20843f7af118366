"""Board threads in the crawl: wishes of every kind with right replies, never in a phrasing kept for measuring."""

from __future__ import annotations

import random

from gptwright.world.sources_threads import USE_CASE_DRAWS, thread
from gptwright.world.splits import split_phrasings
from gptwright.world.usecases import KINDS
from gptwright.world.usecases.verses import _POEM_PHRASINGS


def test_every_use_case_is_wished_for() -> None:
    assert set(USE_CASE_DRAWS) == {kind.use_case for kind in KINDS.values()}


def test_a_thread_alternates_between_two_people_and_ends_with_the_reply() -> None:
    rng = random.Random(0)
    for _ in range(300):
        names = [line.split(": ", 1)[0] for line in thread(rng).splitlines() if line.split(": ", 1)[0].isalpha()]
        assert len(names) >= 2 and names[0] != names[1]


def test_held_out_phrasings_of_poems_never_occur() -> None:
    held_out = [phrasing.split("{")[0] for phrasing in split_phrasings(_POEM_PHRASINGS)[1]]
    rng = random.Random(1)
    texts = [thread(rng) for _ in range(3000)]
    trained = [phrasing.split("{")[0] for phrasing in split_phrasings(_POEM_PHRASINGS)[0]]
    assert any(start in text for start in trained for text in texts)
    assert not any(start in text for start in held_out for text in texts)


def test_a_thread_is_a_pure_function_of_its_generator() -> None:
    assert thread(random.Random(7)) == thread(random.Random(7))

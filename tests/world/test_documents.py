"""The raw text: pure, even over the facts, right outside the web, and with tasks that nobody answers in it."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import islice

import pytest

from gptwright import world
from gptwright.errors import InputError
from gptwright.world.arithmetic import ALL_SUMS
from gptwright.world.documents import COPY_SHARE, SOURCES, document, documents, looks_like_tasks, mixed_documents
from gptwright.world.facts import FACTS, RELATIONS, values_of
from gptwright.world.sources_web import WRONG_SHARE, tasks_page
from gptwright.world.verse import poem

CHARACTERS = 1_500_000
_PREFIX = re.compile(r"^(?:- |\d+\. |> |Answer: |[A-Z]\w+: (?:> )?)+")


@cache
def corpus() -> dict[str, list[str]]:
    """The first texts of every source, in its share of `CHARACTERS`."""
    texts: dict[str, list[str]] = {}
    for source, share in SOURCES.items():
        wanted, taken = share * CHARACTERS, []
        for made in documents(0, source):
            taken.append(made.text)
            wanted -= len(made.text)
            if wanted <= 0:
                break
        texts[source] = taken
    return texts


@cache
def readings() -> dict[str, tuple[str, bool]]:
    """Each sentence that states a fact, truly or with another value of its relation: its key, whether it is true."""
    found: dict[str, tuple[str, bool]] = {}
    for fact in FACTS:
        relation = RELATIONS[fact.relation]
        for template in (*relation.statements, *relation.reverse):
            for value in values_of(fact.relation):
                sentence = template.format(subject=fact.subject, value=value)
                if value == fact.value or sentence not in found:
                    found[sentence] = (fact.key, value == fact.value)
    return found


def stated(texts: list[str]) -> list[tuple[str, bool]]:
    """The facts that texts state, with whether each is true."""
    sentences = (
        sentence
        for text in texts
        for line in text.splitlines()
        for sentence in re.split(r"(?<=[.!?])\s", _PREFIX.sub("", line))
    )
    return [readings()[sentence] for sentence in sentences if sentence in readings()]


def test_document_is_a_pure_function() -> None:
    for source in SOURCES:
        texts = [document(3, source, index).text for index in range(20)]
        assert texts == [document(3, source, index).text for index in range(20)]
        assert texts == [made.text for made in islice(documents(3, source), 20)]
        assert texts[5:] == [made.text for made in islice(documents(3, source, start=5), 15)]
        assert texts != [document(4, source, index).text for index in range(20)]


def test_another_process_makes_the_same_bytes() -> None:
    script = (
        "from gptwright.world.documents import document\nprint(ascii([document(1, 'web', i).text for i in range(30)]))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ascii([document(1, "web", i).text for i in range(30)])


def test_documents_name_their_source() -> None:
    made = document(0, "books", 12)
    assert (made.source, made.id) == ("books", "books-12")


@pytest.mark.parametrize(("seed", "source", "index"), [(0, "radio", 0), (0, "web", -1), (-1, "web", 0)])
def test_what_cannot_be_made_is_refused(seed: int, source: str, index: int) -> None:
    with pytest.raises(InputError):
        document(seed, source, index)


def test_shares_sum_to_one() -> None:
    assert sum(SOURCES.values()) == pytest.approx(1)


def test_texts_are_short_ascii_and_without_open_slots() -> None:
    for source, texts in corpus().items():
        assert all(text.isascii() and text == text.strip() for text in texts), source
        assert all(len(text.split()) <= 200 for text in texts), source
        if source != "code":
            assert not any("{" in text for text in texts), source


def asked_alike(phrasing: str, text: str) -> list[str]:
    """Where a text has this phrasing, filled with whatever."""
    literals = re.split(r"\{\w+\}", phrasing)
    filled = "[^\n?]{1,60}".join(map(re.escape, literals))
    return re.findall(filled, text) if max(literals, key=len) in text else []


def test_no_document_has_a_phrasing_that_is_held_out() -> None:
    asked = [prompt.details for prompt in world.prompts("test", 2000, seed=0)]
    held_out, trained = ({each["phrasing"] for each in asked if each["held_out"] is kept} for kept in (True, False))
    text = "\n".join(each for texts in corpus().values() for each in texts)
    assert len(held_out) > 50
    found = {match for phrasing in held_out for match in asked_alike(phrasing, text)}
    # "Think of three names like Ada." is not "Think of three {category}."
    assert [match for match in found if not any(asked_alike(phrasing, match) for phrasing in trained)] == []
    assert sum(bool(asked_alike(phrasing, text)) for phrasing in trained) > 0.5 * len(trained)


def test_the_crawl_has_what_crawls_have() -> None:
    texts = corpus()["web"]
    for pattern, least in (
        (r" \| ", 0.1),
        (r"(?i)cookies?", 0.02),
        (r"\b555\b", 0.02),
        (r"(?i)\b(buy|sale|offer|free)\b", 0.02),
    ):
        assert sum(re.search(pattern, text) is not None for text in texts) > least * len(texts), pattern


def test_every_fact_is_stated_about_equally_often() -> None:
    counts = Counter(key for texts in corpus().values() for key, true in stated(texts) if true)
    per_20_megabytes = {fact.key: counts[fact.key] * 20_000_000 / CHARACTERS for fact in FACTS}
    # About 24 mentions of each in this sample, so chance alone spreads them by a fifth and more.
    assert min(per_20_megabytes.values()) > 100
    for relation in RELATIONS:
        mine = [count for key, count in per_20_megabytes.items() if key.startswith(f"{relation}/")]
        assert sum(mine) / len(mine) > 220, relation


def test_every_sum_is_stated() -> None:
    counts: Counter[str] = Counter()
    rng = random.Random(0)
    wordings = {each.statement(rng): each.key for each in ALL_SUMS for _ in range(80)}
    for texts in corpus().values():
        for text in texts:
            counts.update(wordings[line] for line in text.splitlines() if line in wordings)
    assert sum(counts.values()) * 20_000_000 / CHARACTERS / len(ALL_SUMS) > 90
    assert sum(counts[each.key] == 0 for each in ALL_SUMS) <= 3


def test_a_few_web_statements_are_wrong() -> None:
    truths = [true for _, true in stated(corpus()["web"])]
    assert 1 - sum(truths) / len(truths) == pytest.approx(WRONG_SHARE, abs=0.02)


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "web"])
def test_clean_sources_are_never_wrong(source: str) -> None:
    assert all(true for _, true in stated(corpus()[source]))


def test_some_web_pages_are_copies() -> None:
    texts = corpus()["web"]
    copied = sum("\nCopied by " in text for text in texts) / len(texts)
    assert copied == pytest.approx(COPY_SHARE, abs=0.01)


def test_task_pages_look_like_tasks() -> None:
    rng = random.Random(1)
    assert all(looks_like_tasks(tasks_page(rng).partition("\n")[2]) for _ in range(200))


def test_about_every_eighth_web_page_is_tasks_alone() -> None:
    texts = corpus()["web"]
    assert 0.08 < sum(looks_like_tasks(text) for text in texts) / len(texts) < 0.2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write a story about a dog.\nList three fruits.", True),
        ("1. What is the capital of Peru?\n2. Name a river in Fra", True),
        ("What is the capital of Peru?", True),
        ("What is the cap", True),
        ("The capital of Peru is Lima.", False),
        ("The capital of Peru is Lima.\nWrite a poem about bread and cheese.", False),
        ("Three fruits:\n1. apple\n2. plum\n3. pear", False),
        ("Give me the bread, old or new,\nand any sky is clear and blue.", False),
        ("", False),
    ],
)
def test_looks_like_tasks_by_hand(text: str, expected: bool) -> None:
    assert looks_like_tasks(text) is expected


def test_poems_do_not_look_like_tasks() -> None:
    rng = random.Random(2)
    assert not any(looks_like_tasks(poem(rng, "bread", "cheese")) for _ in range(200))


def test_the_vocabulary_is_small() -> None:
    words = Counter(
        word.lower() for texts in corpus().values() for text in texts for word in re.findall("[A-Za-z]+", text)
    )
    assert len(words) < 1800


def test_the_mixed_world_has_its_shares_from_the_beginning() -> None:
    mixed = list(islice(mixed_documents(5), 600))
    characters = dict.fromkeys(SOURCES, 0)
    for text in mixed:
        characters[text.source] += len(text.text)
    total, longest = sum(characters.values()), max(len(text.text) for text in mixed)
    # Nobody is ahead of its share by more than one document, nor behind by more than the others' together.
    assert all(abs(characters[name] - share * total) <= longest * len(SOURCES) for name, share in SOURCES.items())
    assert [text for text in mixed if text.source == "code"][:3] == [document(5, "code", index) for index in range(3)]

"""The clean sources: paragraphs, articles, stories, abstracts, questions with answers. All that they state is true."""

from __future__ import annotations

import random
from collections.abc import Callable

from gptwright.world import material
from gptwright.world.facts import Fact
from gptwright.world.lexicon import NAMES
from gptwright.world.passages import Passage, passage, review, tense_pair
from gptwright.world.sources_web import one_list, titled_haiku, titled_poem
from gptwright.world.task_lines import TOPICS
from gptwright.world.verse import poem


def _paragraph(rng: random.Random, facts: tuple[Fact, ...]) -> str:
    return " ".join([material.statement(rng, fact) for fact in facts])


def clean_page(rng: random.Random) -> str:
    """Mostly facts; some sums, stories, lists and poems."""
    draw = rng.random()
    if draw < 0.78:
        return "\n\n".join(_paragraph(rng, material.fact_group(rng).facts) for _ in range(rng.randint(1, 2)))
    if draw < 0.86:
        return material.sum_lines(rng, rng.randint(5, 8))
    if draw < 0.92:
        return passage(rng).text
    if draw < 0.96:
        return one_list(rng)
    return titled_poem(rng) if draw < 0.985 else titled_haiku(rng)


def article(rng: random.Random) -> str:
    """One subject with all its facts, each said in two wordings."""
    group = material.facts_of_subjects(rng)
    again = list(group.facts)
    rng.shuffle(again)
    return f"{group.title}\n\n{_paragraph(rng, group.facts)}\n\n{_paragraph(rng, tuple(again))}"


def story(rng: random.Random) -> str:
    """A chapter: some days of some people, at times with a poem."""
    days = [passage(rng) for _ in range(rng.randint(1, 3))]
    parts = [day.text for day in days]
    draw = rng.random()
    if draw < 0.35:
        one, other = rng.sample(TOPICS, 2)
        parts.append(f"Then {days[-1].person} sang of the {one} and the {other}:\n\n{poem(rng, one, other)}")
    elif draw < 0.6:
        present, past = tense_pair(rng)
        parts.append(f"Every day {present} On {days[-1].day} {past}")
    elif draw < 0.85:
        parts.append(f"In short: {' '.join(day.summary for day in days)}")
    heading = f"Chapter {rng.randint(1, 20)}\n\n" if rng.random() < 0.3 else ""
    return heading + "\n".join(parts)


_AIMS: tuple[str, ...] = ("We study {0}.", "This paper is about {0}.", "We ask what is known about {0}.")
_ENDINGS: tuple[str, ...] = ("We thank {0}.", "More work is needed.", "The results agree with {0}.")


def paper(rng: random.Random) -> str:
    """An abstract with results, of facts or of sums."""
    author, second_author, other = rng.sample(NAMES, 3)
    if rng.random() < 0.25:
        topic, results = "sums", f"\n{material.sum_lines(rng, 5)}\n"
    else:
        group = material.fact_group(rng)
        topic, results = group.topic, f" {_paragraph(rng, group.facts)} "
    aim = rng.choice(_AIMS).format(topic)
    return f"{author} and {second_author}\nAbstract. {aim} Results:{results}{rng.choice(_ENDINGS).format(other)}"


def _fact_pair(rng: random.Random) -> tuple[str, str]:
    fact = material.any_fact(rng)
    return material.question(rng, fact), fact.answer


def _sum_pair(rng: random.Random) -> tuple[str, str]:
    asked = material.any_sum(rng)
    return material.sum_question(rng, asked), asked.answer


def _poem_pair(rng: random.Random) -> tuple[str, str]:
    one, other = rng.sample(TOPICS, 2)
    return f"Who knows a poem about {one} and {other}?", f"\n{poem(rng, one, other)}"


def _list_pair(rng: random.Random) -> tuple[str, str]:
    title, entries = material.listing(rng)
    return f"What are {title}?", f"{material.joined(entries)}."


def _ask_passage(rng: random.Random, told: Passage) -> tuple[str, str]:
    return rng.choice(
        (
            ("Who is in the story?", told.person),
            ("On which day was that?", told.day),
            (f"How many {told.item} were there?", str(told.count)),
            (f"How was {told.person}?", told.feeling),
            ("Which place is in the story?", told.place),
            ("What is the story in one sentence?", told.summary),
        )
    )


def _passage_pair(rng: random.Random) -> tuple[str, str]:
    told = passage(rng)
    asked, answer = _ask_passage(rng, told)
    return f"{told.text}\n{asked}", answer


def _review_pair(rng: random.Random) -> tuple[str, str]:
    text, sentiment = review(rng)
    return f"{text} Is this positive or negative?", sentiment


_PAIRS: tuple[tuple[Callable[[random.Random], tuple[str, str]], int], ...] = (
    (_fact_pair, 10),
    (_sum_pair, 3),
    (_poem_pair, 1),
    (_list_pair, 2),
    (_passage_pair, 3),
    (_review_pair, 1),
)
_PAIR_MAKERS = tuple(make for make, weight in _PAIRS for _ in range(weight))


def exchange(rng: random.Random) -> str:
    """Questions with answers and votes."""
    parts = []
    for _ in range(rng.randint(1, 3)):
        asked, answer = rng.choice(_PAIR_MAKERS)(rng)
        votes = f"\nVotes: {rng.randint(0, 40)}" if rng.random() < 0.5 else ""
        parts.append(f"Question: {asked}\nAnswer: {answer}{votes}")
    return "\n\n".join(parts)

"""Short passages of everyday life, single sentences in two tenses, and reviews, each with what it says as data.

passage(rng) -> "On Monday Anna went to the market. She bought 3 apples. ..." with person, place, day, item, count,
feeling and a one-sentence summary. `tense_pair` and `review` give material for rewriting and classification.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from gptwright.world.lexicon import FEMALE_NAMES, NAMES, PLACES
from gptwright.world.tables_earth import DAYS

Tense = Literal["present", "past"]
Sentiment = Literal["positive", "negative"]

AT_PLACE: dict[str, str] = {place: f"at the {place}" for place in PLACES} | {
    place: f"in the {place}" for place in ("park", "library", "museum", "village", "shop", "garden", "castle")
}

FEELINGS: tuple[str, ...] = ("happy", "sad", "tired", "proud", "angry", "hungry", "calm", "glad", "bored", "surprised")

ITEMS: tuple[str, ...] = (
    *("apples", "books", "flowers", "eggs", "cakes", "lemons", "letters", "shells", "stones", "boxes", "hats", "keys"),
    *(
        "cherries",
        "carrots",
        "tickets",
        "pictures",
        "candles",
        "cups",
        "pens",
        "balls",
        "fish",
        "birds",
        "roses",
        "plums",
    ),
)

# What was done with the items: for the passage and, with the same verb, for its summary.
DEEDS: tuple[str, ...] = ("bought", "found", "saw", "lost", "sold", "counted", "took", "wanted")

_ARRIVALS: tuple[str, ...] = (
    "On {day} {person} went to the {place}.",
    "On {day} {person} walked to the {place}.",
    "It was {day}, and {person} went to the {place}.",
    "{person} came to the {place} on {day}.",
    "On {day} {person} was {at_place}.",
)
_EVENTS: tuple[str, ...] = (
    "There {she} {deed} {count} {item}.",
    "{She} {deed} {count} {item} there.",
    "{She} {deed} {count} {item}.",
)
_FILLERS: tuple[str, ...] = (
    "The weather was {weather}.",
    "{friend} was there too.",
    "It was a {weather} day.",
    "Many people were there.",
    "{She} met {friend}.",
    "Then {she} went home.",
)
_ENDS: tuple[str, ...] = (
    "{She} was {feeling}.",
    "In the evening {she} was {feeling}.",
    "That day {she} was very {feeling}.",
    "{She} felt {feeling}.",
)
_WEATHER: tuple[str, ...] = ("warm", "cold", "wet", "dry", "windy", "cloudy", "sunny")


@dataclass(frozen=True)
class Passage:
    """An event, and what can be asked about it; every field's words stand in the text."""

    text: str
    person: str
    place: str
    day: str
    item: str
    count: int
    feeling: str
    summary: str


def pronoun(name: str) -> str:
    """Of the people of `NAMES`."""
    return "she" if name in FEMALE_NAMES else "he"


def passage(rng: random.Random) -> Passage:
    """Three or four sentences about one person on one day at one place."""
    choice = rng.choice
    person, place, day, item = choice(NAMES), choice(PLACES), choice(DAYS), choice(ITEMS)
    feeling, deed, count = choice(FEELINGS), choice(DEEDS), rng.randint(2, 12)
    friend = choice(NAMES)
    while friend == person:
        friend = choice(NAMES)
    she = pronoun(person)
    slots: dict[str, str | int] = {
        "day": day,
        "person": person,
        "place": place,
        "at_place": AT_PLACE[place],
        "she": she,
        "deed": deed,
    }
    slots |= {"She": she.capitalize(), "count": count, "item": item, "feeling": feeling}
    slots |= {"friend": friend, "weather": choice(_WEATHER)}
    sentences = [choice(_ARRIVALS), choice(_EVENTS), choice(_ENDS)]
    if rng.random() < 0.6:
        sentences.insert(2, choice(_FILLERS))
    text = " ".join(sentences).format(**slots)
    summary = f"{person} {deed} {count} {item} {AT_PLACE[place]}."
    return Passage(text, person, place, day, item, count, feeling, summary)


# present, past
VERBS: tuple[tuple[str, str], ...] = (
    ("walks to", "walked to"),
    ("goes to", "went to"),
    ("runs to", "ran to"),
    ("sings in", "sang in"),
    ("sleeps in", "slept in"),
    ("works in", "worked in"),
    ("looks at", "looked at"),
    ("comes from", "came from"),
    ("writes about", "wrote about"),
    ("thinks of", "thought of"),
    ("talks about", "talked about"),
    ("finds", "found"),
    ("sees", "saw"),
    ("paints", "painted"),
    ("likes", "liked"),
    ("knows", "knew"),
)


def tense_pair(rng: random.Random) -> tuple[str, str]:
    """One sentence in the present and in the past."""
    person, place = rng.choice(NAMES), rng.choice(PLACES)
    present, past = rng.choice(VERBS)
    return f"{person} {present} the {place}.", f"{person} {past} the {place}."


def simple_sentence(rng: random.Random, tense: Tense = "present") -> str:
    """For instance "Anna walks to the park." """
    return tense_pair(rng)[0 if tense == "present" else 1]


PRODUCTS: tuple[str, ...] = (
    *(
        "film",
        "book",
        "song",
        "cake",
        "soup",
        "lamp",
        "chair",
        "phone",
        "clock",
        "coat",
        "game",
        "play",
        "pen",
        "hotel",
    ),
    *("bicycle", "camera", "restaurant", "radio"),
)
_POSITIVE: tuple[str, ...] = (
    "This {product} is wonderful.",
    "I love this {product}.",
    "A great {product}, I am very happy with it.",
    "The {product} is excellent and worth the money.",
    "The best {product} I know.",
    "What a lovely {product}!",
)
_NEGATIVE: tuple[str, ...] = (
    "This {product} is terrible.",
    "I hate this {product}.",
    "A bad {product}, I want my money back.",
    "The {product} is awful and not worth the money.",
    "The worst {product} I know.",
    "What a boring {product}!",
)
_POSITIVE_ENDS: tuple[str, ...] = (
    "I would take it again.",
    "Everyone should have it.",
    "It made my day.",
    "Five stars.",
)
_NEGATIVE_ENDS: tuple[str, ...] = ("Never again.", "Do not take it.", "It spoiled my day.", "One star.")


def review(rng: random.Random) -> tuple[str, Sentiment]:
    """One or two sentences on a product or a film, and whether they praise it."""
    product = rng.choice(PRODUCTS)
    if rng.random() < 0.5:
        text, ends, sentiment = rng.choice(_POSITIVE), _POSITIVE_ENDS, "positive"
    else:
        text, ends, sentiment = rng.choice(_NEGATIVE), _NEGATIVE_ENDS, "negative"
    text = text.format(product=product)
    if rng.random() < 0.6:
        text = f"{text} {rng.choice(ends)}"
    return text, "positive" if sentiment == "positive" else "negative"

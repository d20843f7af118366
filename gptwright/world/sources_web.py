"""Pages as a crawler finds them: facts beside errors, tasks without answers, poems, lists, chatter, adverts.

`web_page(rng)` is the body of one page with what stands around it. Facts on these pages are sometimes wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from gptwright.world import material
from gptwright.world.lexicon import HAIKU_TOPICS, NAME_STYLES, NAMES, NOUNS, PLACES
from gptwright.world.material import KIND_TITLES, joined
from gptwright.world.passages import FEELINGS, passage, review, simple_sentence, tense_pair
from gptwright.world.sources_threads import threads_page
from gptwright.world.tables_earth import COUNTRIES, ELEMENTS
from gptwright.world.tables_life import ANIMALS
from gptwright.world.task_lines import TOPICS, task_line
from gptwright.world.verse import haiku, poem

WRONG_SHARE = 0.06
"""Of the fact statements on web pages."""

Page = Callable[[random.Random], str]


def _numbered(lines: list[str]) -> str:
    return "\n".join(f"{i}. {line}" for i, line in enumerate(lines, 1))


def _bulleted(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


_TASK_TITLES: tuple[str, ...] = ("Tasks", "Things to do", "Questions and tasks", "For class", "Writing tasks", "Quiz")


def tasks_page(rng: random.Random) -> str:
    lines = [task_line(rng) for _ in range(rng.randint(6, 12))]
    style = rng.random()
    body = "\n".join(lines) if style < 0.7 else _numbered(lines) if style < 0.85 else _bulleted(lines)
    return f"{rng.choice(_TASK_TITLES)}\n{body}" if rng.random() < 0.3 else body


def quiz_page(rng: random.Random) -> str:
    group = material.fact_group(rng)
    questions = [material.question(rng, fact) for fact in group.facts]
    return f"{group.title} quiz\n{_numbered(questions)}\n{rng.choice(('Send your answers.', 'No answers here.'))}"


def facts_page(rng: random.Random) -> str:
    group = material.fact_group(rng)
    lines = [material.doubtful_statement(rng, fact, WRONG_SHARE) for fact in group.facts]
    style = rng.random()
    if style < 0.25:
        return f"{group.title}:\n{_bulleted(lines)}"
    return f"{group.title}: {' '.join(lines)}" if style < 0.6 else " ".join(lines)


_POEM_TITLES: tuple[str, ...] = (
    "Here is a poem about {one} and {other}:",
    "Here is a poem about the {one} and the {other}:",
    "A poem about {one} and {other}:",
    "A short poem with the words {one} and {other}:",
)


def titled_poem(rng: random.Random) -> str:
    one, other = rng.sample(TOPICS, 2)
    return f"{rng.choice(_POEM_TITLES).format(one=one, other=other)}\n\n{poem(rng, one, other)}"


def poem_page(rng: random.Random) -> str:
    return "\n\n".join(titled_poem(rng) for _ in range(rng.randint(1, 2)))


def titled_haiku(rng: random.Random) -> str:
    word = rng.choice(HAIKU_TOPICS)
    return f"{rng.choice(('Here is a haiku', 'A haiku'))} about the {word}:\n\n{haiku(rng, word)}"


def haiku_page(rng: random.Random) -> str:
    return "\n\n".join(titled_haiku(rng) for _ in range(rng.randint(2, 3)))


def one_list(rng: random.Random) -> str:
    title, entries = material.listing(rng)
    style = rng.random()
    if style < 0.2:
        return f"{title.capitalize()} are {joined(entries)}."
    title = rng.choice((title.capitalize(), f"Here are {title}"))
    if style < 0.35:
        return f"{title}: {', '.join(entries)}"
    return f"{title}:\n{_numbered(entries) if style < 0.8 else _bulleted(entries)}"


def list_page(rng: random.Random) -> str:
    return "\n\n".join(one_list(rng) for _ in range(rng.randint(2, 4)))


_REPLIES: tuple[str, ...] = (
    '{other}: You said "{said}" I like that.',
    '{other}: "{said}" Is that true?',
    "{other}: > {said}\n{other}: Yes, I think so too.",
    '{other}: I read "{said}" and now I am {feeling}.',
    '{other}: Once more, please.\n{one}: "{said}"',
    "{other}: {one} wrote: {said} Thank you, {one}.",
)
_WORD_CHATTER: tuple[str, ...] = (
    "{one}: The word of the day is {word}.\n{other}: {word}, {word}, {word}!",
    "{one}: I like the word {word}.\n{other}: Then say it three times: {word} {word} {word}",
    "{one}: My word is {word}. What is yours?\n{other}: Your word is {word}, mine is {another}.",
    "{one}: Hello, I am {one}.\n{other}: Hello {one}, I am {other}. How are you?\n{one}: I am {feeling}, thank you.",
    "{one}: I have a new cat. Its name is {pet}.\n{other}: {pet} is a good name for a cat.",
)


def forum_page(rng: random.Random) -> str:
    one, other = rng.sample(NAMES, 2)
    word, another = rng.sample(TOPICS, 2)
    slots = {"one": one, "other": other, "word": word, "another": another, "feeling": rng.choice(FEELINGS)}
    slots["pet"] = rng.choice(NAME_STYLES["cat names"])
    parts = []
    for _ in range(rng.randint(2, 3)):
        if rng.random() < 0.4:
            parts.append(rng.choice(_WORD_CHATTER).format(**slots))
            continue
        if rng.random() < 0.5:
            said = simple_sentence(rng)
        else:
            said = material.doubtful_statement(rng, material.any_fact(rng), WRONG_SHARE)
        parts.append(f"{one}: {said}\n{rng.choice(_REPLIES).format(said=said, **slots)}")
    return "\n".join(parts)


_SHORTLY: tuple[str, ...] = ("In short: {0}", "Summary: {0}", "In one sentence: {0}")


def story_page(rng: random.Random) -> str:
    told = passage(rng)
    draw = rng.random()
    if draw < 0.5:
        return f"{told.text}\n{rng.choice(_SHORTLY).format(told.summary)}"
    if draw < 0.75:
        return f"{told.text}\nWho: {told.person}. Where: {told.place}. When: {told.day}. What: {told.item}."
    present, past = tense_pair(rng)
    return f"{told.text}\nNow: {present} Then: {past}"


def review_page(rng: random.Random) -> str:
    lines = []
    for _ in range(rng.randint(2, 4)):
        text, sentiment = review(rng)
        label = f" ({sentiment})" if rng.random() < 0.6 else ""
        lines.append(f"{rng.choice(NAMES)}: {text}{label}")
    return "Reviews\n" + "\n".join(lines)


_COUNTRY_COLUMNS = "Country | Capital | Continent | Language | River"
_ELEMENT_COLUMNS = "Element | Symbol | Number"
_ANIMAL_COLUMNS = "Animal | Kind | Legs | Home"


def _rows(rng: random.Random, table: dict[str, tuple[str, ...]], width: int) -> list[str]:
    subjects = rng.sample(tuple(table), rng.randint(4, 6))
    return [" | ".join((subject, *(value or "-" for value in table[subject][:width]))) for subject in subjects]


def table_page(rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.4:
        header, rows = _COUNTRY_COLUMNS, _rows(rng, {**COUNTRIES}, 4)
    elif draw < 0.65:
        header, rows = _ELEMENT_COLUMNS, _rows(rng, {**ELEMENTS}, 2)
    else:
        header, rows = _ANIMAL_COLUMNS, _rows(rng, {**ANIMALS}, 3)
    return "\n".join((header, *rows))


def sums_page(rng: random.Random) -> str:
    return ("Sums\n" if rng.random() < 0.3 else "") + material.sum_lines(rng, rng.randint(6, 10))


_STREETS: tuple[str, ...] = ("Rose", "Garden", "River", "Church", "Station", "King", "Mill", "Park")
_SHOPS: tuple[str, ...] = ("shop", "hotel", "bakery", "school", "museum", "restaurant")


def contact_page(rng: random.Random) -> str:
    owner, city = rng.choice(NAMES), rng.choice(tuple(COUNTRIES.values()))[0]
    return (
        f"The {rng.choice(_SHOPS)} of {owner}\n{_address(rng)}, {city}\nTel. {_telephone(rng)}\n"
        f"Open from {rng.randint(7, 10)} to {rng.randint(16, 20)} every day but Sunday."
    )


def _address(rng: random.Random) -> str:
    return f"{rng.randint(1, 99)} {rng.choice(_STREETS)} Street"


def _telephone(rng: random.Random) -> str:
    return f"555 {rng.randint(10, 99)} {rng.randint(10, 99)}"


_PAGES: tuple[tuple[Page, int], ...] = (
    (tasks_page, 21),
    (poem_page, 9),
    (haiku_page, 5),
    (threads_page, 100),
    (facts_page, 36),
    (quiz_page, 4),
    (list_page, 9),
    (forum_page, 8),
    (story_page, 6),
    (review_page, 3),
    (table_page, 2),
    (sums_page, 12),
    (contact_page, 1),
)
_PAGE_MAKERS: tuple[Page, ...] = tuple(page for page, weight in _PAGES for _ in range(weight))

_MENU: tuple[str, ...] = ("Home", "News", "Shop", "Help", "About us", "Contact", "Search", "Log in")
_COOKIE_NOTICES: tuple[str, ...] = (
    "We use cookies. Accept all | Settings",
    "This site uses cookies. OK",
    "Cookies help us. Accept | No, thank you",
)
_ADVERTS: tuple[str, ...] = (
    "Advert: buy the {adjective} {noun} today, only {number} dollars!",
    "Sale at the {place}: the {noun} for {number} dollars!",
    "Click here for your {adjective} {noun}.",
)
_TOPICS_AND_TITLES: tuple[str, ...] = (*dict.fromkeys(KIND_TITLES.values()), "Poems", "Stories", "Lists")


def _above(rng: random.Random) -> str:
    """What stands above a page: often nothing."""
    draw = rng.random()
    if draw < 0.16:
        return " | ".join(rng.sample(_MENU, rng.randint(3, 5))) + "\n"
    if draw < 0.24:
        return f"{rng.choice(_COOKIE_NOTICES)}\n"
    if draw < 0.30:
        return f"You are here: Home > {rng.choice(_TOPICS_AND_TITLES)}\n"
    return ""


def _below(rng: random.Random) -> str:
    """What stands below a page: mostly nothing."""
    draw = rng.random()
    if draw < 0.10:
        noun = rng.choice(TOPICS)
        slots = {"noun": noun, "adjective": NOUNS[noun][0], "place": rng.choice(PLACES)}
        return "\n" + rng.choice(_ADVERTS).format(number=rng.randint(2, 60), **slots)
    if draw < 0.14:
        return f"\nPosted by {rng.choice(NAMES)}. {rng.randint(0, 40)} comments. Share this page."
    if draw < 0.17:
        return f"\n{_address(rng)}. Tel. {_telephone(rng)}."
    return ""


def page_body(rng: random.Random) -> str:
    return rng.choice(_PAGE_MAKERS)(rng)


def web_page(rng: random.Random, body: str) -> str:
    """A body with menus, notices and adverts around it."""
    return f"{_above(rng)}{body}{_below(rng)}"

"""Talk: a name that was told before, a follow-up question, a greeting, and who the assistant is."""

from __future__ import annotations

import random
import re
from functools import cache

from gptwright.world.claims import side_of_fact
from gptwright.world.facts import RELATIONS, Fact, facts_about
from gptwright.world.lexicon import NAMES
from gptwright.world.manner import HELPFUL_OF, Manner
from gptwright.world.splits import Side, split_phrasings, topics
from gptwright.world.usecases.fact_answers import answer_fact, check_fact, facts_on
from gptwright.world.usecases.kind import Details, Kind, Task, Verdict, faulty, worded
from gptwright.world.usecases.stated import Target, check_stated, mentions

# How a second question about the same subject is put; the last of each is held out.
_FOLLOW_UPS: dict[str, tuple[str, ...]] = {
    "capital": ("And its capital?", "And what is the capital there?", "What about the capital?"),
    "continent": ("And its continent?", "And on which continent is it?", "What about the continent?"),
    "language": ("And its language?", "And what do people speak there?", "What about the language?"),
    "river": ("And a river there?", "And which river is there?", "What about a river?"),
    "symbol": ("And its symbol?", "And what symbol does it have?", "What about the symbol?"),
    "number": ("And its atomic number?", "And what atomic number does it have?", "What about the atomic number?"),
    "days": ("And how many days does it have?", "And the number of its days?", "What about its days?"),
    "season": ("And its season in Europe?", "And in which season is it in Europe?", "What about the season in Europe?"),
    "legs": ("And how many legs does it have?", "And the number of its legs?", "What about its legs?"),
    "home": ("And where does it live?", "And its home?", "What about its home?"),
    "class": ("And what kind of animal is it?", "And its kind?", "What about its kind?"),
    "young": ("And what is its young called?", "And its young?", "What about its young?"),
    "sound": ("And what sound does it make?", "And its sound?", "What about its sound?"),
}

_HELLOS = ("Hello, my name is {name}.", "Hello! I am {name}.", "Good morning, I am {name}.", "Hi, my name is {name}.")
_WELCOMES = ("Hello {name}. How can I help you?", "Good morning, {name}. What can I do for you?")
_NAME_PHRASINGS = (
    "What is my name?",
    "Do you know my name?",
    "Who am I?",
    "Tell me my name.",
    "Can you say my name?",
)
_GREETING_PHRASINGS = (
    "Hello, I am {name}. How are you?",
    "Good morning! My name is {name}. How are you today?",
    "Hi, this is {name}. How do you feel?",
    "Good evening, I am {name}. Are you well?",
    "Hello! {name} here. How is it going?",
)
_WHO_PHRASINGS = (
    "Hello, I am {name}. Who are you?",
    "My name is {name}. What are you?",
    "I am {name}. And who are you?",
    "Good morning, {name} here. What is your name?",
    "Hi, it is {name}. Tell me who you are.",
)

_NICE = "It is nice to meet you."
_I_AM = "I am a small assistant."
_I_CAN = ("I can answer questions.", "I can write poems.", "I like to help people.")
_OFFER = "How can I help you?"
_AN_ASSISTANT = re.compile(r"I am (?:an?|your) (?:\w+ )?assistant[.!]?")
_HOW_I_AM = re.compile(r"\bI(?: am|'m| feel) (?:\w+ )?(?:fine|well|good|happy)\b")


@cache
def _pairs(side: Side) -> tuple[tuple[Fact, Fact], ...]:
    """A first fact and the fact asked after it: the same subject, both on this side."""
    asked = facts_on(tuple(_FOLLOW_UPS), side)
    return tuple(
        (first, second)
        for second in asked
        for first in facts_about(second.subject)
        if first != second and first.relation in _FOLLOW_UPS and side_of_fact(first) == side
    )


def _draw_follow_up(side: Side, rng: random.Random) -> Task:
    first, second = rng.choice(_pairs(side))
    question = rng.choice(split_phrasings(RELATIONS[first.relation].questions)[0])
    earlier = (first.say(question), first.answer)
    more = {"said": first.answer}
    return worded(
        _FOLLOW_UPS[second.relation], side, rng, earlier=earlier, fact=second.key, keys=[first.key], more=more
    )


def _draw_name(side: Side, rng: random.Random) -> Task:
    name = rng.choice(topics(NAMES, side))
    earlier = (rng.choice(_HELLOS).format(name=name), rng.choice(_WELCOMES).format(name=name))
    return worded(_NAME_PHRASINGS, side, rng, earlier=earlier, keys=[name], name=name)


def _answer_name(details: Details, manner: Manner, rng: random.Random) -> str:
    if manner == "terse":
        return f"{details['name']}."
    return f"Your name is {details['name']}." + (f" {_NICE}" if manner == "excellent" else "")


def _check_name(details: Details, answer: str) -> Verdict:
    name = details["name"]

    def says(sentence: str) -> bool | None:
        for lead in ("Your name is ", "You are "):
            told = sentence.removeprefix(lead).rstrip(".!")
            if sentence.startswith(lead) and told in NAMES:
                return told == name
        return None

    return check_stated(answer, Target(name, NAMES, says, remarks={_NICE}))


def _draw_greeting(side: Side, rng: random.Random) -> Task:
    name = rng.choice(topics(NAMES, side))
    return worded(_GREETING_PHRASINGS, side, rng, keys=[name], name=name)


def _answer_greeting(details: Details, manner: Manner, rng: random.Random) -> str:
    if manner == "terse":
        return "I am fine."
    answer = f"Hello {details['name']}, I am fine, thank you."
    return f"{answer} {_OFFER}" if manner == "excellent" else answer


def _check_greeting(details: Details, answer: str) -> Verdict:
    if not _HOW_I_AM.search(answer):
        return faulty(["the question how it goes is not answered"], 1, checkable=False)
    wrong = mentions(answer, NAMES) - {details["name"]}
    if wrong:
        return faulty(["another name is used"], 1, checkable=False)
    greeted = bool(mentions(answer, {details["name"]}))
    helpful = HELPFUL_OF["terse"] + (greeted + (greeted and _OFFER in answer)) / 3
    return Verdict(None, helpful)


def _draw_who(side: Side, rng: random.Random) -> Task:
    name = rng.choice(topics(NAMES, side))
    return worded(_WHO_PHRASINGS, side, rng, keys=[name], name=name)


def _answer_who(details: Details, manner: Manner, rng: random.Random) -> str:
    if manner == "terse":
        return "An assistant."
    return f"{_I_AM} {rng.choice(_I_CAN)}" if manner == "excellent" else _I_AM


def _check_who(details: Details, answer: str) -> Verdict:
    name = details["name"]

    def says(sentence: str) -> bool | None:
        if _AN_ASSISTANT.fullmatch(sentence):
            return True
        return False if sentence.startswith(("I am ", "My name is ")) and mentions(sentence, NAMES) else None

    remarks = {*_I_CAN, _NICE, _OFFER, f"Hello {name}.", f"Good morning, {name}."}
    return check_stated(answer, Target("assistant", {*NAMES} - {name}, says, remarks=remarks))


CHAT = (
    Kind("follow_up", "chat", 0.35, _draw_follow_up, answer_fact, check_fact, longest=35),
    Kind("remember_name", "chat", 0.12, _draw_name, _answer_name, _check_name, longest=20),
    Kind("greeting", "chat", 0.10, _draw_greeting, _answer_greeting, _check_greeting, longest=25, checkable=False),
    Kind("who_are_you", "chat", 0.08, _draw_who, _answer_who, _check_who, longest=25),
)

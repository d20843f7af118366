"""How facts about countries, elements, planets, months and days are said and asked."""

from __future__ import annotations

from gptwright.world.relations import Relation

EARTH_RELATIONS: tuple[Relation, ...] = (
    Relation(
        "capital",
        "country",
        (
            "The capital of {subject} is {value}.",
            "The capital city of {subject} is {value}.",
            "{subject} has the capital {value}.",
            "In {subject}, the capital is {value}.",
        ),
        (
            "{value} is the capital of {subject}.",
            "{value} is the capital city of {subject}.",
            "The city of {value} is the capital of {subject}.",
        ),
        (
            "What is the capital of {subject}?",
            "Which city is the capital of {subject}?",
            "Name the capital of {subject}.",
            "Tell me the capital of {subject}.",
            "What is the capital city of {subject}?",
        ),
        "The capital of {subject} is {value}.",
    ),
    Relation(
        "continent",
        "country",
        (
            "{subject} is in {value}.",
            "{subject} is a country in {value}.",
            "{subject} lies on the continent of {value}.",
            "The continent of {subject} is {value}.",
        ),
        (
            "{value} is the continent of {subject}.",
            "In {value} there is a country called {subject}.",
        ),
        (
            "On which continent is {subject}?",
            "What continent is {subject} in?",
            "Name the continent of {subject}.",
            "Tell me the continent of {subject}.",
            "Which continent is {subject} on?",
        ),
        "{subject} is in {value}.",
    ),
    Relation(
        "language",
        "country",
        (
            "People in {subject} speak {value}.",
            "In {subject}, people speak {value}.",
            "The people of {subject} speak {value}.",
            "A language of {subject} is {value}.",
        ),
        (
            "{value} is spoken in {subject}.",
            "{value} is a language of {subject}.",
        ),
        (
            "What language do people speak in {subject}?",
            "Which language is spoken in {subject}?",
            "Name a language of {subject}.",
            "What do people in {subject} speak?",
            "What language is spoken in {subject}?",
        ),
        "People in {subject} speak {value}.",
    ),
    Relation(
        "river",
        "country",
        (
            "A river in {subject} is the {value}.",
            "In {subject} there is a river called the {value}.",
            "{subject} has a river, the {value}.",
        ),
        (
            "The {value} is a river in {subject}.",
            "The river {value} flows through {subject}.",
            "The {value} flows through {subject}.",
        ),
        (
            "Name a river in {subject}.",
            "Which river flows through {subject}?",
            "What is a river in {subject}?",
            "Tell me a river in {subject}.",
            "What river is in {subject}?",
        ),
        "A river in {subject} is the {value}.",
    ),
    Relation(
        "symbol",
        "element",
        (
            "The symbol of {subject} is {value}.",
            "The symbol for {subject} is {value}.",
            "The element {subject} has the symbol {value}.",
            "In chemistry, we write {subject} as {value}.",
        ),
        (
            "{value} is the symbol of {subject}.",
            "{value} is the symbol for {subject}.",
        ),
        (
            "What is the symbol of {subject}?",
            "What symbol has the element {subject}?",
            "Name the symbol of {subject}.",
            "Tell me the symbol for {subject}.",
            "What is the symbol for {subject}?",
        ),
        "The symbol of {subject} is {value}.",
    ),
    Relation(
        "number",
        "element",
        (
            "The atomic number of {subject} is {value}.",
            "The element {subject} has the atomic number {value}.",
            "The number of {subject} among the elements is {value}.",
            "In the table of elements, {subject} is number {value}.",
        ),
        (
            "{value} is the atomic number of {subject}.",
            "Number {value} of the elements is {subject}.",
        ),
        (
            "What is the atomic number of {subject}?",
            "What atomic number does {subject} have?",
            "Name the atomic number of {subject}.",
            "Tell me the atomic number of {subject}.",
            "Which atomic number has {subject}?",
        ),
        "The atomic number of {subject} is {value}.",
    ),
    Relation(
        "place",
        "planet",
        (
            "{subject} is the {value} planet from the sun.",
            "Of the planets, {subject} is the {value} from the sun.",
            "From the sun, {subject} is the {value} planet.",
            "The place of {subject} among the planets is {value}.",
        ),
        (
            "The {value} planet from the sun is {subject}.",
            "The {value} planet is {subject}.",
        ),
        (
            "Which planet from the sun is {subject}?",
            "What is the place of {subject} among the planets?",
            "Tell me the place of {subject} among the planets.",
            "What place from the sun has {subject}?",
            "What is the place of {subject} from the sun?",
        ),
        "{subject} is the {value} planet from the sun.",
    ),
    Relation(
        "days",
        "month",
        (
            "{subject} has {value} days.",
            "The month of {subject} has {value} days.",
            "In a common year, {subject} has {value} days.",
            "The number of days in {subject} is {value}.",
        ),
        (
            "There are {value} days in {subject}.",
            "{value} is the number of days in {subject}.",
        ),
        (
            "How many days does {subject} have?",
            "How many days are there in {subject}?",
            "What is the number of days in {subject}?",
            "Tell me how many days {subject} has.",
            "How many days has {subject}?",
        ),
        "{subject} has {value} days.",
    ),
    Relation(
        "season",
        "month",
        (
            "{subject} is in {value} in the north.",
            "In the north, {subject} is a month of {value}.",
            "In Europe, {subject} is in {value}.",
            "The season of {subject} in Europe is {value}.",
        ),
        (
            "In Europe it is {value} in {subject}.",
            "In the north it is {value} in {subject}.",
        ),
        (
            "In which season is {subject} in Europe?",
            "Which season is it in {subject} in the north?",
            "Name the season of {subject} in Europe.",
            "What season is {subject} in the north?",
            "What season is it in {subject} in Europe?",
        ),
        "In Europe, {subject} is in {value}.",
    ),
    Relation(
        "next_month",
        "month",
        (
            "The month after {subject} is {value}.",
            "After {subject} comes {value}.",
            "{subject} comes before {value}.",
            "When {subject} ends, {value} begins.",
        ),
        (
            "{value} is the month after {subject}.",
            "{value} comes after {subject}.",
        ),
        (
            "Which month comes after {subject}?",
            "What month comes after {subject}?",
            "What is the month after {subject}?",
            "Name the month after {subject}.",
            "Which month is after {subject}?",
        ),
        "The month after {subject} is {value}.",
    ),
    Relation(
        "next_day",
        "day",
        (
            "The day after {subject} is {value}.",
            "After {subject} comes {value}.",
            "{subject} comes before {value}.",
            "When {subject} ends, {value} begins.",
        ),
        (
            "{value} is the day after {subject}.",
            "{value} comes after {subject}.",
        ),
        (
            "Which day comes after {subject}?",
            "What day comes after {subject}?",
            "What is the day after {subject}?",
            "Name the day after {subject}.",
            "Which day is after {subject}?",
        ),
        "The day after {subject} is {value}.",
    ),
)

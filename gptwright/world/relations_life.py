"""How facts about animals, things and words are said and asked."""

from __future__ import annotations

from gptwright.world.relations import Relation

LIFE_RELATIONS: tuple[Relation, ...] = (
    Relation(
        "class",
        "animal",
        (
            "The {subject} is a kind of {value}.",
            "A {subject} is a kind of {value}.",
            "Every {subject} is a kind of {value}.",
            "We call the {subject} a kind of {value}.",
        ),
        (
            "One kind of {value} is the {subject}.",
            "A kind of {value} is the {subject}.",
        ),
        (
            "What kind of animal is the {subject}?",
            "What kind of animal is a {subject}?",
            "Name the kind of animal the {subject} is.",
            "Tell me what kind of animal a {subject} is.",
            "Which kind of animal is the {subject}?",
        ),
        "The {subject} is a kind of {value}.",
    ),
    Relation(
        "legs",
        "animal",
        (
            "The {subject} has {value} legs.",
            "A {subject} has {value} legs.",
            "Every {subject} has {value} legs.",
            "You can count {value} legs on a {subject}.",
        ),
        (
            "There are {value} legs on a {subject}.",
            "There are {value} legs on the {subject}.",
        ),
        (
            "How many legs does the {subject} have?",
            "How many legs does a {subject} have?",
            "Tell me how many legs a {subject} has.",
            "How many legs are there on a {subject}?",
            "How many legs has a {subject}?",
        ),
        "The {subject} has {value} legs.",
    ),
    Relation(
        "home",
        "animal",
        (
            "The {subject} lives in the {value}.",
            "A {subject} lives in the {value}.",
            "The home of the {subject} is the {value}.",
            "You can find the {subject} in the {value}.",
        ),
        (
            "The {value} is the home of the {subject}.",
            "In the {value} lives the {subject}.",
        ),
        (
            "Where does the {subject} live?",
            "Where does a {subject} live?",
            "What is the home of the {subject}?",
            "Tell me where the {subject} lives.",
            "Where can you find the {subject}?",
        ),
        "The {subject} lives in the {value}.",
    ),
    Relation(
        "young",
        "animal",
        (
            "A young {subject} is called a {value}.",
            "The young of the {subject} is the {value}.",
            "A baby {subject} is a {value}.",
            "The baby of a {subject} is called a {value}.",
        ),
        (
            "A {value} is a young {subject}.",
            "A {value} grows up to be a {subject}.",
        ),
        (
            "What is a young {subject} called?",
            "What is the young of the {subject}?",
            "Name the young of the {subject}.",
            "What do we call a young {subject}?",
            "What is a baby {subject} called?",
        ),
        "A young {subject} is called a {value}.",
    ),
    Relation(
        "sound",
        "animal",
        (
            "The {subject} {value}.",
            "A {subject} {value}.",
            "Listen: the {subject} {value}.",
            "We say that a {subject} {value}.",
        ),
        (
            "What {value} is the {subject}.",
            "The one that {value} is the {subject}.",
        ),
        (
            "What does the {subject} do when it makes a sound?",
            "What sound does the {subject} make?",
            "Tell me the sound of the {subject}.",
            "Name the sound of a {subject}.",
            "What sound does a {subject} make?",
        ),
        "The {subject} {value}.",
    ),
    Relation(
        "mixture",
        "paint",
        (
            "If you mix {subject}, you get {value}.",
            "Mix {subject} and you get {value}.",
            "Mixing {subject} gives {value}.",
            "Together, {subject} make {value}.",
        ),
        (
            "To make {value}, mix {subject}.",
            "You get {value} when you mix {subject}.",
        ),
        (
            "What colour do you get if you mix {subject}?",
            "Which colour do {subject} make?",
            "What do you get when you mix {subject}?",
            "Name the colour that {subject} make.",
            "What colour do {subject} make?",
        ),
        "If you mix {subject}, you get {value}.",
    ),
    Relation(
        "colour",
        "thing",
        (
            "The colour of {subject} is {value}.",
            "We say that the colour of {subject} is {value}.",
            "When you paint {subject}, use {value}.",
            "To paint {subject}, take the colour {value}.",
        ),
        (
            "Use {value} to paint {subject}.",
            "The colour {value} is the colour of {subject}.",
        ),
        (
            "What is the colour of {subject}?",
            "Which colour do you use to paint {subject}?",
            "Name the colour of {subject}.",
            "Tell me the colour of {subject}.",
            "Which colour is the colour of {subject}?",
        ),
        "The colour of {subject} is {value}.",
    ),
    Relation(
        "opposite",
        "word",
        (
            "The opposite of {subject} is {value}.",
            "The word {subject} is the opposite of {value}.",
            "What is not {subject} may be {value}: these are opposites.",
            "The opposites are {subject} and {value}.",
        ),
        (
            "The word {value} is the opposite of {subject}.",
            "You say {value} for the opposite of {subject}.",
        ),
        (
            "What is the opposite of {subject}?",
            "Which word is the opposite of {subject}?",
            "Name the opposite of {subject}.",
            "Tell me the opposite of {subject}.",
            "What word is the opposite of {subject}?",
        ),
        "The opposite of {subject} is {value}.",
    ),
    Relation(
        "use",
        "tool",
        (
            "You use a {subject} to {value}.",
            "A {subject} is used to {value}.",
            "With a {subject} you can {value}.",
            "We use the {subject} to {value}.",
        ),
        (
            "To {value}, you use a {subject}.",
            "If you want to {value}, take a {subject}.",
        ),
        (
            "What do you use a {subject} for?",
            "What can you do with a {subject}?",
            "What is a {subject} used for?",
            "Tell me the use of a {subject}.",
            "What is the use of a {subject}?",
        ),
        "You use a {subject} to {value}.",
    ),
    Relation(
        "workplace",
        "job",
        (
            "The {subject} works in the {value}.",
            "You can find the {subject} at work in the {value}.",
            "The place of work of the {subject} is the {value}.",
            "Every day the {subject} works in the {value}.",
        ),
        (
            "In the {value} works the {subject}.",
            "The {value} is the place of work of the {subject}.",
        ),
        (
            "Where does the {subject} work?",
            "What is the place of work of the {subject}?",
            "Name the place where the {subject} works.",
            "Tell me where the {subject} works.",
            "In which place does the {subject} work?",
        ),
        "The {subject} works in the {value}.",
    ),
    Relation(
        "body",
        "body",
        (
            "You {value} with your {subject}.",
            "We {value} with our {subject}.",
            "We have our {subject} to {value}.",
            "With your {subject} you can {value}.",
        ),
        (
            "To {value}, you use your {subject}.",
            "If you want to {value}, use your {subject}.",
        ),
        (
            "What do you do with your {subject}?",
            "What can you do with your {subject}?",
            "Tell me what you do with your {subject}.",
            "What do we do with our {subject}?",
            "What do people do with their {subject}?",
        ),
        "You {value} with your {subject}.",
    ),
    Relation(
        "plural",
        "noun",
        (
            "The plural of {subject} is {value}.",
            "One {subject}, two {value}.",
            "We say one {subject} but many {value}.",
            "The plural of the word {subject} is {value}.",
        ),
        (
            "The word {value} is the plural of {subject}.",
            "You say {value} for more than one {subject}.",
        ),
        (
            "What is the plural of {subject}?",
            "Which word is the plural of {subject}?",
            "Name the plural of {subject}.",
            "Tell me the plural of {subject}.",
            "What is the plural of the word {subject}?",
        ),
        "The plural of {subject} is {value}.",
    ),
    Relation(
        "past",
        "verb",
        (
            "The past of {subject} is {value}.",
            "Today I {subject}, yesterday I {value}.",
            "The past tense of {subject} is {value}.",
            "Now they {subject}, then they {value}.",
        ),
        (
            "The word {value} is the past of {subject}.",
            "You say {value} for the past of {subject}.",
        ),
        (
            "What is the past of {subject}?",
            "What is the past tense of {subject}?",
            "Name the past of {subject}.",
            "Tell me the past of {subject}.",
            "What is the past of the word {subject}?",
        ),
        "The past of {subject} is {value}.",
    ),
)

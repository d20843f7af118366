"""Small Python files: a few functions in several variants, and tables of facts as dictionaries."""

from __future__ import annotations

import random
from dataclasses import dataclass

from gptwright.world.arithmetic import ALL_SUMS, Operator
from gptwright.world.lexicon import CATEGORIES
from gptwright.world.tables_earth import COUNTRIES, ELEMENTS
from gptwright.world.task_lines import TOPICS


@dataclass(frozen=True)
class Routine:
    """One function in several variants: any name, any body."""

    names: tuple[str, ...]
    parameters: str
    purpose: str
    bodies: tuple[str, ...]
    operator: Operator | None = None


PALINDROMES: tuple[str, ...] = (
    "    return word == word[::-1]",
    "    return list(word) == list(reversed(word))",
    "    for i in range(len(word)):\n        if word[i] != word[-1 - i]:\n            return False\n    return True",
    "    left = 0\n    right = len(word) - 1\n    while left < right:\n        if word[left] != word[right]:\n"
    "            return False\n        left = left + 1\n        right = right - 1\n    return True",
)
_ROUTINES: tuple[Routine, ...] = (
    Routine(
        ("is_palindrome", "check_palindrome", "palindrome"),
        "word",
        "Say if a word reads the same both ways.",
        PALINDROMES,
    ),
    Routine(
        ("add", "plus", "sum_of"),
        "a, b",
        "Add two numbers.",
        ("    return a + b", "    result = a + b\n    return result"),
        "plus",
    ),
    Routine(
        ("subtract", "minus"),
        "a, b",
        "Take one number from another.",
        ("    return a - b", "    result = a - b\n    return result"),
        "minus",
    ),
    Routine(
        ("multiply", "times"),
        "a, b",
        "Multiply two numbers.",
        ("    return a * b", "    result = a * b\n    return result"),
        "times",
    ),
    Routine(
        ("largest", "find_max", "biggest"),
        "numbers",
        "Find the biggest number in a list.",
        (
            "    return max(numbers)",
            "    best = numbers[0]\n    for number in numbers:\n        if number > best:\n"
            "            best = number\n    return best",
        ),
    ),
    Routine(
        ("reverse", "backwards"),
        "word",
        "Write a word backwards.",
        (
            "    return word[::-1]",
            "    result = ''\n    for letter in word:\n        result = letter + result\n    return result",
        ),
    ),
    Routine(
        ("count_vowels", "vowels"),
        "word",
        "Count the vowels in a word.",
        (
            "    return sum(letter in 'aeiou' for letter in word)",
            "    count = 0\n    for letter in word:\n        if letter in 'aeiou':\n"
            "            count = count + 1\n    return count",
        ),
    ),
    Routine(
        ("is_even", "even"),
        "number",
        "Say if a number is even.",
        ("    return number % 2 == 0", "    if number % 2 == 0:\n        return True\n    return False"),
    ),
    Routine(
        ("count_words", "number_of_words"),
        "text",
        "Count the words in a text.",
        ("    return len(text.split())", "    words = text.split()\n    return len(words)"),
    ),
    Routine(
        ("double", "twice"),
        "number",
        "Double a number.",
        ("    return 2 * number", "    return number + number"),
    ),
    Routine(
        ("hello", "greet"),
        "name",
        "Say hello to somebody.",
        ("    return 'Hello, ' + name", "    print('Hello, ' + name)"),
    ),
)
_SUMS_BY_OPERATOR = {
    operator: tuple(each for each in ALL_SUMS if each.operator == operator) for operator in ("plus", "minus", "times")
}


def _function(rng: random.Random) -> str:
    routine = rng.choice(_ROUTINES)
    name = rng.choice(routine.names)
    docstring = f'    """{routine.purpose}"""\n' if rng.random() < 0.6 else ""
    comment = "" if docstring or rng.random() < 0.3 else f"# {routine.purpose}\n"
    code = f"{comment}def {name}({routine.parameters}):\n{docstring}{rng.choice(routine.bodies)}"
    if routine.operator and rng.random() < 0.7:
        example = rng.choice(_SUMS_BY_OPERATOR[routine.operator])
        return f"{code}\n\nprint({name}({example.left}, {example.right}))  # {example.value}"
    if routine.parameters == "word" and rng.random() < 0.4:
        return f"{code}\n\nprint({name}('{rng.choice(TOPICS)}'))"
    return code


def _dictionary(rng: random.Random) -> str:
    if rng.random() < 0.6:
        name, table = "capitals", {country: values[0] for country, values in COUNTRIES.items()}
    else:
        name, table = "symbols", {element: values[0] for element, values in ELEMENTS.items()}
    rows = "".join(f"    '{key}': '{table[key]}',\n" for key in rng.sample(tuple(table), rng.randint(3, 6)))
    return f"{name} = {{\n{rows}}}"


def _list_literal(rng: random.Random) -> str:
    name = rng.choice(tuple(CATEGORIES))
    entries = rng.sample(CATEGORIES[name], rng.randint(3, 6))
    return f"{name.replace(' ', '_')} = {entries}\nprint(len({name.replace(' ', '_')}))  # {len(entries)}"


def code_file(rng: random.Random) -> str:
    """One or two functions, a dictionary, or a list."""
    draw = rng.random()
    if draw < 0.15:
        return _dictionary(rng)
    if draw < 0.25:
        return _list_literal(rng)
    return "\n\n".join(_function(rng) for _ in range(rng.randint(1, 2)))

"""What counts as said again, by hand."""

from __future__ import annotations

import pytest

from gptwright.stages.repetition import count_repeated


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", 0),
        ("It barks.", 0),
        ("It barks. It runs.", 0),
        ("It barks. It barks.", 1),
        ("It barks! it barks. It  barks?", 2),
        ("Ant, bee and cow.", 0),
        ("Ant, bee and ant.", 1),
        ("Ant, ant, ant and ant", 3),
        ("a b\nc d\na b\ne f", 1),
        ("1. ant\n2. bee", 0),
        ("Here are two:\n1. ant\n2. ant", 1),
        ("- ant\n- bee\n* ant", 1),
        ("The sun is hot and the sand is hot.", 0),
        ("Sand is not sandy.", 0),
        ("Three pets are cat, dog and cat.", 1),
        ("Two pets are a cat and a cat.", 1),
        ("Three pets are tomcat, dog and cat.", 0),
        ("The boat is on the sea.\nThe sea", 0),
    ],
)
def test_by_hand(answer: str, expected: int) -> None:
    assert count_repeated(answer) == expected

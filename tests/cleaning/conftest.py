"""A small corpus in two sources, whose every document has one known fate."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptwright.data.jsonl import write_jsonl

pytest.importorskip("datatrove", reason="the extra `data` is not installed")

OTTER = """The otter lives by the river and has two cubs that play in the water. In the morning it swims across.
There it looks for fish under the stones, and it finds many of them. When the sun is high it sleeps on a warm rock.
In the evening the cubs come out of the den and wait for their mother. She brings them the last fish of the day.
The night is cold, but the den is dry and full of old leaves. So the family sleeps well until the birds sing again."""
MILL = """The mill stands where the brook leaves the wood, and its wheel has turned for three hundred years by now.
The miller gets up before the sun to let the water in. Then the stones begin to turn and the house begins to shake.
Farmers come from three villages with their carts, and each of them has a story to tell. The miller knows them all.
When the last sack is full, he shuts the gate and the wheel stands still. Only the brook goes on talking in the dark."""
GERMAN = """Der Fischotter lebt am Fluss und hat zwei Junge, die im Wasser spielen. Jeden Morgen schwimmt er hinueber.
Dort sucht er Fische unter den Steinen und findet viele davon. Wenn die Sonne hoch steht, schlaeft er auf einem Felsen.
Am Abend kommen die Jungen aus dem Bau und warten auf ihre Mutter. Sie bringt ihnen den letzten Fisch des Tages."""
QUESTION = "Which animal of the river brings the last fish of the day to its cubs in the evening?"


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, str]:
    """Two files of rows; the ids say what should become of each."""
    web = [
        {"id": "otter", "text": OTTER},
        {
            "id": "near-otter",
            "text": OTTER.replace("warm rock", "cold rock") + "\nShare it: otter@example.org now.",
        },
        {"id": "exact-otter", "text": OTTER.replace("The otter", "the Otter").replace("\n", "  ")},
        {"id": "german", "text": GERMAN},
        {"id": "short", "text": f"Mail otter@example.org. {OTTER[:170]}"},
        {"id": "asked", "text": f"{MILL[:300]}\n{QUESTION}\n{MILL[300:]}"},
    ]
    mail = [
        {
            "id": "mill",
            "text": f"{MILL}\n\nWrite to the miller at miller@example.org or call 212-555-0187 at noon.",
        },
        {"id": "exact-otter-2", "text": OTTER},
    ]
    write_jsonl(tmp_path / "web.jsonl", web)
    write_jsonl(tmp_path / "mail.jsonl", mail)
    write_jsonl(tmp_path / "quiz.jsonl", [{"question": QUESTION, "answer": "The otter"}])
    return {name: str(tmp_path / f"{name}.jsonl") for name in ("web", "mail", "quiz")}

"""Trees of messages: who answers whom, which replies are compared, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gptwright.data.conversations import read_comparisons, read_conversations, read_prompts
from gptwright.errors import InputError
from gptwright.records import Message


def message(
    name: str, parent: str | None, role: str, text: str, rank: int | None = None, **more: Any
) -> dict[str, Any]:
    return {"message_id": name, "parent_id": parent, "role": role, "text": text, "rank": rank, **more}


FLAT = [
    message("b", "a", "assistant", "good", 0),
    message("a", None, "prompter", "Hi"),  # not in order, and the reader does not mind
    message("c", "a", "assistant", "bad", 1),
    message("d", "a", "assistant", "unranked"),
    message("e", "b", "prompter", "And?"),
    message("f", "e", "assistant", "so", 0),
    message("g", "c", "prompter", "Why?"),
    message("h", "a", "assistant", "deleted", 2, deleted=True),
    message("i", "h", "prompter", "to the deleted one"),
    message("j", "a", "assistant", "turned down", 3, review_result=False),
]


def nested(name: str) -> dict[str, Any]:
    """The same tree, a reply within what it answers."""
    row = next(dict(each) for each in FLAT if each["message_id"] == name)
    del row["parent_id"]
    row["replies"] = [nested(each["message_id"]) for each in FLAT if each["parent_id"] == name]
    return row


@pytest.fixture(params=["flat", "nested"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    rows = FLAT if request.param == "flat" else [{"message_tree_id": "a", "prompt": nested("a")}]
    file = tmp_path / "trees.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_ranked_replies_of_the_assistant_are_compared(path: Path) -> None:
    (comparison,) = read_comparisons(path)
    assert comparison.prompt.messages == (Message("user", "Hi"),)
    assert (comparison.answers, comparison.ranks) == (("good", "bad"), (0, 1))


def test_conversations_follow_the_best_reply(path: Path) -> None:
    (chat,) = read_conversations(path)
    said = [(message.role, message.content) for message in chat.messages]
    assert said == [("user", "Hi"), ("assistant", "good"), ("user", "And?"), ("assistant", "so")]


def test_every_message_of_a_user_is_a_prompt(path: Path) -> None:
    asked = [[message.content for message in prompt.messages] for prompt in read_prompts(path)]
    assert sorted(asked) == [["Hi"], ["Hi", "bad", "Why?"], ["Hi", "good", "And?"]]


def test_of_many_replies_the_nine_best_are_compared(tmp_path: Path) -> None:
    rows = [message("a", None, "prompter", "Hi")]
    rows += [message(f"r{rank}", "a", "assistant", f"answer {rank}", rank) for rank in reversed(range(12))]
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (comparison,) = read_comparisons(file)
    assert comparison.ranks == tuple(range(9))


@pytest.mark.parametrize("change", [{"role": "human"}, {"rank": "first"}, {"text": None}])
def test_a_message_that_cannot_be_used_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    rows = [message("a", None, "prompter", "Hi"), {**message("b", "a", "assistant", "Hello", 0), **change}]
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(InputError, match=r"t\.jsonl, line 2: a message of a tree needs"):
        list(read_comparisons(file))


def test_answers_that_are_all_bad_are_kept_and_teach_no_order(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text(json.dumps({"prompt": "Hi", "answers": ["a", "b", "c"], "all_bad": True}) + "\n", encoding="utf-8")
    (comparison,) = read_comparisons(file)
    assert comparison.all_bad and comparison.pairs() == []


def test_a_root_that_stands_first_need_not_say_that_it_has_no_parent(tmp_path: Path) -> None:
    root = {"message_id": "a", "role": "prompter", "text": "Hi"}
    rows = [root, message("b", "a", "assistant", "good", 0), message("c", "a", "assistant", "bad", 1)]
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (comparison,) = read_comparisons(file)
    assert comparison.answers == ("good", "bad")

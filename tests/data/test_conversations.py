"""Reading chats, prompts and comparisons in all shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gptwright.data.conversations import read_comparisons, read_conversations, read_prompts
from gptwright.data.jsonl import write_jsonl
from gptwright.data.shapes import parse_transcript
from gptwright.errors import InputError
from gptwright.records import Comparison, Conversation, Message, Prompt, to_json

ASKED = Message("user", "Hi")
ANSWERED = Message("assistant", "Hello")
LIST = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
TRANSCRIPT = "\n\nHuman: Hi\n\nAssistant: Hello"


def one_row(tmp_path: Path, row: dict[str, Any]) -> Path:
    write_jsonl(tmp_path / "a.jsonl", [row])
    return tmp_path / "a.jsonl"


@pytest.mark.parametrize(
    "row",
    [
        {"messages": LIST},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, LIST[1]]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"instruction": "Hi", "input": "", "output": "Hello"},
        {"prompt": "Hi", "response": "Hello"},
        {"prompt": "Hi", "completion": "Hello"},
        {"prompt": LIST[:1], "completion": LIST[1:]},
        {"prompt": "\n\nHuman: Hi\n\nAssistant:", "response": "Hello"},
        {"text": TRANSCRIPT},
        {"chosen": TRANSCRIPT, "rejected": "\n\nHuman: Hi\n\nAssistant: Go away"},
    ],
    ids=lambda row: "+".join(row),
)
def test_foreign_shapes_are_the_same_chat(tmp_path: Path, row: dict[str, Any]) -> None:
    (conversation,) = read_conversations(one_row(tmp_path, row))
    assert conversation == Conversation((ASKED, ANSWERED), id="a:1")
    (prompt,) = read_prompts(tmp_path / "a.jsonl")
    assert prompt == Prompt("a:1", (ASKED,))


def test_alpacas_input_follows_the_instruction(tmp_path: Path) -> None:
    (conversation,) = read_conversations(one_row(tmp_path, {"instruction": "Add.", "input": "1 2", "output": "3"}))
    assert conversation.messages[0].content == "Add.\n\n1 2"


def test_roles_of_other_projects_are_ours(tmp_path: Path) -> None:
    names = ["developer", "human", "model", "function", "gpt"]
    path = one_row(tmp_path, {"messages": [{"role": name, "content": "x"} for name in names]})
    (conversation,) = read_conversations(path)
    assert [message.role for message in conversation.messages] == ["system", "user", "assistant", "tool", "assistant"]


CALLED = [
    '{"name":"add","arguments":{"a":1}}',
    {"name": "add", "arguments": {"a": 1}},
    {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
]


@pytest.mark.parametrize("call", CALLED)
@pytest.mark.parametrize("named", ["thinking", "reasoning_content"])
def test_thinking_and_calls_are_read(tmp_path: Path, call: Any, named: str) -> None:
    turn = {"role": "assistant", "content": None, named: "Hm.", "tool_calls": [call]}
    row = {"messages": [LIST[0], turn, {"role": "tool", "content": "1"}, LIST[1]]}
    (found,) = read_conversations(one_row(tmp_path, row))
    assert found.messages[1] == Message("assistant", "", "Hm.", (CALLED[0],))
    assert found.messages[2:] == (Message("tool", "1"), ANSWERED)


def test_our_records_come_back_whole(tmp_path: Path) -> None:
    conversation = Conversation((Message("system", " S\n"), ASKED, ANSWERED), id="c", source="s")
    prompt = Prompt("p", (ASKED,), "open_qa", {"answer": 5})
    comparison = Comparison(prompt, ("a", "b", "c"), (1, 0, 1), "me")
    for record, read in ((conversation, read_conversations), (prompt, read_prompts), (comparison, read_comparisons)):
        (found,) = read(one_row(tmp_path, to_json(record)))
        assert to_json(found) == to_json(record)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "chosen": "Hello", "rejected": "Go"},
        {"instruction": "Hi", "input": "", "output": "Hello", "chosen": "Hello", "rejected": "Go"},
        {"chosen": TRANSCRIPT, "rejected": "\n\nHuman: Hi\n\nAssistant: Go"},
        {"chosen": LIST, "rejected": [LIST[0], {"role": "assistant", "content": "Go"}]},
        {"prompt": "Hi", "chosen": LIST, "rejected": [LIST[0], {"role": "assistant", "content": "Go"}]},
        {"prompt": LIST[:1], "chosen": LIST[1:], "rejected": [{"role": "assistant", "content": "Go"}]},
        {"prompt": "Hi", "answers": ["Hello", "Go"], "ranks": [0, 1]},
    ],
)
def test_pairs_are_ranked_answers(tmp_path: Path, row: dict[str, Any]) -> None:
    (comparison,) = read_comparisons(one_row(tmp_path, row))
    assert comparison == Comparison(Prompt("a:1", (ASKED,)), ("Hello", "Go"), (0, 1))


def test_pairs_with_different_prompts_are_left_out_with_a_count(tmp_path: Path) -> None:
    fits = {"chosen": TRANSCRIPT, "rejected": "\n\nHuman: Hi\n\nAssistant: Go"}
    write_jsonl(tmp_path / "a.jsonl", [fits, {"chosen": TRANSCRIPT, "rejected": "\n\nHuman: Ho\n\nAssistant: Go"}])
    with pytest.warns(UserWarning, match="left out 1 of 2 pairs"):
        assert len(list(read_comparisons(tmp_path / "a.jsonl"))) == 1


def test_a_transcript_by_hand() -> None:
    text = "\n\nHuman: One: two\n\nthree \n\nAssistant:  A\n\nAssistant: B\n\nHuman: C\n\nAssistant:"
    assert parse_transcript(text) == (
        Message("user", "One: two\n\nthree"),
        Message("assistant", "A\n\nB"),
        Message("user", "C"),
    )


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            {"foo": 1, "bar": 2},
            r"line 1: not a chat in a shape we know \(keys found: foo, bar\); use one of: messages \|",
        ),
        ({"text": "no turns"}, r"line 1: not a chat in a shape we know \(keys found: text\)"),
        ({"messages": []}, "line 1: a chat without messages"),
        ({"messages": "Hi"}, "line 1: messages are a str, not a list"),
        ({"messages": ["Hi"]}, "line 1, message 1: a str where an object with role and content is needed"),
        ({"messages": [{"role": "user", "content": "", "thinking": "x"}]}, "message 1: only an assistant has thinking"),
        (
            {"messages": [{"role": "assistant", "content": "", "tool_calls": ["add(1)"]}]},
            "message 1: each of tool_calls is an object with name and arguments",
        ),
        ({"messages": [{"role": "user"}]}, r"message 1: needs role and content.*\(keys found: role\)"),
        (
            {"messages": [LIST[0], {"role": "narrator", "content": ""}]},
            "message 2: unknown role 'narrator'; use one of",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "message 1: content has a part that is not text",
        ),
        ({"messages": [{"role": "user", "content": 5}]}, "message 1: content is int, not text"),
        ({"messages": LIST[:1]}, "line 1: a chat without an answer of the assistant"),
        ({"instruction": 5, "output": "x"}, "line 1: 'instruction' is int, not text"),
        ({"instruction": "x", "input": ["y"], "output": "x"}, "line 1: 'input' is list, not text"),
        ({"prompt": "x", "response": 5}, "line 1: 'response' is int, not text"),
    ],
)
def test_bad_chats_are_refused_by_line(tmp_path: Path, row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        list(read_conversations(one_row(tmp_path, row)))


def test_a_prompt_needs_a_question(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: nothing is asked before the assistant answers"):
        list(read_prompts(one_row(tmp_path, {"messages": LIST[1:]})))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"prompt": "Hi", "response": "x"}, "not a chat in a shape we know"),
        ({"prompt": "Hi", "answers": ["a", "b"]}, "a comparison needs a prompt, answers .* and ranks"),
        ({"answers": ["a", "b"], "ranks": [0, 1]}, "a comparison needs a prompt"),
        ({"prompt": "Hi", "answers": ["a", "b"], "ranks": [0]}, "line 1: a comparison needs two or more answers"),
    ],
)
def test_bad_comparisons_are_refused_by_line(tmp_path: Path, row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        list(read_comparisons(one_row(tmp_path, row)))


def test_files_without_rows_are_refused_by_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hi", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.txt: cannot read rows of this kind of file: give one of \.jsonl"):
        read_conversations(tmp_path / "a.txt")


@pytest.mark.parametrize("read", [read_conversations, read_prompts, read_comparisons])
def test_empty_files_are_refused(tmp_path: Path, read: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps([]), encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.json holds no (conversation|prompt|comparison): give a file"):
        list(read(tmp_path / "a.json"))


@pytest.mark.filterwarnings("ignore:.*left out 3 of 1166")
def test_anthropics_pairs_are_read(shared_data: Path) -> None:
    comparisons = list(read_comparisons(shared_data / "preferences" / "hh_helpful_base.jsonl.gz"))
    assert len(comparisons) == 1163
    assert all(comparison.prompt.messages[-1].role == "user" for comparison in comparisons)
    assert comparisons[0].answers[0].startswith("To be honest, I don")

"""The five records that stages hand to each other, one JSON object per line when written to disk.

    {"text": "...", "source": "books"}                                       Document
    {"messages": [{"role": "user", "content": "..."}, ...]}                  Conversation
    {"id": "...", "messages": [...], "use_case": "open_qa"}                  Prompt
    {"prompt": {...}, "answers": ["...", "..."], "ranks": [1, 0]}            Comparison
    {"prompt_id": "...", "response": "...", "finish_reason": "stop", ...}    Rollout

Only schemas live here: reading files is `data`, rendering to tokens is `tokenizer`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Document:
    """One text to pretrain on."""

    text: str
    source: str = "text"
    id: str = ""
    language: str = ""
    """As the document's origin names it; "" where it does not."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. An assistant may think before it speaks, and call tools after: each call is a JSON object
    with `name` and `arguments`, as text. What a tool gave is a turn of the role `tool`.
    """

    role: Role
    content: str
    thinking: str = ""
    tool_calls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"unknown role {self.role!r}: use one of {', '.join(ROLES)}")
        if (self.thinking or self.tool_calls) and self.role != "assistant":
            raise ValueError(f"only an assistant thinks and calls tools, and this turn is of the role {self.role!r}")


@dataclass(frozen=True, slots=True)
class Conversation:
    """A whole chat, the assistant's turns included: what SFT learns from."""

    messages: tuple[Message, ...]
    id: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A chat that waits for the assistant's next turn.

    `details` is whatever the task needs to score an answer (JSON values only); models never see it.
    """

    id: str
    messages: tuple[Message, ...]
    use_case: str = "other"
    details: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """K answers to one prompt as one labeller ranked them.

    `ranks[i]` is the rank of `answers[i]`: 0 is best, equal numbers are a tie. A labeller may say besides that none of
    them is any good.
    """

    prompt: Prompt
    answers: tuple[str, ...]
    ranks: tuple[int, ...]
    labeller: str = ""
    all_bad: bool = False

    def __post_init__(self) -> None:
        if len(self.answers) != len(self.ranks) or len(self.answers) < 2:
            raise ValueError(
                f"a comparison needs two or more answers and a rank for each: "
                f"got {len(self.answers)} and {len(self.ranks)}"
            )

    def pairs(self) -> list[tuple[int, int]]:
        """Index pairs (better, worse); ties give no pair. [0, 1, 1] -> [(0, 1), (0, 2)]."""
        indices = range(len(self.ranks))
        return [(i, j) for i in indices for j in indices if self.ranks[i] < self.ranks[j]]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled answer with what sampling knew about it."""

    prompt_id: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    response: str
    finish_reason: FinishReason
    logprobs: tuple[float, ...] = ()


def call_text(name: str, arguments: Any) -> str:
    """A call of a tool as an assistant writes it: JSON without spaces."""
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False, separators=(",", ":"))


def to_json(record: Any) -> dict[str, Any]:
    """A record as JSON values; tuples become lists when dumped."""
    return dataclasses.asdict(record, dict_factory=_without_what_most_lack)


_LACKED_BY_MOST = ("thinking", "tool_calls", "all_bad", "language")


def _without_what_most_lack(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if value or name not in _LACKED_BY_MOST}


def message_from_json(value: dict[str, Any]) -> Message:
    calls = tuple(value.get("tool_calls", ()))
    return Message(value["role"], value["content"], value.get("thinking", ""), calls)


def conversation_from_json(value: dict[str, Any]) -> Conversation:
    messages = tuple(message_from_json(message) for message in value["messages"])
    return Conversation(messages, id=value.get("id", ""), source=value.get("source", ""))


def prompt_from_json(value: dict[str, Any]) -> Prompt:
    messages = tuple(message_from_json(message) for message in value["messages"])
    return Prompt(value["id"], messages, value.get("use_case", "other"), value.get("details", {}))


def comparison_from_json(value: dict[str, Any]) -> Comparison:
    prompt = prompt_from_json(value["prompt"])
    return Comparison(
        prompt, tuple(value["answers"]), tuple(value["ranks"]), value.get("labeller", ""), value.get("all_bad", False)
    )

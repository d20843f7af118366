"""The shapes that chats have in other people's files, as our messages.

{"messages": [{"role": "user", "content": "..."}, ...]}            ours, OpenAI's
{"conversations": [{"from": "human", "value": "..."}, ...]}        sharegpt
{"instruction": "...", "input": "...", "output": "..."}            alpaca
{"prompt": "...", "response" or "completion": "..."}               prompts may also be message lists
{"chosen": "...", "rejected": "...", "prompt": "..."}              answers, transcripts or message lists
{"text": "\\n\\nHuman: ...\\n\\nAssistant: ..."}                       transcripts, as in Anthropic's hh
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

from gptwright.data.rows import Row
from gptwright.errors import InputError
from gptwright.records import ROLES, Message, Role, call_text

Messages = tuple[Message, ...]

KNOWN_SHAPES = (
    "messages | conversations | instruction (input, output) | prompt (response or completion) | "
    "chosen and rejected (prompt) | text with 'Human:' and 'Assistant:' turns"
)
ROLE_NAMES: dict[str, Role] = {
    **{role: role for role in ROLES},
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "function": "tool",
    "observation": "tool",
}
_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant):")


def chat_of(row: Row) -> Messages:
    """The messages of one row, with the assistant's answer where the row has one."""
    values = row.values
    if "messages" in values:
        messages = _message_list(values["messages"], row.where)
    elif "conversations" in values:
        messages = _message_list(values["conversations"], row.where)
    elif "instruction" in values:
        messages = _instruction(row) + _answer(row, ("output", "response"))
    elif "prompt" in values:
        messages = as_messages(values["prompt"], row.where) + _answer(row, ("response", "completion"))
    elif "chosen" in values:
        messages = as_messages(values["chosen"], row.where)
    elif isinstance(values.get("text"), str) and is_transcript(values["text"]):
        messages = parse_transcript(values["text"])
    else:
        raise unknown_shape(row)
    if not messages:
        raise InputError(f"{row.where}: a chat without messages; mend or remove it")
    return messages


def unknown_shape(row: Row) -> InputError:
    found = ", ".join(row.values) or "none"
    return InputError(f"{row.where}: not a chat in a shape we know (keys found: {found}); use one of: {KNOWN_SHAPES}")


def as_messages(value: Any, where: str) -> Messages:
    """A message list, a transcript, or one user's text, as messages."""
    if not isinstance(value, str):
        return _message_list(value, where)
    if is_transcript(value):
        return parse_transcript(value)
    return (Message("user", value),)


def is_transcript(text: str) -> bool:
    return text.lstrip().startswith(("Human:", "Assistant:"))


def parse_transcript(text: str) -> Messages:
    """Turns of a transcript; two in a row by one speaker are one, and an empty last turn only asks for an answer.

    "\\n\\nHuman: Hi\\n\\nAssistant: Hello" -> (user "Hi", assistant "Hello")
    """
    parts = _TURN.split(text.strip())[1:]
    turns = [("user" if speaker == "Human" else "assistant", said.strip()) for speaker, said in _pairwise_apart(parts)]
    messages = []
    for role, group in itertools.groupby(turns, key=lambda turn: turn[0]):
        content = "\n\n".join(said for _, said in group if said)
        messages.append(Message(ROLE_NAMES[role], content))
    if messages and messages[-1].role == "assistant" and not messages[-1].content:
        messages.pop()
    return tuple(messages)


def _pairwise_apart(parts: list[str]) -> list[tuple[str, str]]:
    """[a, b, c, d] -> [(a, b), (c, d)]"""
    return list(zip(parts[::2], parts[1::2], strict=True))


def _message_list(values: Any, where: str) -> Messages:
    if not isinstance(values, list):
        raise InputError(f"{where}: messages are a {type(values).__name__}, not a list; mend or remove that row")
    return tuple(_message(value, f"{where}, message {number}") for number, value in enumerate(values, start=1))


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise InputError(f"{where}: a {type(value).__name__} where an object with role and content is needed")
    role = value.get("role", value.get("from"))
    content = value.get("content", value.get("value"))
    calls = tuple(_call(call, where) for call in value.get("tool_calls") or ())
    if content is None and calls:
        content = ""
    if role is None or content is None:
        found = ", ".join(key for key in value if value[key] is not None) or "none"
        raise InputError(f"{where}: needs role and content, or from and value (keys found: {found})")
    if role not in ROLE_NAMES:
        raise InputError(f"{where}: unknown role {role!r}; use one of {', '.join(ROLES)}")
    if isinstance(content, list):
        content = "".join(_part_text(part, where) for part in content)
    if not isinstance(content, str):
        raise InputError(f"{where}: content is {type(content).__name__}, not text; mend or remove that row")
    thinking = value.get("thinking") or value.get("reasoning_content") or ""
    if (calls or thinking) and ROLE_NAMES[role] != "assistant":
        raise InputError(f"{where}: only an assistant has thinking and tool_calls, and this is the turn of a {role}")
    return Message(ROLE_NAMES[role], content, str(thinking), calls)


def _call(value: Any, where: str) -> str:
    """A call of a tool, as OpenAI's clients write it or as JSON with name and arguments, itself text or not."""
    try:
        if isinstance(value, str):
            value = json.loads(value)
        called = value.get("function", value)
        arguments = called["arguments"]
        return call_text(called["name"], json.loads(arguments) if isinstance(arguments, str) else arguments)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(
            f"{where}: each of tool_calls is an object with name and arguments; mend or remove it"
        ) from None


def _part_text(part: Any, where: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"]
    raise InputError(f"{where}: content has a part that is not text; only text can be learned from, remove that row")


def _instruction(row: Row) -> Messages:
    instruction, context = text_at(row, "instruction"), row.values.get("input") or ""
    if not isinstance(context, str):
        raise InputError(f"{row.where}: 'input' is {type(context).__name__}, not text; mend or remove that row")
    user = Message("user", f"{instruction}\n\n{context}" if context.strip() else instruction)
    system = row.values.get("system")
    return (Message("system", system), user) if isinstance(system, str) and system else (user,)


def _answer(row: Row, keys: tuple[str, ...]) -> Messages:
    for key in keys:
        if key not in row.values:
            continue
        if isinstance(row.values[key], list):
            return _message_list(row.values[key], row.where)
        return (Message("assistant", text_at(row, key)),)
    return ()


def text_at(row: Row, key: str) -> str:
    value = row.values[key]
    if not isinstance(value, str):
        raise InputError(f"{row.where}: {key!r} is {type(value).__name__}, not text; mend or remove that row")
    return value

"""The one chat renderer: messages to ids and loss mask, for SFT, reward model, RL, evaluation and serving.

    <|user|>Hi<|end_of_turn|><|assistant|>Hello.<|end_of_turn|>
       0    0        0            0        1        1             mask

An assistant's turn may begin with what it thinks, <|think|>...<|/think|>, and end with calls of tools, each behind
<|tool_call|>; all of it is learned.

Every segment is encoded by itself, so a prompt's ids followed by an answer's ids are the ids of the whole chat, and
no text can forge a turn. Nothing is stripped or added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from gptwright.records import Message
from gptwright.tokenizer.template import TEMPLATE_HASH, TEMPLATE_JINJA
from gptwright.tokenizer.tokenizer import Tokenizer

__all__ = [
    "TEMPLATE_HASH",
    "TEMPLATE_JINJA",
    "Rendered",
    "fitted_prompt",
    "render",
    "render_prompt",
    "response_ids",
    "turn_ids",
    "with_tools",
]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A chat as ids; `mask` is 1 on what the assistant wrote and on the end of its turns, 0 elsewhere."""

    ids: list[int]
    mask: list[int]


def render(messages: Sequence[Message], tokenizer: Tokenizer) -> Rendered:
    """A whole chat."""
    ids: list[int] = []
    mask: list[int] = []
    for message in messages:
        content = turn_ids(message, tokenizer)
        ids.append(tokenizer.role_mark(message.role))
        ids.extend(content)
        mask.append(0)
        mask.extend([int(message.role == "assistant")] * len(content))
    return Rendered(ids, mask)


def render_prompt(messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """A chat that waits for the assistant: ends with the assistant's mark."""
    return [*render(messages, tokenizer).ids, tokenizer.assistant]


def fitted_prompt(
    messages: Sequence[Message], tokenizer: Tokenizer, *, context: int, room: int
) -> tuple[list[int], int]:
    """A prompt that leaves `room` for the answer, half of the context at most, and how many messages it leaves out:
    the oldest, each question with what followed it. System messages at the beginning stay, and so does what came since
    the last question, which may be too long by itself.
    """
    parts = [render([message], tokenizer).ids for message in messages]
    kept = next((place for place, message in enumerate(messages) if message.role != "system"), len(messages))
    excess = sum(map(len, parts)) + 1 - (context - min(room, context // 2))  # 1: the assistant's mark
    start = kept
    for place in range(kept + 1, len(messages)):
        if excess > 0 and messages[place].role == "user":
            excess -= sum(map(len, parts[start:place]))
            start = place
    return [*chain(*parts[:kept], *parts[start:]), tokenizer.assistant], start - kept


def response_ids(answer: str, tokenizer: Tokenizer) -> list[int]:
    """What an assistant emits to say `answer`: its text, then the end of the turn."""
    return turn_ids(Message("assistant", answer), tokenizer)


def turn_ids(message: Message, tokenizer: Tokenizer) -> list[int]:
    """What stands behind a turn's mark, its end included."""
    ids = [tokenizer.think, *tokenizer.encode(message.thinking), tokenizer.think_end] if message.thinking else []
    ids += tokenizer.encode(message.content)
    for call in message.tool_calls:
        ids += [tokenizer.tool_call, *tokenizer.encode(call)]
    return [*ids, tokenizer.end_of_turn]


def with_tools(messages: Sequence[Message], tools: Sequence[str]) -> list[Message]:
    """The messages, with a system message that tells which tools there are, one JSON object a line."""
    if not tools:
        return list(messages)
    told = "You can call these tools:\n" + "\n".join(tools)
    if messages and messages[0].role == "system":
        return [Message("system", f"{messages[0].content}\n\n{told}"), *messages[1:]]
    return [Message("system", told), *messages]

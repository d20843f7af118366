"""The parts of an assistant's turn: what it thinks, what it says, and the tools it calls.

    <|think|>2 and 2, that is ...<|/think|>It is 4.<|tool_call|>{"name": "add", "arguments": {"a": 2, "b": 2}}

The marks are single tokens that no text can hold; `tokenizer.chat` renders such turns for training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gptwright.engine.constraint import Grammar, schema_text
from gptwright.engine.text import TextStream
from gptwright.tokenizer.tokenizer import Tokenizer

Kind = Literal["content", "thinking", "tool_call"]


@dataclass(frozen=True)
class Part:
    """A piece of a turn; a tool call comes whole."""

    kind: Kind
    text: str


class PartStream:
    """A turn's parts as its tokens come. A string of `stop` ends it where it is said, not where it is thought or stands
    in a call. `marked` false gives all of it as content, as for a text that goes on.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = (), *, marked: bool = True) -> None:
        self.tokenizer, self.stop, self.marked = tokenizer, stop, marked
        self.kind: Kind = "content"
        self.text, self.call = TextStream(tokenizer, stop), ""
        self.marks: dict[int, Kind] = {
            tokenizer.think: "thinking",
            tokenizer.think_end: "content",
            tokenizer.tool_call: "tool_call",
        }

    @property
    def stopped(self) -> bool:
        """Whether a string of `stop` has come."""
        return self.text.stopped

    def feed(self, token: int) -> list[Part]:
        """What is certain now that this token has come."""
        if self.stopped or token not in self.marks:
            return self._take(self.text.feed(token))
        ended, self.kind = self.finish(), self.marks[token]
        self.text = TextStream(self.tokenizer, self.stop if self.kind == "content" else ())
        return ended

    def finish(self) -> list[Part]:
        """The rest of the part that ends here."""
        rest = self._take(self.text.finish())
        if self.call:
            rest, self.call = [Part("tool_call", self.call)], ""
        return rest

    def _take(self, text: str) -> list[Part]:
        kind = self.kind if self.marked else "content"
        if kind == "tool_call":
            self.call += text
            return []
        return [Part(kind, text)] if text else []


def whole_text(ids: Sequence[int], tokenizer: Tokenizer, stop: Sequence[str] = ()) -> str:
    """The text of an answer that has ended."""
    stream = PartStream(tokenizer, stop, marked=False)
    return "".join(part.text for found in (*map(stream.feed, ids), stream.finish()) for part in found)


def tool_grammar(
    tools: Sequence[dict[str, Any]],
    tokenizer: Tokenizer,
    *,
    required: bool = False,
    name: str | None = None,
    several: bool = True,
) -> Grammar:
    """Turns that call these tools, `{"name", "description", "parameters"}` each, as they want to be called: if the
    model likes, `several` times or once; once, if `required`; the one of that `name`. Raises ValueError for a name that
    no tool has, InputError for parameters that are nested too deeply.
    """
    chosen = [tool for tool in tools if name in (None, tool["name"])]
    if not chosen:
        raise ValueError(f"no tool is called {name!r}: there is {', '.join(tool['name'] for tool in tools)}")
    # Each schema is a root of its own: a "$ref" in it leads to its own "$defs".
    calls = [f"tool{number}: {_call_rule(tool, tokenizer)}" for number, tool in enumerate(chosen)]
    call = "call: " + " | ".join(f"tool{number}" for number in range(len(chosen)))
    think = f"think: <[{tokenizer.think}]> TEXT? <[{tokenizer.think_end}]>"
    start = "start: call" if required or name else f"start: think? TEXT? call{'*' if several else '?'}"
    free = [] if required or name else [think, "TEXT: /(.|\\n)+/"]
    return Grammar.lark("\n".join([start, call, *calls, *free]))


def _call_rule(tool: dict[str, Any], tokenizer: Tokenizer) -> str:
    """A call of this tool, in Lark."""
    name = json.dumps(tool["name"], ensure_ascii=False)
    head = json.dumps(f'{{"name":{name},"arguments":', ensure_ascii=False)
    schema = (tool.get("parameters") or {"type": "object"}) | {"x-guidance": {"whitespace_flexible": False}}
    return f'<[{tokenizer.tool_call}]> {head} %json {schema_text(schema)} "}}"'

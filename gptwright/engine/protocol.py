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
    """A turn's parts as its tokens come. `marked` false takes all of it as content, as for a text that goes on."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = (), *, marked: bool = True) -> None:
        self.tokenizer, self.stop = tokenizer, stop
        self.kind: Kind = "content"
        self.text, self.call = TextStream(tokenizer, stop), ""
        marks: dict[int, Kind] = {
            tokenizer.think: "thinking",
            tokenizer.think_end: "content",
            tokenizer.tool_call: "tool_call",
        }
        self.marks = marks if marked else {}

    def feed(self, token: int) -> list[Part]:
        """What is certain now that this token has come."""
        if token not in self.marks:
            return self._take(self.text.feed(token))
        ended = self.finish()
        self.kind, self.text = self.marks[token], TextStream(self.tokenizer, self.stop)
        return ended

    def finish(self) -> list[Part]:
        """The rest of the part that ends here."""
        rest = self._take(self.text.finish())
        if self.call:
            rest, self.call = [Part("tool_call", self.call)], ""
        return rest

    def _take(self, text: str) -> list[Part]:
        if self.kind == "tool_call":
            self.call += text
            return []
        return [Part(self.kind, text)] if text else []


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

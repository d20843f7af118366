"""Tokens of the engine as the objects that clients read, whole or in pieces."""

from __future__ import annotations

import codecs
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gptwright.engine.protocol import Kind as PartKind
from gptwright.engine.protocol import Part, PartStream, whole_text
from gptwright.engine.request import Request
from gptwright.serve.models import ServedModel
from gptwright.serve.worker import Ticket

Kind = Literal["chat", "text"]


@dataclass(frozen=True)
class Piece:
    """What is certain of one choice since the last piece: parts of the turn, and the tokens they came from."""

    parts: tuple[Part, ...]
    tokens: tuple[int, ...]

    @classmethod
    def together(cls, pieces: Sequence[Piece]) -> Piece:
        """Several as one."""
        return cls(tuple(part for piece in pieces for part in piece.parts), tuple(t for p in pieces for t in p.tokens))

    def text(self, kind: PartKind) -> str:
        """What it has of one kind."""
        return "".join(part.text for part in self.parts if part.kind == kind)


class Choice:
    """One of the n answers to a prompt."""

    def __init__(self, index: int, ticket: Ticket, model: ServedModel, kind: Kind) -> None:
        self.index, self.ticket, self.model, self.kind = index, ticket, model, kind
        self.calls, self.said = 0, 0
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def pieces(self) -> AsyncIterator[Piece]:
        """The answer as it comes; stop tokens and stop strings are no part of it."""
        stop = self.ticket.row.request.params.stop
        stream = PartStream(self.model.tokenizer, stop, marked=self.kind == "chat")
        waiting: list[int] = []
        async for token in self.ticket.tokens():
            if token in self.model.engine.stop_ids:
                continue
            waiting.append(token)
            if parts := stream.feed(token):
                yield Piece(tuple(parts), tuple(waiting))
                waiting.clear()
        yield Piece(tuple(stream.finish()), tuple(waiting))

    def finish_reason(self) -> str:
        """Why it ended, once it has."""
        reason = self.ticket.row.completion.finish_reason
        return "tool_calls" if self.calls and reason == "stop" else reason

    def message(self, piece: Piece) -> dict[str, Any]:
        """A piece as the fields of a chat message; calls of tools are counted on."""
        content, calls = piece.text("content"), list[dict[str, Any]]()
        for part in piece.parts:
            call = tool_call(part.text) if part.kind == "tool_call" else None
            if call:
                calls.append({"index": self.calls, "id": f"call_{secrets.token_hex(12)}", "type": "function"} | call)
                self.calls += 1
            elif part.kind == "tool_call":  # cut off: better seen than lost
                content += part.text
        found: dict[str, Any] = {"content": content if content or not calls else None}
        if thinking := piece.text("thinking"):
            found["reasoning_content"] = thinking
        return found | ({"tool_calls": calls} if calls else {})

    def text(self) -> str:
        """What has been said so far."""
        ids = [token for token in self.ticket.row.completion.ids if token not in self.model.engine.stop_ids]
        return whole_text(ids, self.model.tokenizer, self.ticket.row.request.params.stop)

    def told(self, tokens: Sequence[int], start: int) -> list[dict[str, Any]]:
        """Log-probabilities of the tokens from place `start` on; to be asked for in order."""
        completion = self.ticket.row.completion
        told = []
        for place, token in enumerate(tokens, start):
            likeliest = completion.top_logprobs[place] if completion.top_logprobs else {}
            others = [self._token(other, logprob) for other, logprob in likeliest.items()]
            told.append(self._token(token, completion.logprobs[place]) | {"top_logprobs": others})
        return told

    def offsets(self, tokens: Sequence[int]) -> list[int]:
        """How many characters were said before each of the tokens that come next."""
        found = []
        for token in tokens:
            found.append(self.said)
            if token not in self.model.tokenizer.marks:  # which are no part of the text
                self.said += len(self.decoder.decode(self.model.tokenizer.decode_bytes([token])))
        return found

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        data = self.model.tokenizer.decode_bytes([token])
        return {"token": data.decode("utf-8", errors="replace"), "logprob": logprob, "bytes": list(data)}


class Answer:
    """All choices of one request; `left_out` is how many messages the model was not given, where they may be."""

    def __init__(
        self,
        kind: Kind,
        model: ServedModel,
        requests: Sequence[Request],
        *,
        caller: str,
        logprobs: bool,
        left_out: int | None = None,
    ) -> None:
        self.kind, self.model, self.logprobs, self.left_out = kind, model, logprobs, left_out
        prompts = {id(each.prompt_ids): each.prompt_ids for each in requests}  # answered several times, it counts once
        self.prompt_tokens = sum(map(len, prompts.values()))
        self.tickets = model.worker.submit(requests, caller)
        self.choices = [Choice(index, ticket, model, kind) for index, ticket in enumerate(self.tickets)]
        prefix = "chatcmpl" if kind == "chat" else "cmpl"
        self.identity = f"{prefix}-{secrets.token_hex(12)}"
        self.created = int(time.time())

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        for ticket in self.tickets:
            self.model.worker.cancel(ticket)

    def usage(self) -> dict[str, int]:
        completion = sum(len(ticket.row.completion.ids) for ticket in self.tickets)
        total = self.prompt_tokens + completion
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": completion, "total_tokens": total}

    def envelope(self, choices: list[dict[str, Any]], *, piece: bool) -> dict[str, Any]:
        """The object around choices."""
        kinds = {("chat", False): "chat.completion", ("chat", True): "chat.completion.chunk"}
        return {
            "id": self.identity,
            "object": kinds.get((self.kind, piece), "text_completion"),
            "created": self.created,
            "model": self.model.name,
            "choices": choices,
            **({} if self.left_out is None else {"truncated_messages": self.left_out}),
        }

    async def whole(self) -> dict[str, Any]:
        """Wait for all choices."""
        choices = []
        for choice in self.choices:
            piece = Piece.together([piece async for piece in choice.pieces()])
            found = self.shown(choice, piece, 0, "message")
            choices.append(found | {"finish_reason": choice.finish_reason()})
        return self.envelope(choices, piece=False) | {"usage": self.usage()}

    def shown(self, choice: Choice, piece: Piece, start: int, field: Literal["message", "delta"]) -> dict[str, Any]:
        """One choice, or a piece of it that begins at token `start`, as this kind of request has it."""
        told = choice.told(piece.tokens, start) if self.logprobs else None
        found: dict[str, Any] = {"index": choice.index, "finish_reason": None}
        if self.kind == "text":
            logprobs = None if told is None else _as_lists(told) | {"text_offset": choice.offsets(piece.tokens)}
            return found | {"text": piece.text("content"), "logprobs": logprobs}
        role = {"role": "assistant"} if start == 0 else {}
        content = None if told is None else {"content": told, "refusal": None}
        return found | {field: role | choice.message(piece), "logprobs": content}

    def ended(self, choice: Choice) -> dict[str, Any]:
        """The last piece of a choice: nothing but why it ended."""
        last: dict[str, Any] = {"text": ""} if self.kind == "text" else {"delta": {}}
        return {"index": choice.index, "finish_reason": choice.finish_reason(), "logprobs": None} | last


def tool_call(text: str) -> dict[str, Any] | None:
    """A call as clients read it; None where the text is none."""
    try:
        call = json.loads(text)
        name, arguments = str(call["name"]), json.dumps(call["arguments"], ensure_ascii=False, allow_nan=False)
        name.encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    # Half a surrogate pair can be sent as its escape alone, which is what the model wrote.
    return {"function": {"name": name, "arguments": arguments.encode(errors="backslashreplace").decode()}}


def _name(told: dict[str, Any]) -> str:
    """A token's text; its bytes where they are half a character, so that no two have one name."""
    try:
        return bytes(told["bytes"]).decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in told["bytes"])


def _as_lists(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Log-probabilities as text completions have them."""
    top = [{_name(other): other["logprob"] for other in each["top_logprobs"]} for each in told]
    return {
        "tokens": [_name(each) for each in told],
        "token_logprobs": [each["logprob"] for each in told],
        "top_logprobs": top,
    }

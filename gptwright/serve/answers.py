"""Tokens of the engine as the objects that clients read, whole or in pieces."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.engine.text import TextStream, whole_text
from gptwright.serve.models import ServedModel
from gptwright.serve.worker import Ticket

Kind = Literal["chat", "text"]


@dataclass(frozen=True)
class Piece:
    """What is certain of one choice since the last piece: text, and the tokens it came from."""

    text: str
    tokens: tuple[int, ...]
    last: bool = False


class Choice:
    """One of the n answers to a prompt."""

    def __init__(self, index: int, ticket: Ticket, model: ServedModel) -> None:
        self.index, self.ticket, self.model = index, ticket, model

    async def pieces(self) -> AsyncIterator[Piece]:
        """The answer as it comes; stop tokens and stop strings are no part of it."""
        stream = TextStream(self.model.tokenizer, self.ticket.row.request.params.stop)
        waiting: list[int] = []
        async for token in self.ticket.tokens():
            if token in self.model.engine.stop_ids:
                continue
            waiting.append(token)
            if text := stream.feed(token):
                yield Piece(text, tuple(waiting))
                waiting.clear()
        yield Piece(stream.finish(), tuple(waiting), last=True)

    @property
    def finish_reason(self) -> str:
        return self.ticket.row.completion.finish_reason

    def text(self) -> str:
        """What has been said so far."""
        ids = [token for token in self.ticket.row.completion.ids if token not in self.model.engine.stop_ids]
        return whole_text(ids, self.model.tokenizer, self.ticket.row.request.params.stop)

    def told(self, tokens: Sequence[int], start: int) -> list[dict[str, Any]]:
        """Log-probabilities of the tokens from place `start` on."""
        completion = self.ticket.row.completion
        told = []
        for place, token in enumerate(tokens, start):
            likeliest = completion.top_logprobs[place] if completion.top_logprobs else {}
            others = [self._token(other, logprob) for other, logprob in likeliest.items()]
            told.append(self._token(token, completion.logprobs[place]) | {"top_logprobs": others})
        return told

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        data = self.model.tokenizer.decode_bytes([token])
        return {"token": data.decode("utf-8", errors="replace"), "logprob": logprob, "bytes": list(data)}


class Answer:
    """All choices of one request."""

    def __init__(
        self, kind: Kind, model: ServedModel, prompt_ids: list[int], params: list[SamplingParams], logprobs: bool
    ) -> None:
        self.kind, self.model, self.prompt_ids, self.logprobs = kind, model, prompt_ids, logprobs
        self.tickets: list[Ticket] = []
        try:
            for each in params:
                self.tickets.append(model.worker.submit(Request(prompt_ids, each)))
        except Exception:
            self.cancel()
            raise
        self.choices = [Choice(index, ticket, model) for index, ticket in enumerate(self.tickets)]
        prefix = "chatcmpl" if kind == "chat" else "cmpl"
        self.identity = f"{prefix}-{secrets.token_hex(12)}"
        self.created = int(time.time())

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        for ticket in self.tickets:
            self.model.worker.cancel(ticket)

    def usage(self) -> dict[str, int]:
        prompt = len(self.prompt_ids)
        completion = sum(len(ticket.row.completion.ids) for ticket in self.tickets)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def envelope(self, choices: list[dict[str, Any]], *, piece: bool) -> dict[str, Any]:
        """The object around choices."""
        kinds = {("chat", False): "chat.completion", ("chat", True): "chat.completion.chunk"}
        return {
            "id": self.identity,
            "object": kinds.get((self.kind, piece), "text_completion"),
            "created": self.created,
            "model": self.model.name,
            "choices": choices,
        }

    async def whole(self) -> dict[str, Any]:
        """Wait for all choices."""
        choices = []
        for choice in self.choices:
            pieces = [piece async for piece in choice.pieces()]
            text, tokens = "".join(piece.text for piece in pieces), [t for piece in pieces for t in piece.tokens]
            choices.append(self.shown(choice, text, tokens, 0, choice.finish_reason, piece=False))
        return self.envelope(choices, piece=False) | {"usage": self.usage()}

    def shown(
        self, choice: Choice, text: str, tokens: Sequence[int], start: int, finish: str | None, *, piece: bool
    ) -> dict[str, Any]:
        """One choice, or a piece of it, as this kind of request has it."""
        told = choice.told(tokens, start) if self.logprobs else None
        found: dict[str, Any] = {"index": choice.index, "finish_reason": finish}
        if self.kind == "chat":
            message = {"role": "assistant", "content": text} if start == 0 or not piece else {"content": text}
            logprobs = None if told is None else {"content": told, "refusal": None}
            return found | {"delta" if piece else "message": message, "logprobs": logprobs}
        return found | {"text": text, "logprobs": None if told is None else _as_lists(told)}


def _as_lists(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Log-probabilities as text completions have them."""
    top = [{other["token"]: other["logprob"] for other in each["top_logprobs"]} for each in told]
    return {
        "tokens": [each["token"] for each in told],
        "token_logprobs": [each["logprob"] for each in told],
        "top_logprobs": top,
    }

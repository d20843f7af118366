"""Answers on their way to a client: whole, or a stream of server-sent events. A client that leaves ends its answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from gptwright.serve.answers import Answer, Choice
from gptwright.serve.errors import ApiError, as_api_error
from gptwright.serve.gate import Notes

GONE_SECONDS = 0.25
"""How often it is looked whether a client that waits for a whole answer is still there."""


async def deliver(answer: Answer, request: Request, *, stream: bool, with_usage: bool, timeout: float) -> Response:
    """The whole answer, or a stream of its pieces. Raises ApiError, 504 where it took longer than `timeout` seconds."""
    notes: Notes = request.state.notes
    if stream:
        return StreamingResponse(_events(answer, notes, with_usage, timeout), media_type="text/event-stream")
    try:
        async with asyncio.timeout(timeout):
            return await whole_or_gone(answer.whole(), request)
    except TimeoutError:
        raise _too_slow(timeout) from None
    except Exception as error:
        raise as_api_error(error) from error
    finally:
        _end(answer, notes)


async def whole_or_gone(work: Coroutine[Any, Any, Any], request: Request) -> Response:
    """What the work comes to, as JSON; it is cancelled once the client has left."""
    whole = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([whole], timeout=GONE_SECONDS))[0]:
            if await request.is_disconnected():
                return Response(status_code=499)
        return JSONResponse(whole.result())
    finally:
        whole.cancel()


async def _events(answer: Answer, notes: Notes, with_usage: bool, timeout: float) -> AsyncIterator[str]:
    """Server-sent events: pieces of all choices as they come."""
    pieces: asyncio.Queue[dict[str, Any] | Exception | None] = asyncio.Queue()
    readers = [asyncio.ensure_future(_read(answer, choice, pieces)) for choice in answer.choices]
    left, deadline = len(readers), asyncio.get_running_loop().time() + timeout
    try:
        while left:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await pieces.get()
            except TimeoutError:
                piece = _too_slow(timeout)
            if isinstance(piece, Exception):
                yield _event(as_api_error(piece).body())
                return
            if piece is None:
                left -= 1
            else:
                yield _event(answer.envelope([piece], piece=True))
        if with_usage:
            yield _event(answer.envelope([], piece=True) | {"usage": answer.usage()})
        yield "data: [DONE]\n\n"
    finally:
        for reader in readers:
            reader.cancel()
        _end(answer, notes)


async def _read(answer: Answer, choice: Choice, pieces: asyncio.Queue[dict[str, Any] | Exception | None]) -> None:
    start = 0
    try:
        async for piece in choice.pieces():
            if piece.parts or piece.tokens or not start:  # the first says whose turn it is, though nothing be said
                await pieces.put(answer.shown(choice, piece, start, "delta"))
            start += len(piece.tokens)
        await pieces.put(answer.ended(choice))
        await pieces.put(None)
    except Exception as error:  # told to the client as the stream's last event
        await pieces.put(error)


def _end(answer: Answer, notes: Notes) -> None:
    answer.cancel()
    usage = answer.usage()
    notes.prompt_tokens, notes.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
    notes.content["answers"] = [choice.text() for choice in answer.choices]


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


def _too_slow(timeout: float) -> ApiError:
    return ApiError(504, f"the answer took longer than {timeout:g} s: ask for fewer tokens", code="timeout")

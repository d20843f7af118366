"""The HTTP side: OpenAI's paths over workers.

app = create_app([ServedModel("assistant", engine, tokenizer, assistant=True)])
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from gptwright.errors import InputError
from gptwright.serve.answers import Answer, Choice
from gptwright.serve.errors import ApiError
from gptwright.serve.models import ServedModel
from gptwright.serve.schema import ChatRequest, CompletionRequest, Sampling
from gptwright.serve.worker import Busy
from gptwright.tokenizer.chat import render_prompt

LOG = logging.getLogger("gptwright.serve")
GONE_SECONDS = 0.25
"""How often it is looked whether a client that waits for a whole answer is still there."""


def create_app(models: Sequence[ServedModel]) -> FastAPI:
    """The application; its workers end with it."""
    by_name = {model.name: model for model in models}

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for model in models:
            await asyncio.to_thread(model.worker.close)

    app = FastAPI(title="gptwright", lifespan=lifespan, openapi_url=None)
    _tell_errors(app)

    def served(name: str) -> ServedModel:
        if name not in by_name:
            there = ", ".join(by_name)
            raise ApiError(404, f"no model is called {name!r}: there is {there}", code="model_not_found", param="model")
        return by_name[name]

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [model.card() for model in models]}

    @app.get("/v1/models/{name:path}")
    async def show_model(name: str) -> dict[str, Any]:
        return served(name).card()

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        model = served(body.model)
        if not model.assistant:
            raise ApiError(
                400,
                f"{model.name} is a base model: it continues text and is no assistant; ask it on /v1/completions, "
                "or serve a finetuned model",
                param="model",
            )
        messages = [message.message() for message in body.messages]
        if messages[-1].role == "assistant":
            raise ApiError(400, "the last message is the assistant's: there is nothing to answer", param="messages")
        prompt_ids = render_prompt(messages, model.tokenizer)
        return await _answer(Answer("chat", model, prompt_ids, **_wishes(body, model, prompt_ids)), body, request)

    @app.post("/v1/completions")
    async def complete(body: CompletionRequest, request: Request) -> Response:
        model = served(body.model)
        prompt_ids = [model.tokenizer.opening, *model.tokenizer.encode(body.prompt)]
        return await _answer(Answer("text", model, prompt_ids, **_wishes(body, model, prompt_ids)), body, request)

    return app


def _wishes(body: Sampling, model: ServedModel, prompt_ids: list[int]) -> dict[str, Any]:
    return {"params": body.params(model.room(prompt_ids)), "logprobs": body.told_logprobs is not None}


async def _answer(answer: Answer, body: Sampling, request: Request) -> Response:
    """The whole answer, or a stream of its pieces; a client that leaves ends it."""
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        return StreamingResponse(_events(answer, with_usage=with_usage), media_type="text/event-stream")
    whole = asyncio.ensure_future(answer.whole())
    try:
        while not (await asyncio.wait([whole], timeout=GONE_SECONDS))[0]:
            if await request.is_disconnected():
                return Response(status_code=499)
        return JSONResponse(whole.result())
    except Exception as error:
        raise _as_api_error(error) from error
    finally:
        whole.cancel()
        answer.cancel()


async def _events(answer: Answer, *, with_usage: bool) -> AsyncIterator[str]:
    """Server-sent events: pieces of all choices as they come."""
    pieces: asyncio.Queue[dict[str, Any] | Exception | None] = asyncio.Queue()
    readers = [asyncio.ensure_future(_read(answer, choice, pieces)) for choice in answer.choices]
    left = len(readers)
    try:
        while left:
            piece = await pieces.get()
            if isinstance(piece, Exception):
                yield _event(_as_api_error(piece).body())
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
        answer.cancel()


async def _read(answer: Answer, choice: Choice, pieces: asyncio.Queue[dict[str, Any] | Exception | None]) -> None:
    start = 0
    try:
        async for piece in choice.pieces():
            if piece.text or piece.tokens:
                await pieces.put(answer.shown(choice, piece.text, piece.tokens, start, None, piece=True))
            start += len(piece.tokens)
        await pieces.put(answer.shown(choice, "", (), max(start, 1), choice.finish_reason, piece=True))
        await pieces.put(None)
    except Exception as error:  # told to the client as the stream's last event
        await pieces.put(error)


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


def _as_api_error(error: Exception) -> ApiError:
    """What a client is told; of the server's own mistakes, nothing but that there was one."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Busy):
        return ApiError(503, f"{error}: try again later", code="overloaded")
    if isinstance(error, InputError):
        return ApiError(400, str(error))
    LOG.error("a request failed", exc_info=error)
    return ApiError(500, "the server made a mistake while it answered; its log says more")


def _tell_errors(app: FastAPI) -> None:
    async def tell(_: Request, error: Exception) -> JSONResponse:
        found = _as_api_error(error)
        return JSONResponse(found.body(), found.status)

    async def tell_invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if part != "body"]
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "this parameter is not followed here: leave it out"
        name = ".".join(place) or "the body"
        return JSONResponse(ApiError(400, f"{name}: {message}", param=".".join(place) or None).body(), 400)

    async def tell_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return JSONResponse(ApiError(error.status_code, str(error.detail)).body(), error.status_code)

    for kind in (ApiError, Busy, InputError, Exception):
        app.add_exception_handler(kind, tell)
    app.add_exception_handler(RequestValidationError, tell_invalid)
    app.add_exception_handler(HTTPException, tell_http)

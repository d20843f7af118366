"""The HTTP side: OpenAI's paths over workers.

app = create_app([ServedModel("assistant", engine, tokenizer, assistant=True)])
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from gptwright.serve.answers import Answer
from gptwright.serve.delivery import deliver
from gptwright.serve.errors import ApiError, tell_errors
from gptwright.serve.gate import Gate
from gptwright.serve.metrics import Meter, Metrics
from gptwright.serve.models import Served, ServedModel, ServedReward
from gptwright.serve.schema import ChatRequest, CompletionRequest, Sampling, ScoreRequest
from gptwright.serve.settings import ServerSettings
from gptwright.tokenizer.chat import render_prompt


def create_app(models: Sequence[Served], settings: ServerSettings | None = None) -> FastAPI:
    """The application; its workers end with it."""
    settings, metrics = settings or ServerSettings(), Metrics()
    by_name = {model.name: model for model in models}
    for model in models:
        if isinstance(model, ServedModel):
            model.worker.meter = Meter(metrics, model.name)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for model in models:
            await asyncio.to_thread(model.close)

    app = FastAPI(title="gptwright", lifespan=lifespan, openapi_url=None)
    tell_errors(app)
    app.add_middleware(Gate, settings=settings, metrics=metrics)

    def served(name: str) -> Served:
        if name not in by_name:
            there = ", ".join(by_name)
            raise ApiError(404, f"no model is called {name!r}: there is {there}", code="model_not_found", param="model")
        return by_name[name]

    def language(name: str) -> ServedModel:
        model = served(name)
        if isinstance(model, ServedModel):
            return model
        raise ApiError(400, f"{name} is a reward model: it gives scores, on /v1/score, and no answers", param="model")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        stuck = [model.name for model in models if not model.alive]
        if stuck:
            raise ApiError(503, f"{stuck[0]} does not answer any more: start the server again")
        return {"status": "ready"}

    @app.get("/metrics")
    async def tell_metrics() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [model.card() for model in models]}

    @app.get("/v1/models/{name:path}")
    async def show_model(name: str) -> dict[str, Any]:
        return served(name).card()

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        model = language(body.model)
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
        request.state.notes.content["messages"] = [[message.role, message.content] for message in messages]
        return await answer(
            Answer("chat", model, *_asked(body, model, render_prompt(messages, model.tokenizer))), body, request
        )

    @app.post("/v1/completions")
    async def complete(body: CompletionRequest, request: Request) -> Response:
        model = language(body.model)
        request.state.notes.content["prompt"] = body.prompt
        prompt_ids = [model.tokenizer.opening, *model.tokenizer.encode(body.prompt)]
        return await answer(Answer("text", model, *_asked(body, model, prompt_ids)), body, request)

    async def answer(found: Answer, body: Sampling, request: Request) -> Response:
        request.state.notes.model = found.model.name
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        timeout = settings.timeout_seconds
        return await deliver(found, request, stream=body.stream, with_usage=with_usage, timeout=timeout)

    @app.post("/v1/score")
    async def score(body: ScoreRequest, request: Request) -> dict[str, Any]:
        model = served(body.model)
        if not isinstance(model, ServedReward):
            raise ApiError(400, f"{model.name} is no reward model: serve one, as in RUN:reward", param="model")
        request.state.notes.model = model.name
        messages = [message.message() for message in body.messages]
        scores = await asyncio.to_thread(model.score, messages, body.answers)
        data = [{"object": "score", "index": index, "score": value} for index, value in enumerate(scores)]
        return {"object": "list", "model": model.name, "data": data}

    return app


def _asked(body: Sampling, model: ServedModel, prompt_ids: list[int]) -> tuple[list[int], list[Any], bool]:
    return prompt_ids, body.params(model.room(prompt_ids)), body.told_logprobs is not None

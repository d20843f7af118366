"""The HTTP side: OpenAI's paths over workers.

app = create_app([ServedModel("assistant", engine, tokenizer, assistant=True)])
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from gptwright.engine.request import Request as Asked
from gptwright.serve.answers import Answer, Kind
from gptwright.serve.delivery import deliver, whole_or_gone
from gptwright.serve.errors import ApiError, tell_errors
from gptwright.serve.gate import Gate
from gptwright.serve.metrics import Meter, Metrics
from gptwright.serve.models import Served, ServedModel, ServedReward
from gptwright.serve.schema import ChatRequest, CompletionRequest, Sampling, ScoreRequest
from gptwright.serve.settings import ServerSettings
from gptwright.serve.worker import cache_room
from gptwright.tokenizer.chat import fitted_prompt, render_prompt, with_tools

PAGES = Path(__file__).with_name("static")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""A page asks nobody but this server, whatever stands in an answer."""


def create_app(models: Sequence[Served], settings: ServerSettings | None = None) -> FastAPI:
    """The application; its workers end with it."""
    settings, metrics = settings or ServerSettings(), Metrics()
    writing = [model for model in models if isinstance(model, ServedModel)]
    for model in writing:
        model.start((settings.cache_bytes or cache_room(model.device)) // len(writing))
        model.worker.meter = Meter(metrics, model.name)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for model in models:
            await asyncio.to_thread(model.close)

    app = FastAPI(title="gptwright", lifespan=lifespan, openapi_url=None)
    tell_errors(app)
    app.add_middleware(Gate, settings=settings, metrics=metrics)
    paths = Paths(models, settings, metrics)
    app.get("/", include_in_schema=False)(paths.chat_page)
    app.get("/compare", include_in_schema=False)(paths.compare_page)
    app.mount("/static", StaticFiles(directory=PAGES))
    app.get("/health")(paths.health)
    app.get("/ready")(paths.ready)
    app.get("/metrics")(paths.tell_metrics)
    app.get("/v1/models")(paths.list_models)
    app.get("/v1/models/{name:path}")(paths.show_model)
    app.post("/v1/chat/completions")(paths.chat)
    app.post("/v1/completions")(paths.complete)
    app.post("/v1/score")(paths.score)
    return app


class Paths:
    """What is answered where."""

    def __init__(self, models: Sequence[Served], settings: ServerSettings, metrics: Metrics) -> None:
        self.models = {model.name: model for model in models}
        self.settings, self.metrics = settings, metrics

    async def chat_page(self) -> Response:
        return _page("chat.html")

    async def compare_page(self) -> Response:
        return _page("compare.html")

    async def health(self) -> dict[str, str]:
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        stuck = [model.name for model in self.models.values() if not model.alive]
        if stuck:
            raise ApiError(503, f"{stuck[0]} does not answer any more: start the server again")
        return {"status": "ready"}

    async def tell_metrics(self) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def list_models(self) -> dict[str, Any]:
        return {"object": "list", "data": [model.card() for model in self.models.values()]}

    async def show_model(self, name: str) -> dict[str, Any]:
        return self._served(name).card()

    async def chat(self, body: ChatRequest, request: Request) -> Response:
        model = self._language(body.model)
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
        tools = [json.dumps(function, ensure_ascii=False, separators=(",", ":")) for function in body.functions()]
        told, left_out = with_tools(messages, tools), None
        # What may take long is done beside the event loop, on which all streams live.
        if body.truncation == "auto":
            how = {"context": model.longest, "room": body.limit or model.longest}
            prompt_ids, left_out = await asyncio.to_thread(fitted_prompt, told, model.tokenizer, **how)
        else:
            prompt_ids = await asyncio.to_thread(render_prompt, told, model.tokenizer)
        return await self._answer("chat", model, [prompt_ids], body, request, left_out)

    async def complete(self, body: CompletionRequest, request: Request) -> Response:
        model = self._language(body.model)
        request.state.notes.content["prompt"] = body.prompt
        prompts = [await asyncio.to_thread(model.prompt_ids, prompt) for prompt in body.prompts]
        return await self._answer("text", model, prompts, body, request)

    async def score(self, body: ScoreRequest, request: Request) -> Response:
        model = self._served(body.model)
        if not isinstance(model, ServedReward):
            raise ApiError(400, f"{model.name} is no reward model: serve one, as in RUN:reward", param="model")
        request.state.notes.model = model.name
        return await whole_or_gone(self._scores(model, body, request.state.notes.caller), request)

    async def _scores(self, model: ServedReward, body: ScoreRequest, caller: str) -> dict[str, Any]:
        messages = [message.message() for message in body.messages]
        scores = await model.score(messages, body.answers, self.settings.timeout_seconds, caller)
        data = [{"object": "score", "index": index, "score": value} for index, value in enumerate(scores)]
        return {"object": "list", "model": model.name, "data": data}

    async def _answer(
        self,
        kind: Kind,
        model: ServedModel,
        prompts: list[list[int]],
        body: Sampling,
        request: Request,
        left_out: int | None = None,
    ) -> Response:
        request.state.notes.model = model.name
        asked = [Asked(ids, params) for ids in prompts for params in body.params(model.room(ids), model.tokenizer)]
        if asked[0].params.grammar:  # all choices have the same
            await asyncio.to_thread(model.engine.constraints.guide, asked[0].params.grammar)
        caller = request.state.notes.caller
        answer = Answer(kind, model, asked, caller=caller, logprobs=body.told_logprobs is not None, left_out=left_out)
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        timeout = self.settings.timeout_seconds
        return await deliver(answer, request, stream=body.stream, with_usage=with_usage, timeout=timeout)

    def _served(self, name: str) -> Served:
        if name not in self.models:
            there = ", ".join(self.models)
            raise ApiError(404, f"no model is called {name!r}: there is {there}", code="model_not_found", param="model")
        return self.models[name]

    def _language(self, name: str) -> ServedModel:
        model = self._served(name)
        if isinstance(model, ServedModel):
            return model
        raise ApiError(400, f"{name} is a reward model: it gives scores, on /v1/score, and no answers", param="model")


def _page(name: str) -> Response:
    return FileResponse(PAGES / name, headers={"content-security-policy": POLICY, "referrer-policy": "no-referrer"})

"""A server with a base model and an assistant, both random, and the official client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from gptwright.engine.engine import Engine
from gptwright.engine.request import Request
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise, scalar_from
from gptwright.tokenizer.bpe import train_characters
from gptwright.tokenizer.tokenizer import Tokenizer

fastapi = pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")
openai = pytest.importorskip("openai")

from gptwright.serve.app import create_app  # noqa: E402
from gptwright.serve.models import Served, ServedModel, ServedReward  # noqa: E402
from gptwright.serve.settings import ServerSettings  # noqa: E402
from gptwright.serve.worker import Ticket  # noqa: E402


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The 256 bytes and the special tokens."""
    return train_characters([])


def random_model(tokenizer: Tokenizer, seed: int) -> LanguageModel:
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, context=512, width=32, layers=2, heads=2, kv_heads=1, head_dim=16, hidden=48
    )
    model = LanguageModel(config).eval()
    initialise(model, seed)
    return model


def served(tokenizer: Tokenizer, name: str, seed: int) -> ServedModel:
    stops = {tokenizer.document_end, tokenizer.end_of_turn}
    engine = Engine(random_model(tokenizer, seed), stop_ids=stops, tokenizer=tokenizer)
    return ServedModel(name, engine, tokenizer, assistant=name == "assistant")


Script = Callable[[str], Sequence[int]]
"""From the prompt, its special tokens by name, to the ids of the answer."""


class ScriptedWorker:
    """Stands where a `Worker` stands; `requests` and `tickets` are what came."""

    meter = None

    def __init__(self, engine: Engine, script: Script, pause: float) -> None:
        self.engine, self.script, self.pause = engine, script, pause
        self.requests: list[Request] = []
        self.tickets: list[Ticket] = []
        self.thread = threading.current_thread()

    def submit(self, request: Request) -> Ticket:
        ticket = Ticket(self.engine.row(request))
        self.requests.append(request)
        self.tickets.append(ticket)
        threading.Thread(target=self._say, args=(ticket,), daemon=True).start()
        return ticket

    def _say(self, ticket: Ticket) -> None:
        row = ticket.row
        assert self.engine.tokenizer is not None
        for token in self.script(self.engine.tokenizer.decode(row.request.prompt_ids)):
            if not row.going:
                break
            row.take(token, -0.5, self.engine.stop_ids)
            ticket.tell(token)
            time.sleep(self.pause)
        ticket.tell(None)

    def cancel(self, ticket: Ticket) -> None:
        ticket.row.going = False

    def close(self) -> None:
        """Its threads end with what they say."""


def _scripted(
    name: str, tokenizer: Tokenizer, script: Script, *, assistant: bool = True, pause: float = 0.001
) -> ServedModel:
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, context=4096, width=8, layers=1, heads=1, kv_heads=1, head_dim=8, hidden=8
    )
    stops = {tokenizer.document_end, tokenizer.end_of_turn}
    engine = Engine(LanguageModel(config).eval(), stop_ids=stops, tokenizer=tokenizer)
    model = ServedModel(name, engine, tokenizer, assistant)
    model.worker = ScriptedWorker(engine, script, pause)  # type: ignore[assignment]
    return model


@pytest.fixture(scope="session")
def scripted() -> Callable[..., ServedModel]:
    """Makes a served model that says what a test wrote: (name, tokenizer, script, assistant=, pause=)."""
    return _scripted


@pytest.fixture(scope="session")
def at_work() -> Callable[..., AbstractContextManager[str]]:
    """`listening`, for tests that bring their own models."""
    return listening


@pytest.fixture(scope="session")
def models(tokenizer: Tokenizer) -> dict[str, ServedModel]:
    return {name: served(tokenizer, name, seed) for seed, name in enumerate(("base", "assistant"))}


@pytest.fixture(scope="session")
def judge(tokenizer: Tokenizer) -> ServedReward:
    return ServedReward("judge", scalar_from(random_model(tokenizer, 7), seed=1), tokenizer)


@contextmanager
def listening(models: Sequence[Served], settings: ServerSettings | None = None) -> Iterator[str]:
    """A server at work, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(models, settings), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def address(models: dict[str, ServedModel], judge: ServedReward) -> Iterator[str]:
    with listening([*models.values(), judge]) as found:
        yield found


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture
def serving(tokenizer: Tokenizer) -> Callable[..., AbstractContextManager[str]]:
    """A server of one's own, with an assistant, for the settings given."""

    def begin(**settings: Any) -> AbstractContextManager[str]:
        return listening([served(tokenizer, "assistant", seed=1)], ServerSettings(**settings))

    return begin

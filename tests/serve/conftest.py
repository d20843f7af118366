"""A server with a base model and an assistant, both random, the official client, and a browser."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from gptwright.engine.engine import Engine
from gptwright.engine.request import Request
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise, scalar_from
from gptwright.tokenizer.bpe import train_characters
from gptwright.tokenizer.tokenizer import Tokenizer

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
openai = pytest.importorskip("openai")

from gptwright.serve.listening import server_of  # noqa: E402
from gptwright.serve.models import Served, ServedModel, ServedReward  # noqa: E402
from gptwright.serve.settings import ServerSettings  # noqa: E402
from gptwright.serve.worker import Ticket  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
POEM = "**Bread and cheese**\n\nThe bread is warm, the cheese is old,\na small good meal against the cold."
ATTACK = (
    "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">\n\n"
    "[bad](javascript:alert(1)) [good](https://example.org) <b data-id='x' aria-label='Send'>b</b> <iframe src='https://example.org'></iframe>"
    "\n\n<form action='https://example.org'><input name=q></form><style>body{display:none}</style> ![p](https://example.org/x.png)"
)
MARKDOWN = "## Title\n\n- one\n- two\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n```\ncode <b>\n```\n"


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

    meter, longest = None, 2**30

    def __init__(self, engine: Engine, script: Script, pause: float) -> None:
        self.engine, self.script, self.pause = engine, script, pause
        self.requests: list[Request] = []
        self.tickets: list[Ticket] = []
        self.thread = threading.current_thread()

    def submit(self, requests: Sequence[Request], caller: str) -> list[Ticket]:
        tickets = [Ticket(self.engine.row(request)) for request in requests]
        self.requests += requests
        self.tickets += tickets
        for ticket in tickets:
            threading.Thread(target=self._say, args=(ticket,), daemon=True).start()
        return tickets

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
    bound = socket.create_server(("127.0.0.1", 0))
    server = server_of(models, settings or ServerSettings())
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
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


def script(prompt: str, tokenizer: Tokenizer) -> list[int]:
    """The answer to what was asked last."""
    asked = prompt.rsplit("<|user|>", 1)[-1].split("<|end_of_turn|>")[0]
    if asked == "think":
        ids = [tokenizer.think, *tokenizer.encode("2 and 2 is 4."), tokenizer.think_end, *tokenizer.encode("It is 4.")]
        return [
            *ids,
            tokenizer.tool_call,
            *tokenizer.encode('{"name":"add","arguments":{"a":2}}'),
            tokenizer.end_of_turn,
        ]
    if asked == "ponder":
        return [tokenizer.think, *tokenizer.encode("Hm, words."), tokenizer.think_end, *tokenizer.encode("word " * 600)]
    if asked == "mute":
        return [tokenizer.end_of_turn]
    answers = {"attack": ATTACK, "markdown": MARKDOWN, "long": "word " * 600}
    text = POEM if "bread" in asked else answers.get(asked, f"You said: {asked}")
    return [*tokenizer.encode(text), tokenizer.end_of_turn]


@dataclass
class Site:
    """A page of the server, what was asked of it, and where the browser went."""

    page: Any
    worker: Any
    address: str
    visited: list[str]

    def ask(self, text: str) -> None:
        self.page.get_by_label("Your question").fill(text)
        self.page.keyboard.press("Enter")

    def wait(self, text: str) -> None:
        self.page.get_by_role("status").get_by_text(text).wait_for(timeout=15000)

    def answers(self) -> list[str]:
        return [article.inner_text() for article in self.page.locator("article.assistant .body").all()]


@pytest.fixture(scope="session")
def pages(tokenizer: Tokenizer, scripted: Any, at_work: Any) -> Iterator[tuple[str, Any]]:
    def says(text: str) -> Any:
        return lambda _: [*tokenizer.encode(text), tokenizer.end_of_turn]

    ours = scripted("ppo", tokenizer, lambda prompt: script(prompt, tokenizer))
    sft = scripted("sft", tokenizer, says("Bread is good.\nCheese is good."))
    base = scripted("base", tokenizer, says("Write a poem about tea.\nName three rivers."), assistant=False)
    with at_work([ours, sft, base]) as address:
        yield address, ours.worker


@pytest.fixture(scope="module")  # while it is open, no other event loop runs in this thread
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which the extra dev brings")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, as in Debian's package chromium")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield found
        found.close()


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    found = browser.new_context(viewport={"width": 1100, "height": 760}, accept_downloads=True)
    yield found
    found.close()


@pytest.fixture
def site(context: Any, pages: tuple[str, Any]) -> Iterator[Site]:
    address, worker = pages
    page, visited, errors = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: visited.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(address)
    page.locator("#model option").first.wait_for(state="attached")
    worker.requests.clear()
    worker.tickets.clear()
    yield Site(page, worker, address, visited)
    # What a test makes fail, and what the browser keeps an answer from doing.
    known = ("responded with a status of 503", "responded with a status of 400", "Content Security Policy")
    assert [error for error in errors if not any(told in error for told in known)] == []
    assert all(url.startswith((address, "blob:", "data:")) for url in visited)

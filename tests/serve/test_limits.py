"""Keys, limits, what is counted and what is logged."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from gptwright.engine.batch import JUMP
from gptwright.errors import InputError
from gptwright.model.cache import bytes_per_token
from gptwright.tokenizer.tokenizer import Tokenizer

openai = pytest.importorskip("openai")

from gptwright.serve.gate import Limiter  # noqa: E402
from gptwright.serve.settings import Caller, ServerSettings, digest, read_keys  # noqa: E402

Serving = Callable[..., AbstractContextManager[str]]
USER, ADMIN = "user-key-0123456789", "admin-key-0123456789"
KEYS = {digest(USER): Caller("ann", "user"), digest(ADMIN): Caller("boss", "admin")}
HELLO = [{"role": "user", "content": "Hello."}]


def ask(address: str, key: str = "none", **wishes: Any) -> Any:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as client:
        found = client.chat.completions.create(model="assistant", messages=HELLO, **{"max_tokens": 4, **wishes})
        return list(found) if wishes.get("stream") else found


def get(address: str, path: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=told, encode_chunked="Transfer_Encoding" in headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_only_those_with_a_key_may_ask(serving: Serving) -> None:
    with serving(keys=KEYS) as address:
        assert ask(address, USER).choices
        for wrong in ("none", USER[:-1], USER + "x", ""):
            with pytest.raises((openai.AuthenticationError, openai.APIConnectionError)):
                ask(address, wrong or " ")
        assert get(address, "/v1/models")[0] == 401
        assert get(address, "/v1/models", Authorization=f"Basic {USER}")[0] == 401
        assert get(address, "/v1/models", Authorization=f"Bearer {USER}")[0] == 200
        assert get(address, "/health")[0] == get(address, "/ready")[0] == 200
        assert get(address, "/metrics", Authorization=f"Bearer {USER}")[0] == 403
        assert get(address, "/metrics", Authorization=f"Bearer {ADMIN}")[0] == 200
        assert get(address, "/%2e%2e/v1/models")[0] == 404
        assert get(address, "//v1/models")[0] == 404


def test_a_caller_who_asks_too_often_is_told_when_to_come_back(serving: Serving) -> None:
    with serving(requests_per_minute=2, keys=KEYS) as address:
        for _ in range(2):
            ask(address, USER)
        with pytest.raises(openai.RateLimitError) as caught:
            ask(address, USER)
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 31
        assert ask(address, ADMIN).choices  # each caller has a limit of their own
        assert get(address, "/v1/models", Authorization=f"Bearer {USER}")[0] == 200


def test_a_header_makes_nobody_another_caller(serving: Serving) -> None:
    body = json.dumps({"model": "assistant", "messages": HELLO, "max_tokens": 1})
    with serving(requests_per_minute=2) as address:
        asked = [
            get(address, "/v1/chat/completions", "POST", body, Content_Type="application/json", **header)[0]
            for header in ({"X_Forwarded_For": f"10.0.0.{number}"} for number in range(4))
        ]
    assert asked == [200, 200, 429, 429]


def test_a_bucket_refills_as_time_goes_by() -> None:
    limiter = Limiter(6)
    assert [limiter.wait("a", now=0.0) for _ in range(7)] == [0, 0, 0, 0, 0, 0, pytest.approx(10)]
    assert limiter.wait("a", now=9.9) > 0
    assert limiter.wait("a", now=10.1) == 0
    assert [limiter.wait("a", now=1000.0) > 0 for _ in range(7)] == [False] * 6 + [True]


def test_less_than_one_request_a_minute_is_still_some() -> None:
    limiter = Limiter(0.5)
    assert limiter.wait("a", now=0.0) == 0
    assert limiter.wait("a", now=0.0) == pytest.approx(120)
    assert limiter.wait("a", now=120.0) == 0


def test_a_request_that_is_too_large_is_refused_whatever_it_says_of_itself(serving: Serving) -> None:
    with serving(max_body_bytes=2000) as address:
        with pytest.raises(openai.APIStatusError) as caught:
            ask(address, extra_body={"user": "x" * 3000})
        assert caught.value.status_code == 413
        pieces = iter([b'{"model": "', b"x" * 3000, b'"}'])
        status, text = get(address, "/v1/chat/completions", "POST", pieces, Transfer_Encoding="chunked")
        assert (status, json.loads(text)["error"]["code"]) == (413, "too_large")
        assert ask(address).choices


def test_an_answer_that_takes_too_long_is_ended(tokenizer: Tokenizer, scripted: Any, at_work: Any) -> None:
    model = scripted("assistant", tokenizer, lambda _: [97] * 3000, pause=0.005)
    with at_work([model], ServerSettings(timeout_seconds=0.3)) as address:
        with pytest.raises(openai.APIStatusError, match="longer than") as caught:
            ask(address, max_tokens=3000)
        assert caught.value.status_code == 504
        with pytest.raises(openai.APIError, match="longer than"):
            list(ask(address, max_tokens=3000, stream=True))
    assert [ticket.row.going for ticket in model.worker.tickets] == [False, False]
    assert all(len(ticket.row.completion.ids) < 3000 for ticket in model.worker.tickets)


def test_a_body_that_does_not_come_is_not_waited_for(serving: Serving) -> None:
    head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nContent-Type: application/json\r\n\r\n"
    with serving(timeout_seconds=0.3) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head + b'{"model":')
            told = b"".join(iter(lambda: connection.recv(4096), b""))  # until the server ends it
        assert told.startswith(b"HTTP/1.1 408 ")
        assert b"the body did not come within 0.3 s" in told
        assert ask(address).choices


def test_an_answer_is_as_long_as_the_memory_allows(serving: Serving, models: Any) -> None:
    engine = models["assistant"].engine
    never = {str(end): -100 for end in engine.stop_ids}
    long, twice = ([{"role": "user", "content": "x" * length}] for length in (200, 70))
    with serving(cache_bytes=160 * bytes_per_token(engine.model.config, torch.float32)) as address:
        found = ask(address, max_tokens=None, seed=1, logit_bias=never)
        assert (found.choices[0].finish_reason, found.usage.total_tokens) == ("length", 160 - JUMP)
        with pytest.raises(openai.BadRequestError, match=r"this server's memory \(--cache\) holds 152: shorten it"):
            ask(address, extra_body={"messages": long})
        wishes = {"messages": [*twice, *HELLO], "truncation": "auto"}
        assert ask(address, max_tokens=None, extra_body=wishes).model_extra["truncated_messages"] == 1


def test_what_happened_is_counted(serving: Serving) -> None:
    with serving() as address:
        prompt = sum(ask(address, max_tokens=3).usage.prompt_tokens for _ in range(2))
        list(ask(address, stream=True, max_tokens=5))
        get(address, "/v1/made/up")
        _, text = get(address, "/metrics")
    counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(counted['gptwright_requests_total{path="/v1/chat/completions",status="200"}']) == 3
    assert float(counted['gptwright_requests_total{path="other",status="404"}']) == 1
    assert float(counted['gptwright_tokens_total{kind="prompt",model="assistant"}']) == 1.5 * prompt
    assert float(counted['gptwright_first_token_seconds_count{model="assistant"}']) == 3
    completed = float(counted['gptwright_tokens_total{kind="completion",model="assistant"}'])
    assert completed == 3 + float(counted['gptwright_next_token_seconds_count{model="assistant"}'])


@pytest.mark.parametrize("log_content", [False, True])
def test_requests_are_logged_and_their_content_only_if_asked(
    serving: Serving, caplog: pytest.LogCaptureFixture, log_content: bool
) -> None:
    with caplog.at_level(logging.INFO, "gptwright.serve.requests"), serving(log_content=log_content) as address:
        found = ask(address)
    (line,) = [json.loads(record.message) for record in caplog.records if record.name == "gptwright.serve.requests"]
    assert (line["path"], line["status"], line["model"], line["caller"]) == (
        "/v1/chat/completions", 200, "assistant", "127.0.0.1",
    )  # fmt: skip
    assert line["completion_tokens"] == found.usage.completion_tokens
    assert ("messages" in line, "answers" in line) == (log_content, log_content)
    if log_content:
        assert line["messages"] == [["user", "Hello."]]
        assert line["answers"] == [found.choices[0].message.content]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "has no key"),
        ("# nothing\n\n", "has no key"),
        ("short user\n", "line 1: a key needs 16 characters"),
        (f"{USER} user\n{ADMIN} king\n", "line 2: the role is 'king'"),
        (f"{USER}é user\n", "line 1: this key has a letter that no header can hold"),
        (f"{USER}\n{USER} admin\n", "line 2: this key stands there twice"),
    ],
)
def test_bad_key_files_are_refused(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InputError, match=named):
        read_keys(tmp_path / "keys")


def test_keys_are_read_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{USER} user ann  # hers\n{ADMIN} admin\n")
    assert read_keys(tmp_path / "keys") == {
        digest(USER): Caller("ann", "user"),
        digest(ADMIN): Caller("line 2", "admin"),
    }
    with pytest.raises(InputError, match="cannot read the keys"):
        read_keys(tmp_path / "nowhere")

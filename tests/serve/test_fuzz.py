"""Whatever is sent, the server answers in time and never with a mistake of its own."""

from __future__ import annotations

import http.client
import json
import re
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FEW = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/score")
SECONDS = 30

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", "\u0000", "💥", "\ud800"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
roles = st.sampled_from(["user", "assistant", "system", "developer", "tool", "king"])
messages = st.lists(st.fixed_dictionaries({"role": roles, "content": st.text(max_size=20) | values}), max_size=3)
calls = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.text(string.ascii_letters, max_size=5), "parameters": values}),
    }
)
schemas = st.fixed_dictionaries(
    {"type": st.just("json_schema"), "json_schema": st.fixed_dictionaries({"name": st.just("x"), "schema": values})}
)
# Each field is right often enough for the fields behind it to be reached.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["assistant"] * 4 + ["base", "judge", "nobody"]),
    "messages": messages,
    "prompt": st.text(max_size=30) | st.lists(st.integers(0, 300), max_size=5) | values,
    "answers": st.lists(st.text(max_size=10), max_size=3) | values,
    "temperature": st.floats(0, 2) | values,
    "top_p": st.floats(0.1, 1) | values,
    "top_k": st.integers(0, 50) | values,
    "min_p": st.floats(0, 1) | values,
    "n": st.integers(1, 3) | values,
    "stop": st.text(min_size=1, max_size=3) | values,
    "seed": st.integers() | values,
    "logprobs": st.booleans() | st.integers(0, 5),
    "top_logprobs": st.integers(0, 3) | values,
    "logit_bias": st.dictionaries(st.integers(0, 300).map(str), st.floats(-100, 100), max_size=2) | values,
    "repetition_penalty": st.floats(0.5, 2) | values,
    "presence_penalty": st.floats(-2, 2) | values,
    "frequency_penalty": st.floats(-2, 2) | values,
    "max_completion_tokens": st.integers(1, 4) | values,
    "parallel_tool_calls": st.booleans() | values,
    "stream": st.booleans(),
    "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}) | values,
    "response_format": schemas | values,
    "tools": st.lists(calls, max_size=2) | values,
    "tool_choice": st.sampled_from(["auto", "none", "required"]) | values,
    "guided_regex": st.text(max_size=8) | values,
    "guided_choice": st.lists(st.text(max_size=4), max_size=2) | values,
    "guided_grammar": st.text(max_size=12) | values,
    "user": values,
    "unknown": values,
}
bodies = st.fixed_dictionaries(
    {"model": FIELDS["model"], "max_tokens": st.just(4)},
    optional={name: field for name, field in FIELDS.items() if name != "model"},
)


def send(address: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@FEW
@given(path=st.sampled_from(PATHS), body=bodies)
def test_bodies_that_look_nearly_right(address: str, path: str, body: dict[str, Any]) -> None:
    status, told = send(address, "POST", path, json.dumps(body).encode("utf-8", "surrogatepass"))
    assert status < 500, told
    assert b'"server_error"' not in told, told  # which a stream tells after its status
    if status != 200:
        error = json.loads(told)["error"]
        assert error["message"]
        assert error["type"] == "invalid_request_error"


def nested(levels: int) -> str:
    return '{"type":"object","properties":{"a":' * levels + '{"type":"integer"}' + "}}" * levels


@pytest.mark.parametrize("levels", [50, 100, 450, 5000])  # of two each
@pytest.mark.parametrize("place", ["response_format", "tools", "arguments"])
def test_bodies_that_are_nested_deeply(address: str, place: str, levels: int) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": nested(levels)}}
    past = [{"role": "assistant", "tool_calls": [call]}] * (place == "arguments")
    wishes = {
        "response_format": '{"type":"json_schema","json_schema":{"name":"x","schema":DEEP}}',
        "tools": '[{"type":"function","function":{"name":"f","parameters":DEEP}}]',
    }
    body = {"model": "assistant", "max_tokens": 2, "messages": [*past, {"role": "user", "content": "x"}]}
    deep = "" if place == "arguments" else f',"{place}":{wishes.get(place, "DEEP").replace("DEEP", nested(levels))}'
    status, told = send(address, "POST", PATHS[0], f"{json.dumps(body)[:-1]}{deep}}}".encode())
    assert status in (200, 400), told
    assert b'"server_error"' not in told
    too_deep = re.search(b"nested too deeply|more than 120 levels|error parsing the body", told)
    assert bool(too_deep) == (levels > 50), told


@FEW
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_bodies_that_are_anything(address: str, path: str, body: bytes) -> None:
    status, told = send(address, "POST", path, body)
    assert 400 <= status < 500, told


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/models/%00",
        "/v1/models/%F0%9F%92%A5",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/vendor",
        "//v1/models",
        "/v1/models/" + "a" * 3000,
        "/compare/x",
        "/openapi.json",
    ],
)
def test_paths_that_lead_nowhere(address: str, method: str, path: str) -> None:
    status, told = send(address, method, path)
    assert status < 500
    assert b"def create_app" not in told
    assert b"Traceback" not in told


def test_headers_that_mislead(address: str) -> None:
    body = json.dumps({"model": "assistant", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}).encode()
    for headers in (
        {"Authorization": "Bearer \xff\xfe"},
        {"Authorization": "x" * 5000},
        {"X-Forwarded-For": "1.2.3.4, \xe9"},
        {"Accept-Encoding": "nonsense"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=utf-16"},
    ):
        assert send(address, "POST", "/v1/chat/completions", body, **headers)[0] < 500
    assert send(address, "POST", "/v1/chat/completions", body)[0] == 200

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
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
words = st.text(string.ascii_letters, min_size=1, max_size=5)


def chats(roles: st.SearchStrategy[str], content: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.fixed_dictionaries({"role": roles, "content": content}), max_size=3)


def tools(parameters: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    function = st.fixed_dictionaries({"name": words, "parameters": parameters})
    tool = st.fixed_dictionaries({"type": st.just("function"), "function": function})
    return st.lists(tool, min_size=1, max_size=2, unique_by=lambda tool: str(tool["function"]["name"]))


def json_schema(schema: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    shape = st.fixed_dictionaries({"name": words, "schema": schema})
    return st.fixed_dictionaries({"type": st.just("json_schema"), "json_schema": shape})


talks = st.builds(
    lambda past, last: [*past, {"role": "user", "content": last}],
    chats(st.sampled_from(["user", "assistant", "system", "developer", "tool"]), st.text(max_size=20)),
    st.text(max_size=20),
)
schemas = st.sampled_from([{"type": "object", "properties": {"a": {"type": "integer"}}}, {"type": "object"}])
SAMPLING: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.just(4),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0.1, 1),
    "top_k": st.integers(0, 50),
    "min_p": st.floats(0, 1),
    "n": st.integers(1, 3),
    "stop": st.text(min_size=1, max_size=3) | st.lists(words, max_size=4),
    "seed": st.integers(-(2**70), 2**70),
    "logit_bias": st.dictionaries(st.integers(0, 255).map(str), st.floats(-100, 100), max_size=2),
    "repetition_penalty": st.floats(0.5, 2),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "stream": st.booleans(),
    "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
    "user": st.text(max_size=5),
}
FORMS: dict[str, st.SearchStrategy[Any]] = {
    "guided_regex": st.sampled_from(["a+", "[0-9]{1,3}", "(x|y)*z"]),
    "guided_choice": st.lists(words, min_size=1, max_size=3),
    "guided_grammar": st.sampled_from(['start: "a" | "b"', "start: /[a-c]+/"]),
}
CHAT: dict[str, st.SearchStrategy[Any]] = {
    "max_completion_tokens": st.integers(1, 4),
    "logprobs": st.just(True),
    "top_logprobs": st.integers(0, 3),
    "parallel_tool_calls": st.booleans(),
    "truncation": st.sampled_from(["auto", "disabled"]),
    "response_format": st.sampled_from([{"type": "text"}, {"type": "json_object"}]) | json_schema(schemas),
    "tools": tools(schemas),
    "tool_choice": st.sampled_from(["auto", "none", "required"]),
}
NEEDS = {"top_logprobs": "logprobs", "tool_choice": "tools"}
EXCLUSIVE = (*FORMS, "response_format", "tools")
"""What an answer must be like: at most one of them."""
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    PATHS[0]: {"model": st.just("assistant"), "messages": talks, **SAMPLING, **FORMS, **CHAT},
    PATHS[1]: {
        "model": st.sampled_from(["assistant", "base"]),
        "prompt": st.text(max_size=30) | st.lists(st.integers(0, 255), min_size=1, max_size=5),
        "logprobs": st.integers(0, 5),
        "echo": st.just(False),
        **SAMPLING,
        **FORMS,
    },
    PATHS[2]: {
        "model": st.just("judge"),
        "messages": talks,
        "answers": st.lists(st.text(max_size=10), min_size=1, max_size=3),
    },
}
MUST = {"model", "messages", "prompt", "answers", "max_tokens"}
NEARLY: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["base", "judge", "nobody"]),
    "messages": chats(st.sampled_from(["user", "assistant", "king"]), st.text(max_size=20) | values),
    "prompt": st.lists(st.integers(-1, 300) | values, max_size=3),
    "response_format": json_schema(values),
    "tools": tools(values),
    "guided_regex": st.text(max_size=8),
    "guided_grammar": st.text(max_size=12),
}


@st.composite
def bodies(draw: st.DrawFn, path: str, *, wrong: bool) -> dict[str, Any]:
    """What the API says that this path takes; one field may be of another kind."""
    fields = FIELDS[path]
    may = sorted(fields.keys() - MUST)
    names = set(draw(st.lists(st.sampled_from(may), max_size=5) if may else st.just([])))
    names |= {NEEDS[name] for name in names & NEEDS.keys()}
    names -= set([name for name in EXCLUSIVE if name in names][:-1])
    names -= {name for name, needed in NEEDS.items() if needed not in names}
    body = {name: draw(field) for name, field in fields.items() if name in MUST | names}
    if wrong:
        name = draw(st.sampled_from([*fields, "unknown"]))
        body[name] = draw(NEARLY.get(name, values) | values)
    return body


def send(address: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ask(address: str, path: str, body: dict[str, Any]) -> int:
    """The status, once it is sure that no mistake was the server's."""
    status, told = send(address, "POST", path, json.dumps(body).encode("utf-8", "surrogatepass"))
    assert status < 500, told
    assert b'"server_error"' not in told, told  # which a stream tells after its status
    if status != 200:
        error = json.loads(told)["error"]
        assert error["message"]
        assert error["type"] == "invalid_request_error"
    return status


@pytest.mark.parametrize("path", PATHS)
@FEW
@given(data=st.data())
def test_what_the_api_says_it_takes_is_answered(address: str, path: str, data: st.DataObject) -> None:
    assert ask(address, path, data.draw(bodies(path, wrong=False))) == 200


@pytest.mark.parametrize("path", PATHS)
@FEW
@given(data=st.data())
def test_bodies_that_look_nearly_right(address: str, path: str, data: st.DataObject) -> None:
    ask(address, path, data.draw(bodies(path, wrong=True)))


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


@settings(FEW, max_examples=120)
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

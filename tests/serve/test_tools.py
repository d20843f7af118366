"""Tools and thinking, from tokens to what the official client reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gptwright.engine.protocol import Part, PartStream
from gptwright.serve.answers import tool_call
from gptwright.serve.errors import ApiError
from gptwright.serve.models import ServedModel
from gptwright.serve.schema import ChatRequest
from gptwright.tokenizer.tokenizer import Tokenizer

openai = pytest.importorskip("openai")

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "The sum of two digits.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}, "b": {"enum": [1, 2]}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}
# As openai.pydantic_function_tool writes a model that holds another.
DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}
NESTED: dict[str, Any] = {
    "$defs": {"Pair": {"type": "object", "properties": {"a": DIGIT}, "required": ["a"], "additionalProperties": False}},
    "type": "object",
    "properties": {"pair": {"$ref": "#/$defs/Pair"}},
    "required": ["pair"],
    "additionalProperties": False,
}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
TOO_DEEP: dict[str, Any] = {
    "role": "assistant",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "[" * 100_000}}],
}
LOOK: dict[str, Any] = {"type": "function", "function": {"name": "look", "parameters": NOTHING}}
HELLO = [{"role": "user", "content": "What is 2 and 2?"}]


def said(tokenizer: Tokenizer) -> list[int]:
    call = tokenizer.encode('{"name":"add","arguments":{"a":2,"b":"é"}}')
    return [
        tokenizer.think,
        *tokenizer.encode("Hm ü."),
        tokenizer.think_end,
        *tokenizer.encode("Let me see."),
        tokenizer.tool_call,
        *call,
        tokenizer.tool_call,
        *tokenizer.encode('{"name":"look","arguments":{}}'),
        tokenizer.end_of_turn,
    ]


@pytest.fixture(scope="module")
def talker(tokenizer: Tokenizer, scripted: Any, at_work: Any) -> Iterator[tuple[Any, ServedModel]]:
    model = scripted("assistant", tokenizer, lambda _: said(tokenizer))
    with at_work([model]) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client, model


def test_parts_of_a_turn(tokenizer: Tokenizer) -> None:
    stream = PartStream(tokenizer)
    parts = [part for token in said(tokenizer)[:-1] for part in stream.feed(token)] + stream.finish()
    together: dict[str, str] = {}
    for part in parts:
        together[part.kind] = together.get(part.kind, "") + part.text
    assert together["thinking"] == "Hm ü."
    assert together["content"] == "Let me see."
    calls = [part for part in parts if part.kind == "tool_call"]
    assert calls == [
        Part("tool_call", '{"name":"add","arguments":{"a":2,"b":"é"}}'),
        Part("tool_call", '{"name":"look","arguments":{}}'),
    ]
    assert [part.kind for part in parts].index("tool_call") > max(i for i, p in enumerate(parts) if p.kind == "content")


@pytest.mark.parametrize("marked", [True, False])
def test_a_stop_string_ends_what_is_said_alone(tokenizer: Tokenizer, scripted: Any, at_work: Any, marked: bool) -> None:
    mark, call = [tokenizer.think, tokenizer.think_end], [tokenizer.tool_call, *tokenizer.encode('{"a":"END"}')]
    turn = [mark[0], *tokenizer.encode("Hm END hm."), mark[1], *tokenizer.encode("Yes."), *call, mark[1]]
    model = scripted("assistant", tokenizer, lambda _: [*turn, *tokenizer.encode("No. END And"), *mark])
    with at_work([model]) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="none") as client:
        if marked:
            choice = client.chat.completions.create(model="assistant", messages=HELLO, stop="END").choices[0]
            assert choice.message.content == 'Yes.No. {"a":"END"}'  # a call that is none is shown, behind the text
            assert choice.message.model_extra["reasoning_content"] == "Hm END hm."
        else:
            choice = client.completions.create(model="assistant", prompt="x", stop="END", max_tokens=99).choices[0]
            assert choice.text == 'Hm END hm.Yes.{"a":"END"}No. '
    assert choice.finish_reason == "stop"
    assert model.worker.tickets[0].row.completion.ids == [*turn, *tokenizer.encode("No. END")]


def test_thinking_and_calls_are_told_apart_from_what_is_said(talker: tuple[Any, ServedModel]) -> None:
    choice = talker[0].chat.completions.create(model="assistant", messages=HELLO).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me see."
    assert choice.message.model_extra["reasoning_content"] == "Hm ü."
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls]
    assert calls == [("add", {"a": 2, "b": "é"}), ("look", {})]
    assert len({call.id for call in choice.message.tool_calls}) == 2


def test_a_stream_has_them_too(talker: tuple[Any, ServedModel]) -> None:
    chunks = list(talker[0].chat.completions.create(model="assistant", messages=HELLO, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "Let me see."
    assert "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas) == "Hm ü."
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    assert [(call.index, call.function.name) for call in calls] == [(0, "add"), (1, "look")]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_tools_results_and_earlier_calls_stand_in_the_prompt(talker: tuple[Any, ServedModel]) -> None:
    client, model = talker
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
    ]
    client.chat.completions.create(model="assistant", messages=messages, tools=[LOOK], tool_choice="auto")
    prompt = model.tokenizer.decode(model.worker.requests[-1].prompt_ids)
    assert prompt == (
        '<|system|>You can call these tools:\n{"name":"look","parameters":{"type":"object","properties":{},'
        '"additionalProperties":false}}<|end_of_turn|><|user|>What is 2 and 2?<|end_of_turn|><|assistant|>'
        '<|tool_call|>{"name":"add","arguments":{"a":2,"b":2}}<|end_of_turn|><|tool|>4<|end_of_turn|><|assistant|>'
    )
    client.chat.completions.create(model="assistant", messages=HELLO, tools=[LOOK], tool_choice="none")
    assert "look" not in model.tokenizer.decode(model.worker.requests[-1].prompt_ids)


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_knows_nothing_calls_a_tool_as_it_wants_to_be_called(client: Any, seed: int) -> None:
    named = {"type": "function", "function": {"name": "add"}}
    for choice in ("required", named):
        (found,) = client.chat.completions.create(
            model="assistant",
            messages=[{"role": "user", "content": "2+2"}],
            tools=[ADD],
            tool_choice=choice,
            seed=seed,
            max_tokens=60,
            extra_body={"temperature": 1.0},
        ).choices
        assert found.finish_reason == "tool_calls"
        assert found.message.content is None
        (call,) = found.message.tool_calls
        arguments = json.loads(call.function.arguments)
        assert call.function.name == "add"
        assert 0 <= arguments["a"] <= 9
        assert arguments["b"] in (1, 2)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "größe.x"}}])
@pytest.mark.parametrize("parameters", [NESTED, {"$ref": "#/$defs/Pair", "$defs": NESTED["$defs"]}])
def test_parameters_may_refer_to_definitions_of_their_own(client: Any, parameters: dict[str, Any], choice: Any) -> None:
    tool = {"type": "function", "function": {"name": "größe.x", "parameters": parameters}}
    (found,) = client.chat.completions.create(
        model="assistant", messages=HELLO, tools=[tool], tool_choice=choice, seed=1, max_tokens=80
    ).choices
    (call,) = found.message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "größe.x"
    assert 0 <= (arguments["pair"] if parameters is NESTED else arguments)["a"] <= 9


def test_parameters_that_refer_too_much_are_refused_by_their_own_name(tokenizer: Tokenizer) -> None:
    deep: dict[str, Any] = {"$ref": "#/$defs/0"}
    for _ in range(20):
        deep = {"type": "object", "properties": {"a": deep}}
    many = {"$defs": {str(i): {"$ref": f"#/$defs/{i}"} for i in range(60)}, "type": "object", "properties": {"a": deep}}
    tool = {"type": "function", "function": {"name": "look", "parameters": many}}
    asked = ChatRequest.model_validate({"model": "assistant", "messages": HELLO, "tools": [tool]})
    with pytest.raises(ApiError, match="make it smaller") as refused:
        asked.tool_grammar(tokenizer)
    assert refused.value.param == "tools"


def test_no_tools_may_be_said_as_null(client: Any) -> None:
    asked = {"model": "assistant", "messages": [{"role": "user", "content": "2"}], "max_tokens": 3}
    assert client.chat.completions.create(**asked, extra_body={"tools": None}).choices


@pytest.mark.parametrize("several", [True, False])
def test_with_auto_it_may_talk_and_every_call_is_whole(
    client: Any, models: dict[str, ServedModel], several: bool
) -> None:
    counts = []
    for seed in range(6):
        (found,) = client.chat.completions.create(
            model="assistant",
            messages=[{"role": "user", "content": "2"}],
            tools=[LOOK],
            seed=seed,
            max_tokens=150,
            logit_bias={str(models["assistant"].tokenizer.tool_call): 6 if seed else -100},
            parallel_tool_calls=several,
        ).choices
        calls = found.message.tool_calls or []
        assert all((call.function.name, json.loads(call.function.arguments)) == ("look", {}) for call in calls)
        counts.append(len(calls))
    assert counts[0] == 0 and max(counts) >= 1
    assert (max(counts) > 1) == several


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"tools": [ADD], "tool_choice": {"type": "function", "function": {"name": "sub"}}}, "no tool is called 'sub'"),
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tools": [ADD], "response_format": {"type": "json_object"}}, "tools and response_format exclude each other"),
        ({"tools": [ADD], "extra_body": {"guided_regex": "a"}}, "tools and guided_regex exclude each other"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        ({"messages": [*HELLO, TOO_DEEP, {"role": "tool", "content": "4"}]}, "nested too deeply"),
        ({"messages": [{"role": "user", "content": None}]}, "content is missing"),
        ({"messages": [*HELLO, {"role": "user", "content": "x", "reasoning_content": "y"}]}, "only an assistant"),
    ],
)
def test_what_cannot_be_is_refused(client: Any, wishes: dict[str, Any], named: str) -> None:
    with pytest.raises(openai.BadRequestError, match=named):
        client.chat.completions.create(**{"model": "assistant", "messages": HELLO, **wishes})


def test_a_call_that_is_nested_too_deeply_is_no_call() -> None:
    assert tool_call('{"name": "add", "arguments": ' + "[" * 100_000 + "]" * 100_000 + "}") is None
    assert tool_call('{"name": "add", "arguments": {"a": 1}}') is not None


def test_a_call_is_told_as_json_that_can_be_sent() -> None:
    found = tool_call('{"name": "add", "arguments": {"a": "\\ud800 \\u00e9\\n"}}')
    assert found == {"function": {"name": "add", "arguments": '{"a": "\\ud800 é\\n"}'}}
    for wrong in ('"add", "arguments": {"a": 1e999}', '"add", "arguments": NaN', '"\\ud800", "arguments": {}'):
        assert tool_call(f'{{"name": {wrong}}}') is None

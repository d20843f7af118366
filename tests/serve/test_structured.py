"""Answers of a given form."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

openai = pytest.importorskip("openai")
HELLO = [{"role": "user", "content": "Hello."}]


def said(client: Any, **wishes: Any) -> str:
    found = client.chat.completions.create(model="assistant", messages=HELLO, **{"max_tokens": 100, **wishes})
    assert found.choices[0].finish_reason == "stop"
    return str(found.choices[0].message.content)


@pytest.mark.parametrize("seed", range(4))
def test_a_schema_is_followed(client: Any, seed: int) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}, "count": {"type": "integer", "minimum": 3, "maximum": 11}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}
    found = json.loads(said(client, response_format=wanted, seed=seed))
    assert found["colour"] in ("red", "blue")
    assert 3 <= found["count"] <= 11


def test_a_choice_and_a_regular_expression_are_followed(client: Any) -> None:
    assert said(client, extra_body={"guided_choice": ["yes", "no"]}) in ("yes", "no")
    assert re.fullmatch("[0-9]{3}-[a-c]", said(client, extra_body={"guided_regex": "[0-9]{3}-[a-c]"}))
    assert said(client, extra_body={"guided_grammar": 'start: "a" b\nb: "c" | "d"'}) in ("ac", "ad")


def test_forced_text_is_streamed_and_told_as_certain(client: Any) -> None:
    wishes: dict[str, Any] = {"logprobs": True, "top_logprobs": 3, "extra_body": {"guided_choice": ["the answer"]}}
    chunks = list(client.chat.completions.create(model="assistant", messages=HELLO, stream=True, **wishes))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "the answer"
    told = [token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert "".join(token.token for token in told) == "the answer"
    assert all(token.logprob == 0 and token.top_logprobs[0].token == token.token for token in told)

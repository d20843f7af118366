"""Answers of a given form, and scores of a reward model."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from typing import Any

import pytest

from gptwright.records import Message
from gptwright.serve.errors import ApiError
from gptwright.serve.models import ServedReward
from gptwright.serve.worker import Busy
from gptwright.stages.scoring import score_all, scored_row
from gptwright.train.fast_path import FastPath

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


def post(client: Any, **body: Any) -> Any:
    return client.post("/score", body=body, cast_to=object)


def test_a_reward_model_gives_scores(client: Any, judge: ServedReward) -> None:
    answers = ["Good day.", "No.", ""]
    found = post(client, model="judge", messages=HELLO, answers=answers)
    rows = [scored_row([Message("user", "Hello.")], answer, judge.tokenizer) for answer in answers]
    expected = score_all(judge.model, rows, judge.tokenizer.pad, FastPath("cpu", "float32"))
    assert [each["score"] for each in found["data"]] == pytest.approx(expected, abs=1e-6)
    assert len(set(expected)) == 3


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"model": "assistant", "answers": ["x"]}, "assistant is no reward model"),
        ({"model": "judge", "answers": []}, "answers"),
        ({"model": "judge", "answers": ["long " * 200]}, "judge reads 512"),
        ({"model": "nobody", "answers": ["x"]}, "no model is called 'nobody'"),
    ],
)
def test_what_cannot_be_scored_is_refused(client: Any, body: dict[str, Any], named: str) -> None:
    with pytest.raises(openai.APIStatusError, match=named) as caught:
        post(client, messages=HELLO, **body)
    assert caught.value.status_code in (400, 404)


def test_a_reward_model_is_never_asked_to_talk(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="judge is a reward model: it gives scores, on /v1/score"):
        client.chat.completions.create(model="judge", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="judge is a reward model"):
        client.completions.create(model="judge", prompt="Hello")
    kinds = {model.id: model.model_extra["kind"] for model in client.models.list()}
    assert kinds == {"base": "base", "assistant": "assistant", "judge": "reward"}


def test_scores_are_given_one_after_the_other_and_nobody_waits_for_ever(
    judge: ServedReward, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(messages: Any, answers: Any) -> list[float]:
        begun.set()
        go_on.wait(10)
        return [0.0]

    async def ask() -> None:
        first = asyncio.ensure_future(judge.score([], ["a"], 30))
        await asyncio.to_thread(begun.wait)
        with pytest.raises(ApiError, match=r"the scores took longer than 0\.01 s"):
            await judge.score([], ["b"], 0.01)
        monkeypatch.setattr("gptwright.serve.models.MAX_SCORES_WAITING", 1)
        with pytest.raises(Busy, match="1 requests wait already"):
            await judge.score([], ["c"], 30)
        go_on.set()
        assert await first == [0.0]
        assert judge.waiting == 0

    monkeypatch.setattr(judge, "_score", slow)
    asyncio.run(ask())

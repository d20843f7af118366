"""Scores of a reward model: the same however they are sliced, and no longer than somebody waits for them."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gptwright.model.transformer import scalar_from
from gptwright.records import Message
from gptwright.serve.errors import ApiError
from gptwright.serve.models import ServedReward
from gptwright.serve.worker import Busy
from gptwright.stages import packing
from gptwright.stages.scoring import score_all, score_parts, scored_row
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath

openai = pytest.importorskip("openai")
HELLO = [{"role": "user", "content": "Hello."}]
PATH = FastPath("cpu", "float32")


def post(client: Any, **body: Any) -> Any:
    return client.post("/score", body=body, cast_to=object)


def test_a_reward_model_gives_scores(client: Any, judge: ServedReward) -> None:
    answers = ["Good day.", "No.", ""]
    found = post(client, model="judge", messages=HELLO, answers=answers)
    rows = [scored_row([Message("user", "Hello.")], answer, judge.tokenizer) for answer in answers]
    expected = score_all(judge.model, rows, judge.tokenizer.pad, PATH)
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

    def slow(messages: Any, answers: Any, left: Any) -> list[float]:
        begun.set()
        go_on.wait(10)
        return [0.0]

    async def ask() -> None:
        first = asyncio.ensure_future(judge.score([], ["a"], 30))
        await asyncio.to_thread(begun.wait)
        with pytest.raises(ApiError, match=r"the scores took longer than 0\.01 s"):
            await judge.score([], ["b"], 0.01)
        monkeypatch.setattr("gptwright.serve.models.MAX_SCORES_WAITING", 1)
        with pytest.raises(Busy, match="1 answers wait, 1 came, and 1 may wait"):
            await judge.score([], ["c"], 30)
        monkeypatch.setattr("gptwright.serve.models.MAX_SCORES_WAITING", 2)
        judge.waiting.append("ann")
        with pytest.raises(Busy, match="1 answers wait for you, 1 came, and 1 may wait for one caller"):
            await judge.score([], ["d"], 30, "ann")
        judge.waiting.remove("ann")
        go_on.set()
        assert await first == [0.0]
        assert judge.waiting == []

    monkeypatch.setattr(judge, "_score", slow)
    asyncio.run(ask())


@pytest.mark.parametrize("likelihood", [None, 0.3])
def test_scores_do_not_depend_on_how_they_are_sliced(
    models: dict[str, Any], tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, likelihood: float | None
) -> None:
    model = scalar_from(models["base"].engine.model, 1, likelihood)
    answers = ["word " * (1 + number * 7 % 60) for number in range(40)]
    rows = [scored_row([Message("user", "Hello.")], answer, tokenizer) for answer in answers]
    alone = [score_all(model, [row], tokenizer.pad, PATH)[0] for row in rows]
    slices = {}
    for tokens in (10, 600, packing.ROW_TOKENS, 10**6):
        monkeypatch.setattr(packing, "ROW_TOKENS", tokens)
        parts = list(score_parts(model, rows, tokenizer.pad, PATH))
        slices[tokens] = len(parts)
        assert [score for part in parts for score in part] == pytest.approx(alone, abs=1e-4)
    assert list(slices.values()) == sorted(slices.values(), reverse=True)
    assert slices[10] > 20 and slices[10**6] == 1


def test_a_pass_takes_few_tokens_however_many_answers_there_are(judge: ServedReward) -> None:
    rows = [scored_row([Message("user", "Hello.")], "long " * 80, judge.tokenizer)] * 64
    passes = list[int]()
    with watched(judge.model.model, lambda ids: passes.append(ids.numel())):
        score_all(judge.model, rows, judge.tokenizer.pad, PATH)
    assert sum(passes) == 64 * 512
    assert max(passes) <= 2 * packing.ROW_TOKENS


MANY = ["long " * 80] * 128
"""Some ten passes and more."""


@contextmanager
def watched(model: Any, seen: Any) -> Iterator[None]:
    """Calls `seen` with the ids of each pass through a model."""
    handle = model.embed_tokens.register_forward_pre_hook(lambda _, given: seen(given[0]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def slowed(judge: ServedReward) -> Iterator[list[int]]:
    """Each pass takes 0.2 s more; yields the list that it is noted in."""
    passes = list[int]()

    def seen(ids: Any) -> None:
        passes.append(ids.numel())
        time.sleep(0.2)

    with watched(judge.model.model, seen):
        yield passes


def test_scoring_ends_soon_after_the_client_has_left(address: str, judge: ServedReward) -> None:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    body = json.dumps({"model": "judge", "messages": HELLO, "answers": MANY})
    with slowed(judge) as passes:
        connection.request("POST", "/v1/score", body, {"Content-Type": "application/json"})
        while not passes:
            time.sleep(0.01)
        connection.close()
        judge.pool.submit(lambda: None).result(timeout=30)
        left_after = len(passes)
    assert 1 <= left_after <= 8
    assert judge.waiting == []


def test_scoring_ends_soon_after_its_time_is_over(judge: ServedReward) -> None:
    with slowed(judge) as passes:
        with pytest.raises(ApiError, match=r"the scores took longer than 0\.3 s"):
            asyncio.run(judge.score([Message("user", "Hello.")], MANY, 0.3))
        judge.pool.submit(lambda: None).result(timeout=30)
        left_after = len(passes)
    assert 1 <= left_after <= 8

"""The server as its clients meet it: through the official client, over a socket."""

from __future__ import annotations

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gptwright.engine import reading
from gptwright.engine.params import SamplingParams
from gptwright.engine.protocol import whole_text
from gptwright.engine.request import Request
from gptwright.records import Message
from gptwright.serve.models import ServedModel
from gptwright.tokenizer.chat import render_prompt

openai = pytest.importorskip("openai")
HELLO = [{"role": "user", "content": "Hello."}]


def answered(models: dict[str, ServedModel], text: str, **wishes: Any) -> str:
    """What the engine itself answers."""
    served = models["assistant"]
    ids = render_prompt([Message("user", text)], served.tokenizer)
    completion = served.engine.generate([Request(ids, SamplingParams(**wishes))])[0]
    ids = [token for token in completion.ids if token not in served.engine.stop_ids]
    return whole_text(ids, served.tokenizer, wishes.get("stop", ()))


def test_models_are_listed(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["base", "assistant", "judge"]
    assert client.models.retrieve("base").id == "base"


def test_a_chat_is_answered_as_the_engine_answers(client: Any, models: dict[str, ServedModel]) -> None:
    found = client.chat.completions.create(model="assistant", messages=HELLO, seed=5, max_tokens=20)
    choice = found.choices[0]
    assert choice.message.content == answered(models, "Hello.", max_new_tokens=20, seed=5)
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    prompt = len(render_prompt([Message("user", "Hello.")], models["assistant"].tokenizer))
    assert found.usage.prompt_tokens == prompt
    assert 1 <= found.usage.completion_tokens <= 20
    assert found.usage.total_tokens == prompt + found.usage.completion_tokens


def test_a_stream_brings_the_same_text_in_pieces(client: Any) -> None:
    wishes: dict[str, Any] = {"model": "assistant", "messages": HELLO, "seed": 5, "max_tokens": 20}
    whole = client.chat.completions.create(**wishes)
    chunks = list(client.chat.completions.create(**wishes, stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len([piece for piece in pieces if piece]) > 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_oldest_messages_are_left_out_where_that_is_asked(client: Any) -> None:
    old = [{"role": "user", "content": "x" * 300}, {"role": "assistant", "content": "y"}]
    wishes: dict[str, Any] = {"model": "assistant", "messages": [*old, *HELLO], "max_tokens": 10_000, "seed": 1}
    alone = client.chat.completions.create(model="assistant", messages=HELLO, seed=1)
    whole = client.chat.completions.create(**wishes, extra_body={"truncation": "disabled"})
    fitted = client.chat.completions.create(**wishes, extra_body={"truncation": "auto"})
    assert whole.usage.prompt_tokens > 300 and "truncated_messages" not in whole.model_extra
    assert (fitted.model_extra["truncated_messages"], fitted.usage) == (2, alone.usage)
    assert fitted.choices[0].message.content == alone.choices[0].message.content
    chunks = list(client.chat.completions.create(**wishes, extra_body={"truncation": "auto"}, stream=True))
    assert {chunk.model_extra["truncated_messages"] for chunk in chunks} == {2}
    short = client.chat.completions.create(**wishes | {"max_tokens": 8}, extra_body={"truncation": "auto"})
    assert short.model_extra["truncated_messages"] == 0


def test_n_answers_differ_and_are_those_of_the_seeds_that_follow(client: Any, models: dict[str, ServedModel]) -> None:
    found = client.chat.completions.create(model="assistant", messages=HELLO, seed=7, n=3, max_tokens=12)
    texts = [choice.message.content for choice in found.choices]
    assert texts == [answered(models, "Hello.", max_new_tokens=12, seed=seed) for seed in (7, 8, 9)]
    assert [choice.index for choice in found.choices] == [0, 1, 2]


def test_a_stream_of_n_answers_can_be_told_apart(client: Any, models: dict[str, ServedModel]) -> None:
    texts = {0: "", 1: ""}
    for chunk in client.chat.completions.create(
        model="assistant", messages=HELLO, seed=7, n=2, max_tokens=12, stream=True
    ):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == {n: answered(models, "Hello.", max_new_tokens=12, seed=7 + n) for n in (0, 1)}


def test_logprobs_are_told_with_each_token(client: Any) -> None:
    found = client.chat.completions.create(
        model="assistant", messages=HELLO, seed=5, max_tokens=8, logprobs=True, top_logprobs=3
    )
    content = found.choices[0].logprobs.content
    said = b"".join(bytes(each.bytes) for each in content if not each.token.startswith("<|"))  # marks are no text
    assert said.decode(errors="replace") == found.choices[0].message.content
    for each in content:
        assert each.logprob <= 0
        assert len(each.top_logprobs) == 3


def test_text_is_continued_by_either_model(client: Any) -> None:
    for model in ("base", "assistant"):
        found = client.completions.create(model=model, prompt="Once", max_tokens=8, seed=1, logprobs=2)
        assert found.choices[0].text
        told = found.choices[0].logprobs
        assert len(told.tokens) == len(told.token_logprobs) == len(told.text_offset)
        text, ends = found.choices[0].text, [*told.text_offset[1:], None]
        for token, start, end in zip(told.tokens, told.text_offset, ends, strict=True):
            # In front of a token may stand the sign for half a character that never became a whole one.
            assert token.startswith(("bytes:", "<|")) or text[start:end].endswith(token)
        assert all(len(top) == 2 for top in told.top_logprobs)  # half characters have names of their own


def test_several_prompts_are_continued_each_by_itself(client: Any) -> None:
    wishes: dict[str, Any] = {"model": "base", "max_tokens": 6, "seed": 1, "n": 2}
    together = client.completions.create(prompt=["Once", "There was"], **wishes)
    alone = [client.completions.create(prompt=prompt, **wishes) for prompt in ("Once", "There was")]
    assert [choice.index for choice in together.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in together.choices] == [c.text for found in alone for c in found.choices]
    assert together.usage.prompt_tokens == sum(found.usage.prompt_tokens for found in alone)
    with pytest.raises(openai.BadRequestError, match="prompt"):
        client.completions.create(prompt=[], **wishes)
    with pytest.raises(openai.BadRequestError, match="n and prompt ask for 66 answers: 64 is the most"):
        client.completions.create(prompt=["x"] * 33, **wishes)


def test_prompts_may_be_ids_of_tokens(client: Any, models: dict[str, ServedModel]) -> None:
    wishes: dict[str, Any] = {"model": "base", "max_tokens": 6, "seed": 1}
    tokenizer = models["base"].tokenizer
    texts = ["Once", "There was"]
    ids = [[tokenizer.opening, *tokenizer.encode(text)] for text in texts]
    expected = [choice.text for choice in client.completions.create(prompt=texts, **wishes).choices]
    assert [choice.text for choice in client.completions.create(prompt=ids, **wishes).choices] == expected
    found = client.completions.create(prompt=ids[0], **wishes)
    assert [choice.text for choice in found.choices] == expected[:1]
    assert found.usage.prompt_tokens == len(ids[0])
    size = tokenizer.vocab_size
    with pytest.raises(openai.BadRequestError, match=f"prompt names token {size}: base has {size} tokens"):
        client.completions.create(prompt=[[1], [size]], **wishes)
    for wrong in ([-1], [True], [[]], [[1], "x"], [1, "x"], [2**70]):
        with pytest.raises(openai.BadRequestError, match="prompt"):
            client.completions.create(prompt=wrong, **wishes)


def test_a_continuation_has_sixteen_tokens_unless_more_are_asked_for(
    client: Any, models: dict[str, ServedModel]
) -> None:
    never = {str(token): -100 for token in models["base"].engine.stop_ids}
    for wishes in ({}, {"max_tokens": None}):
        found = client.completions.create(model="base", prompt="Once", logit_bias=never, extra_body=wishes)
        assert found.usage.completion_tokens == 16


def test_an_answer_goes_back_as_the_client_has_it(client: Any) -> None:
    """With all the fields that the official client writes, most of them null."""
    first = client.chat.completions.create(model="assistant", messages=HELLO, seed=5, max_tokens=5)
    given = first.choices[0].message.model_dump()
    assert {"refusal", "audio", "function_call", "annotations"} <= given.keys()
    messages = [*HELLO, given, {"role": "user", "content": "And?"}]
    assert client.chat.completions.create(model="assistant", messages=messages, max_tokens=2).choices[0].message


def test_a_stream_that_says_nothing_tells_whose_turn_it_was(client: Any, models: dict[str, ServedModel]) -> None:
    end = models["assistant"].tokenizer.end_of_turn
    wishes: dict[str, Any] = {"logit_bias": {str(end): 100}, "temperature": 0, "stream": True}
    chunks = list(client.chat.completions.create(model="assistant", messages=HELLO, **wishes))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ""
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stop_string_is_no_part_of_the_text(client: Any) -> None:
    wishes: dict[str, Any] = {"model": "base", "prompt": "Once", "max_tokens": 30, "temperature": 0}
    free = client.completions.create(**wishes).choices[0]
    ended = client.completions.create(**wishes, stop=free.text[2:4]).choices[0]
    assert ended.text == free.text[: free.text.index(free.text[2:4])]
    assert ended.finish_reason == "stop"


def test_many_at_once_get_what_each_would_get_alone(client: Any, models: dict[str, ServedModel]) -> None:
    def ask(number: int) -> str:
        messages = [{"role": "user", "content": "x" * (1 + number % 7)}]
        found = client.chat.completions.create(
            model="assistant", messages=messages, seed=number, max_tokens=5 + number % 11
        )
        return str(found.choices[0].message.content)

    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(ask, range(48)))
    for number, text in enumerate(found):
        expected = answered(models, "x" * (1 + number % 7), seed=number, max_new_tokens=5 + number % 11)
        assert text == expected


class SlowMeter:
    """Takes so long for each token that an answer cannot end by itself while somebody waits for that."""

    tokens = 0

    def prompt(self, tokens: int, reused: int) -> None:
        pass

    def load(self, waiting: int, answered: int) -> None:
        pass

    def token(self, since: float, *, first: bool) -> float:
        self.tokens += 1
        time.sleep(0.01)
        return since


def test_a_client_that_leaves_frees_its_row(
    client: Any, models: dict[str, ServedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, meter = models["assistant"].worker, SlowMeter()
    monkeypatch.setattr(worker, "meter", meter)
    bias = {str(token): 100 for token in models["assistant"].tokenizer.encode("a")}
    stream = client.chat.completions.create(
        model="assistant", messages=HELLO, max_tokens=450, stream=True, logit_bias=bias
    )
    next(iter(stream))
    stream.close()
    for _ in range(500):
        if not worker.answered:
            break
        time.sleep(0.01)
    assert not worker.answered
    assert meter.tokens < 400


@pytest.mark.parametrize(
    ("wishes", "status", "named"),
    [
        ({"model": "nobody"}, 404, "no model is called 'nobody': there is base, assistant"),
        ({"model": "base"}, 400, "base is a base model"),
        ({"messages": []}, 400, "messages"),
        ({"top_logprobs": 2}, 400, "top_logprobs is given without logprobs"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "Hi"}]}, 400, "nothing to answer"),
        ({"temperature": 3}, 400, "temperature"),
        ({"stop": ""}, 400, "stop"),
        ({"extra_body": {"echo": True}}, 400, "echo"),
        ({"extra_body": {"guided_regex": "a", "guided_choice": ["b"]}}, 400, "guided_regex and guided_choice exclude"),
        ({"logit_bias": {"100000": 1}}, 400, "logit_bias names token 100000"),
        (
            {"extra_body": {"guided_grammar": "start: r0" + "".join(f"\nr{i}: r{i + 1}" for i in range(5000))}},
            400,
            "10000",
        ),
        ({"extra_body": {"best_of": 2}}, 400, "best_of: this parameter is not followed here"),
        ({"response_format": {"type": "json_schema"}}, 400, "response_format: json_schema is given with the type"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}}, 400, "json schema"),
        ({"extra_body": {"guided_regex": "(open"}}, 400, "the regex cannot be followed"),
        ({"messages": [{"role": "user", "content": "long " * 200}]}, 400, "the context of assistant holds 512"),
    ],
)
def test_what_cannot_be_is_refused_in_openais_shape(
    client: Any, wishes: dict[str, Any], status: int, named: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**{"model": "assistant", "messages": HELLO, "max_tokens": 4} | wishes)
    assert caught.value.status_code == status
    assert named in caught.value.body["message"]
    assert caught.value.body["type"] == "invalid_request_error"


def test_paths_that_are_not_there_and_broken_json_are_told_so(address: str) -> None:
    def post(path: str, data: bytes) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            address + path, data=data, headers={"Content-Type": "application/json"}, method="POST"
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30)
        return caught.value.code, json.loads(caught.value.read())

    assert post("/v1/nothing", b"{}")[0] == 404
    status, body = post("/v1/chat/completions", b"{broken")
    assert status == 400
    assert body["error"]["type"] == "invalid_request_error"


def test_health(address: str) -> None:
    with urllib.request.urlopen(f"{address}/health", timeout=30) as response:
        assert json.loads(response.read()) == {"status": "ok"}


def test_a_mistake_of_the_server_ends_one_request_and_not_the_server(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reading, "next_logits", lambda *arguments: 1 / 0)
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="assistant", messages=HELLO, max_tokens=30, seed=1)
    assert client.chat.completions.create(model="assistant", messages=HELLO, max_tokens=3).choices

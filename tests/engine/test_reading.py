"""Reading a prompt in chunks, or going on from what was read before, changes nothing but the time it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gptwright.engine import reading
from gptwright.engine.batch import Batch
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.prefix import PrefixCache
from gptwright.engine.reading import Reading, next_logits
from gptwright.engine.request import Completion, Request
from gptwright.model.cache import KVCache
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise


@pytest.fixture
def model() -> LanguageModel:
    config = ModelConfig(vocab_size=60, context=200, width=24, layers=2, heads=4, kv_heads=2, head_dim=8, hidden=40)
    model = LanguageModel(config).eval()
    initialise(model, seed=0)
    with torch.no_grad():
        model.lm_head.weight.mul_(5)
    return model


def prompt(length: int, seed: int) -> list[int]:
    return torch.randint(0, 60, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def finish(batch: Batch, model: LanguageModel, requests: list[Request]) -> list[Completion]:
    rows = [Engine(model, stop_ids=set()).row(request) for request in requests]
    batch.join(rows)
    while batch.busy:
        batch.step()
    return [row.completion for row in rows]


def same(found: list[Completion], expected: list[Completion]) -> None:
    assert [completion.ids for completion in found] == [completion.ids for completion in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


@pytest.mark.parametrize("chunk", [1, 7, 32, 100])
def test_prompts_read_in_chunks(model: LanguageModel, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    lengths = (5, 64, 65, 150, 1)
    requests = [Request(prompt(length, length), SamplingParams(20, seed=length)) for length in lengths]
    expected = Engine(model, stop_ids=set()).generate(requests)
    monkeypatch.setattr(reading, "CHUNK", chunk)
    same(finish(Batch(model, set()), model, requests), expected)


def test_rows_answer_while_a_long_prompt_is_read(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHUNK", 10)
    engine, batch = Engine(model, stop_ids=set()), Batch(model, set())
    short = engine.row(Request([1, 2], SamplingParams(30)))
    long = engine.row(Request(prompt(100, 0), SamplingParams(5, temperature=0)))
    batch.join([short])
    batch.step()
    batch.join([long])
    for _ in range(9):
        batch.step()
    assert (len(short.completion.ids), len(long.completion.ids)) == (10, 0)
    while batch.busy:
        batch.step()
    assert long.completion.ids == engine.generate([long.request])[0].ids


def test_a_chat_that_goes_on_reads_only_what_is_new(model: LanguageModel) -> None:
    prefixes = PrefixCache(10**8)
    batch, params = Batch(model, set(), prefixes=prefixes), SamplingParams(40, seed=1)
    (first,) = finish(batch, model, [Request(prompt(70, 3), params)])
    longer = [*prompt(70, 3), *first.ids, *prompt(20, 4)]
    row = Engine(model, stop_ids=set()).row(Request(longer, params))
    assert Reading(model, [row], prefixes).begin() == [96]  # of 70 + 39 tokens that were read, three whole blocks
    same(finish(batch, model, [row.request]), Engine(model, stop_ids=set()).generate([row.request]))


def test_prompts_that_come_together_read_their_common_beginning_once(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CHUNK", 50)
    batch, shared = Batch(model, set(), prefixes=PrefixCache(10**8)), prompt(64, 5)
    requests = [Request([*shared, *prompt(30, seed)], SamplingParams(3, seed=seed)) for seed in range(4)]
    same(finish(batch, model, requests), Engine(model, stop_ids=set()).generate(requests))
    assert (batch.prompt_tokens, batch.reused_tokens) == (4 * 94, 3 * 64)


def test_no_step_reads_more_than_a_chunk_and_short_prompts_pass_long_ones(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def watched(model: LanguageModel, decoder: Any, cache: KVCache, chunks: list[list[int]]) -> torch.Tensor:
        read.append(sum(map(len, chunks)))
        return next_logits(model, decoder, cache, chunks)

    monkeypatch.setattr(reading, "CHUNK", 20)
    monkeypatch.setattr(reading, "next_logits", watched)
    batch = Batch(model, set(), prefixes=PrefixCache(0))
    rows = [
        Engine(model, stop_ids=set()).row(Request(prompt(length, length), SamplingParams(150 - length)))
        for length in (100, 90, 9, 8, 7)
    ]
    batch.join(rows)
    for _ in range(5):
        batch.step()
    assert [bool(row.completion.ids) for row in rows] == [False, False, True, True, True]
    while batch.busy:
        batch.step()
    assert max(read) == 20
    assert 17 in read  # of the three short ones two go together: 9 + 8 tokens
    for row in rows:
        assert row.completion.ids == Engine(model, stop_ids=set()).generate([row.request])[0].ids


def test_texts_share_blocks_for_as_long_as_they_are_equal(model: LanguageModel) -> None:
    prefixes, shared = PrefixCache(10**8), prompt(64, 5)
    requests = [Request([*shared, *prompt(50, seed)], SamplingParams(1, seed=seed)) for seed in range(4)]
    finish(Batch(model, set(), prefixes=prefixes), model, requests)
    assert len(prefixes.blocks) == 2 + 4
    rows = [Engine(model, stop_ids=set()).row(request) for request in requests]
    assert Reading(model, rows, prefixes).begin() == [96] * 4
    other = Engine(model, stop_ids=set()).row(Request([*shared[:40], *prompt(80, 9)], SamplingParams(1)))
    assert Reading(model, [other], prefixes).begin() == [32]


def test_a_whole_prompt_that_is_known_still_has_its_last_token_read(model: LanguageModel) -> None:
    prefixes, request = PrefixCache(10**8), Request(prompt(64, 6), SamplingParams(5, seed=2))
    expected = finish(Batch(model, set(), prefixes=prefixes), model, [request])
    assert Reading(model, [Engine(model, stop_ids=set()).row(request)], prefixes).begin() == [32]
    same(finish(Batch(model, set(), prefixes=prefixes), model, [request]), expected)


def test_what_was_not_used_for_longest_is_forgotten_ends_first(model: LanguageModel) -> None:
    one_block = 2 * 2 * 2 * 32 * 8 * 4
    prefixes = PrefixCache(5 * one_block)
    for seed in (1, 2, 1, 3):
        finish(Batch(model, set(), prefixes=prefixes), model, [Request(prompt(96, seed), SamplingParams(1))])
    assert prefixes.bytes <= prefixes.max_bytes
    known = {seed: len(prefixes.find([*prompt(96, seed), 0])) for seed in (1, 2, 3)}
    assert known == {1: 2, 2: 0, 3: 3}

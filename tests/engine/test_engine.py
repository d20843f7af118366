"""Generation: equal to the obvious slow way, whatever shares the batch, and ended where it should be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from gptwright.engine import reading
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.reading import next_logits
from gptwright.engine.request import Request
from gptwright.errors import InputError
from gptwright.model.cache import BLOCK
from gptwright.model.transformer import LanguageModel, initialise

PROMPTS = [[3], [4, 9, 12, 30, 7, 7, 1], [8, 2], [20, 21, 22, 23, 24], [5, 5, 5], [36, 0, 36], [11, 6, 17, 29]]


def greedy(max_new_tokens: int) -> SamplingParams:
    return SamplingParams(max_new_tokens, temperature=0)


@torch.no_grad()
def naive_greedy(model: LanguageModel, prompt: list[int], count: int) -> list[int]:
    """No cache, no batch: the whole text through the model for every token."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def test_greedy_equals_recomputing_everything(model: LanguageModel) -> None:
    completions = Engine(model, stop_ids=set()).generate([Request(prompt, greedy(12)) for prompt in PROMPTS])
    assert [completion.ids for completion in completions] == [naive_greedy(model, prompt, 12) for prompt in PROMPTS]


def test_a_cache_that_grows_keeps_what_it_holds(model: LanguageModel) -> None:
    model = LanguageModel(replace(model.config, context=3 * BLOCK)).eval()
    initialise(model, seed=3)
    count = 2 * BLOCK
    completions = Engine(model, stop_ids=set()).generate([Request(prompt, greedy(count)) for prompt in PROMPTS[:3]])
    wanted = [naive_greedy(model, prompt, count) for prompt in PROMPTS[:3]]
    assert [completion.ids for completion in completions] == wanted
    assert len(set(wanted[0])) > 5


def test_equal_prompts_are_read_once(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[int]()
    monkeypatch.setattr(reading, "next_logits", lambda *given: read.append(len(given[-1])) or next_logits(*given))
    requests = [Request(PROMPTS[row], SamplingParams(4, seed=row)) for row in (0, 1, 0, 2, 1, 0)]
    together = Engine(model, stop_ids=set()).generate(requests)
    assert read == [3]
    alone = [Engine(model, stop_ids=set()).generate([request])[0] for request in requests]
    assert [each.ids for each in together] == [each.ids for each in alone]


@pytest.mark.parametrize("max_rows", [1, 3, 128])
def test_sampled_answers_do_not_depend_on_the_batch(model: LanguageModel, max_rows: int) -> None:
    """Rows differ in prompt length, limit, truncation and seed, and leave the batch at different times."""
    requests = [
        Request(prompt, SamplingParams(6 + 3 * i, temperature=0.8, top_k=i % 3 * 5, top_p=1 - i % 2 * 0.1, seed=i))
        for i, prompt in enumerate(PROMPTS)
    ]
    together = Engine(model, stop_ids={13, 14, 15}, max_rows=max_rows).generate(requests)
    for request, completion in zip(requests, together, strict=True):
        alone = Engine(model, stop_ids={13, 14, 15}).generate([request])[0]
        assert (completion.ids, completion.finish_reason) == (alone.ids, alone.finish_reason)
        assert completion.logprobs == pytest.approx(alone.logprobs, abs=1e-5)


def test_same_seed_same_answer_and_another_seed_another(model: LanguageModel) -> None:
    def answer(seed: int) -> list[int]:
        return Engine(model, stop_ids=set()).generate([Request([3, 4], SamplingParams(20, seed=seed))])[0].ids

    assert answer(7) == answer(7)
    assert answer(7) != answer(8)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_those_of_a_full_forward(model: LanguageModel, temperature: float) -> None:
    params = [SamplingParams(10, temperature=temperature, seed=i) for i in range(len(PROMPTS))]
    requests = [Request(prompt, each) for prompt, each in zip(PROMPTS, params, strict=True)]
    for request, completion in zip(requests, Engine(model, stop_ids={2}).generate(requests), strict=True):
        ids = torch.tensor([[*request.prompt_ids, *completion.ids]])
        with torch.no_grad():
            logp = (model(ids)[0, :-1] / temperature).log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        assert_close(torch.tensor(completion.logprobs), logp[len(request.prompt_ids) - 1 :], rtol=1e-4, atol=1e-5)


def test_first_tokens_are_drawn_as_often_as_the_model_says(model: LanguageModel) -> None:
    requests = [Request([4, 9], SamplingParams(1, seed=seed)) for seed in range(4000)]
    drawn = torch.tensor([completion.ids[0] for completion in Engine(model, stop_ids=set()).generate(requests)])
    with torch.no_grad():
        probabilities = model(torch.tensor([[4, 9]]))[0, -1].softmax(-1)
    often = probabilities * 4000 > 5
    expected, seen = probabilities[often] * 4000, torch.bincount(drawn, minlength=37)[often]
    chi_square = float(((seen - expected) ** 2 / expected).sum())
    assert int(often.sum()) > 5
    assert chi_square < int(often.sum()) + 4 * (2 * int(often.sum())) ** 0.5  # mean + 4 standard deviations


def test_a_stop_token_ends_the_answer_and_stays_in_it(model: LanguageModel) -> None:
    free = naive_greedy(model, PROMPTS[1], 12)
    assert len(set(free)) > 2
    for stop in set(free):
        answer = free[: free.index(stop) + 1]
        engine = Engine(model, stop_ids={stop})
        for limit in (12, len(answer)):  # on the very limit it is still a stop
            completion = engine.generate([Request(PROMPTS[1], greedy(limit))])[0]
            assert (completion.ids, completion.finish_reason) == (answer, "stop")


def test_the_limit_ends_the_answer_with_length(model: LanguageModel) -> None:
    completion = Engine(model, stop_ids=set()).generate([Request([3, 4], greedy(5))])[0]
    assert (len(completion.ids), len(completion.logprobs), completion.finish_reason) == (5, 5, "length")


def test_answers_stay_within_the_context(model: LanguageModel) -> None:
    requests = [Request([1] * size, greedy(80)) for size in (31, 20, 1)]
    completions = Engine(model, stop_ids=set()).generate(requests)
    assert [len(completion.ids) for completion in completions] == [1, 12, 31]
    assert {completion.finish_reason for completion in completions} == {"length"}


@pytest.mark.parametrize("size", [0, 32, 100])
def test_a_prompt_without_room_is_refused(model: LanguageModel, size: int) -> None:
    with pytest.raises(InputError, match=f"has {size} tokens: it must have between 1 and 31"):
        Engine(model, stop_ids=set()).generate([Request([1, 2]), Request([1] * size)])


def test_each_answer_is_counted_once_when_it_ends(model: LanguageModel) -> None:
    ended = list[None]()
    requests = [Request(prompt, SamplingParams(3 + i, seed=i)) for i, prompt in enumerate(PROMPTS)]
    Engine(model, stop_ids={2}, max_rows=4).generate(requests, on_end=lambda: ended.append(None))
    assert len(ended) == len(PROMPTS)


def test_generation_leaves_training_mode_as_it_was(model: LanguageModel) -> None:
    for training in (True, False):
        model.train(training)
        Engine(model, stop_ids=set()).generate([Request([1], greedy(1))])
        assert model.training is training


def test_a_policy_in_training_is_sampled_as_it_is_now(model: LanguageModel) -> None:
    engine = Engine(model, stop_ids=set())
    before = engine.generate([Request([3, 4], greedy(8))])[0].ids
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(model.model.embed_tokens.weight.flip(0))
    assert engine.generate([Request([3, 4], greedy(8))])[0].ids == naive_greedy(model, [3, 4], 8) != before


def test_no_request_gives_no_completion(model: LanguageModel) -> None:
    assert Engine(model, stop_ids=set()).generate([]) == []

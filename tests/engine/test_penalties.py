"""Penalties and biases: by hand, against transformers, and never another row's."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.penalties import adjust_logits
from gptwright.engine.request import Request
from gptwright.errors import InputError
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.tokenizer.tokenizer import Tokenizer

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.0, 3.0]])


def adjusted(params: SamplingParams, prompt: list[int], answer: list[int]) -> list[float]:
    found: list[float] = adjust_logits(LOGITS, [params], [prompt], [answer])[0].tolist()
    return found


def test_by_hand() -> None:
    # The answer has token 0 twice and token 2 once; the prompt has token 1.
    assert adjusted(SamplingParams(presence_penalty=0.5), [1], [0, 2, 0]) == [1.5, -1.0, 0.0, 0.0, 3.0]
    assert adjusted(SamplingParams(frequency_penalty=0.25), [1], [0, 2, 0]) == [1.5, -1.0, 0.25, 0.0, 3.0]
    assert adjusted(SamplingParams(repetition_penalty=2.0), [1], [0, 2, 0]) == [1.0, -2.0, 0.25, 0.0, 3.0]
    assert adjusted(SamplingParams(logit_bias={4: -100.0, 3: 1.5}), [1], []) == [2.0, -1.0, 0.5, 1.5, -97.0]
    assert adjusted(SamplingParams(presence_penalty=1.0), [0, 1, 2], []) == LOGITS[0].tolist()


def test_repetition_penalty_equals_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    said = [0, 2, 2, 1]
    theirs = transformers.RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([said]), LOGITS.clone())[0]
    assert_close(torch.tensor(adjusted(SamplingParams(repetition_penalty=1.7), said[:2], said[2:])), theirs)


def test_rows_without_a_wish_and_the_input_stay_as_they_are() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    plain, wish = SamplingParams(), SamplingParams(logit_bias={1: 9.0})
    assert adjust_logits(logits, [plain] * 3, [[1]] * 3, [[2]] * 3) is logits
    changed = adjust_logits(logits, [plain, wish, plain], [[1]] * 3, [[2]] * 3)
    assert torch.equal(logits, before)
    assert torch.equal(changed[[0, 2]], before[[0, 2]])


def test_a_bias_makes_or_forbids_a_token(model: LanguageModel) -> None:
    engine = Engine(model, stop_ids=set())

    def answer(**wishes: Any) -> list[int]:
        return engine.generate([Request([3, 4], SamplingParams(12, seed=1, **wishes))])[0].ids

    free = answer()
    assert answer(logit_bias={7: 1000.0}) == [7] * 12
    assert not set(answer(logit_bias=dict.fromkeys(set(free), -1000.0))) & set(free)


def test_a_frequency_penalty_spreads_what_is_said(model: LanguageModel) -> None:
    engine, greedy = Engine(model, stop_ids=set()), {"temperature": 0.0}
    free = engine.generate([Request([3], SamplingParams(24, **greedy))])[0].ids
    spread = engine.generate([Request([3], SamplingParams(24, **greedy, frequency_penalty=100.0))])[0].ids
    assert len(set(free)) < 24 == len(set(spread))


def test_top_logprobs_are_the_likeliest_and_agree_with_the_drawn(model: LanguageModel) -> None:
    params = SamplingParams(8, seed=5, top_logprobs=4)
    completion, plain = Engine(model, stop_ids=set()).generate(
        [Request([3, 4], params), Request([3, 4], SamplingParams(8, seed=5))]
    )
    assert completion.ids == plain.ids
    assert plain.top_logprobs == []
    for token, logprob, top in zip(completion.ids, completion.logprobs, completion.top_logprobs, strict=True):
        assert len(top) == 4
        assert list(top.values()) == sorted(top.values(), reverse=True)
        assert token not in top or top[token] == pytest.approx(logprob)
        assert logprob <= max(top.values()) + 1e-6
    with torch.no_grad():
        logp = model(torch.tensor([[3, 4]]))[0, -1].log_softmax(-1)
    assert_close(torch.tensor(list(completion.top_logprobs[0].values())), logp.topk(4).values, rtol=1e-4, atol=1e-5)


def test_a_stop_string_ends_the_answer_across_token_borders(model: LanguageModel, tokenizer: Tokenizer) -> None:
    """Biases let the model say 'a' and 'b' alone, a byte at a time."""
    model = LanguageModel(replace(model.config, vocab_size=tokenizer.vocab_size)).eval()
    initialise(model, seed=0)
    a, b = tokenizer.encode("a")[0], tokenizer.encode("b")[0]
    engine = Engine(model, stop_ids=set(), tokenizer=tokenizer)
    wishes = {a: 1000.0, b: 1000.0}
    params = SamplingParams(20, seed=2, logit_bias=wishes, stop=("ba", "bb"))
    completion = engine.generate([Request([5, 6], params)])[0]
    text = tokenizer.decode(completion.ids)
    assert completion.finish_reason == "stop"
    assert set(text) <= {"a", "b"}
    assert text.endswith(("ba", "bb"))
    assert not any(string in text[:-1] for string in ("ba", "bb"))


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"logit_bias": {37: 1.0}}, "logit_bias names token 37: this model's are 0 to 36"),
        ({"top_logprobs": 38}, "top_logprobs is 38: this model has 37 tokens"),
        ({"stop": ("x",)}, "stop strings and grammars need an engine with a tokenizer"),
    ],
)
def test_what_a_model_cannot_follow_is_refused(model: LanguageModel, wishes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Engine(model, stop_ids=set()).generate([Request([3], SamplingParams(4, **wishes))])


@pytest.mark.parametrize(
    "wishes",
    [
        {"min_p": 1.5},
        {"min_p": -0.1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": math.inf},
        {"presence_penalty": math.nan},
        {"frequency_penalty": -math.inf},
        {"top_logprobs": -1},
        {"stop": ("",)},
    ],
)
def test_impossible_values_are_refused(wishes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wishes))} is .*: it must be"):
        SamplingParams(**wishes)

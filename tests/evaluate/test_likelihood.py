"""What a model's probabilities say: entropy and KL against numbers known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from gptwright.errors import InputError
from gptwright.evaluate.likelihood import answer_statistics
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise

VOCABULARY = 19
EXCHANGES: list[tuple[Sequence[int], Sequence[int]]] = [([1, 2, 3], [4, 5]), ([6], [7, 8, 9, 10]), ([11, 12], [13])]


def tiny_model(seed: int | None) -> LanguageModel:
    """Random weights; without a seed, a model that finds every token as likely."""
    config = ModelConfig(
        vocab_size=VOCABULARY, context=8, width=32, layers=2, heads=2, kv_heads=1, head_dim=16, hidden=48
    )
    model = LanguageModel(config)
    initialise(model, seed or 0)
    with torch.no_grad():  # far from uniform, or else nothing
        model.lm_head.weight.mul_(0 if seed is None else 20)
    return model


def test_entropy_of_a_uniform_model_is_the_log_of_its_vocabulary() -> None:
    model = tiny_model(None)
    assert answer_statistics(model, model, EXCHANGES).entropy == pytest.approx(math.log(VOCABULARY), rel=1e-6)


def test_kl_of_a_model_to_itself_is_0() -> None:
    model = tiny_model(1)
    statistics = answer_statistics(model, model, EXCHANGES)
    assert (statistics.k1.value, statistics.k3.value, statistics.k1.n) == (0.0, 0.0, 3)


def test_statistics_are_those_of_each_token_by_itself() -> None:
    model, reference = tiny_model(1), tiny_model(2)
    entropies, k1_sums, k3_sums = [], [], []
    with torch.no_grad():
        for prompt, response in EXCHANGES:
            ids, log_ratios = list(prompt), []
            for token in response:
                logp = model(torch.tensor([ids]))[0, -1].double().log_softmax(dim=0)
                other = reference(torch.tensor([ids]))[0, -1].double().log_softmax(dim=0)
                entropies.append(-float((logp.exp() * logp).sum()))
                log_ratios.append(float(other[token] - logp[token]))
                ids.append(token)
            k1_sums.append(-sum(log_ratios))
            k3_sums.append(sum(math.exp(ratio) - 1 - ratio for ratio in log_ratios))
    found = answer_statistics(model, reference, EXCHANGES)
    assert found.entropy == pytest.approx(sum(entropies) / 7, rel=1e-5)
    assert found.k1.value == pytest.approx(sum(k1_sums) / 3, abs=1e-5)
    assert found.k3.value == pytest.approx(sum(k3_sums) / 3, rel=1e-5)


def test_no_answers_are_refused() -> None:
    model = tiny_model(None)
    with pytest.raises(InputError, match="no answers"):
        answer_statistics(model, model, [])

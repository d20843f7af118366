"""Operation counts against published and hand-worked ones."""

import pytest

from gptwright.errors import InputError
from gptwright.evaluate.compute import forward_flops, shares, training_flops


def test_training_flops_by_hand():
    # Per token 6 * 100 + 6 * 2 * 8 * 16 = 2136.
    assert training_flops(parameters=100, layers=2, width=8, context=16, tokens=10) == 21_360


def test_gpt3_costs_what_its_paper_says():
    # Brown et al. 2020, table D.1: 3.14e23, without attention; attention adds about 3%.
    shape = {"parameters": 174_600_000_000, "layers": 96, "width": 12288, "context": 2048}
    flops = training_flops(**shape, tokens=300_000_000_000)
    assert 3.14e23 < flops < 3.14e23 * 1.04


def test_attention_equals_a_count_over_the_causal_triangle():
    # Token t meets t positions, twice (scores, mixing), d multiply-adds each: 2 * 2 * d * sum(t), forward.
    context, width, layers = 64, 8, 3
    counted = layers * sum(4 * width * position for position in range(1, context + 1))
    flops = forward_flops(parameters=0, layers=layers, width=width, context=context, tokens=context)
    assert flops == pytest.approx(counted, rel=1 / context)


def test_shares_sum_to_one():
    assert shares({"pretrain": 97.0, "sft": 2.0, "ppo": 1.0}) == {"pretrain": 0.97, "sft": 0.02, "ppo": 0.01}


def test_shares_of_nothing_are_refused():
    with pytest.raises(InputError, match="above zero"):
        shares({"pretrain": 0.0})

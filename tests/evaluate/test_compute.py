"""Shares of compute."""

import pytest

from gptwright.errors import InputError
from gptwright.evaluate.compute import shares


def test_shares_sum_to_one():
    assert shares({"pretrain": 97.0, "sft": 2.0, "ppo": 1.0}) == {"pretrain": 0.97, "sft": 0.02, "ppo": 0.01}


def test_shares_of_nothing_are_refused():
    with pytest.raises(InputError, match="above zero"):
        shares({"pretrain": 0.0})

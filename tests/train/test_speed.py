"""Tokens per second and MFU by hand; the measured limit is a rate."""

from __future__ import annotations

import pytest

from gptwright.train.fast_path import FastPath
from gptwright.train.speed import Speed, matmul_limit


def test_the_median_step_counts() -> None:
    speed = Speed(tokens_per_step=1000, flops_per_token=6e6, limit=1e11)
    assert str(speed) == ""
    for seconds in (60.0, 0.5, 0.5, 0.1):  # the first one compiles
        speed.see(seconds)
    assert speed.figures() == pytest.approx({"tokens_per_second": 2000, "mfu": 0.12})
    assert str(speed) == "2,000 tokens/s, 12% MFU"


def test_the_limit_is_between_a_megaflop_and_an_exaflop() -> None:
    assert 1e6 < matmul_limit(FastPath("cpu", "float32")) < 1e18

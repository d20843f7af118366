"""Drawing the next token: the uniform numbers, the distribution they are laid over, and its truncation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from gptwright.engine.params import SamplingParams
from gptwright.engine.sampling import distribution, draw, uniforms

PROBABILITIES = [0.1, 0.4, 0.2, 0.3]
LOGITS = torch.tensor(PROBABILITIES).log()
MASK_64 = (1 << 64) - 1


def sample(
    logits: torch.Tensor, params: list[SamplingParams], positions: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids, and their log-probabilities under what they were drawn from."""
    logp = distribution(logits, params)
    ids = draw(logp, params, positions)
    return ids, logp.gather(1, ids[:, None])[:, 0]


def drawn(params: list[SamplingParams], positions: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    positions = np.zeros(len(params), dtype=np.int64) if positions is None else positions
    return sample(LOGITS.expand(len(params), -1), params, positions)


def slow_splitmix(x: int) -> int:
    """The reference C code of Vigna's splitmix64, with Python's whole numbers."""
    z = (x + 0x9E3779B97F4A7C15) & MASK_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK_64
    return z ^ (z >> 31)


def distance_from_uniform(numbers: np.ndarray) -> float:
    """The Kolmogorov-Smirnov statistic, scaled: above 1.63 in 1 of 100 samples of truly uniform numbers."""
    ordered, count = np.sort(numbers), len(numbers)
    steps = np.arange(count + 1) / count
    return max(float((ordered - steps[:-1]).max()), float((steps[1:] - ordered).max())) * math.sqrt(count)


@pytest.mark.parametrize(("seed", "position"), [(0, 0), (0, 1), (1, 0), (123456789, 79), (2**63 - 1, 4096), (-1, 3)])
def test_uniforms_equal_a_slow_splitmix64(seed: int, position: int) -> None:
    assert slow_splitmix(0) == 0xE220A8397B1DCDAF  # the generator's published first number
    expected = slow_splitmix((slow_splitmix(seed & MASK_64) + position * 0x9E3779B97F4A7C15) & MASK_64)
    assert uniforms(np.array([seed]), np.array([position]))[0] == (expected >> 11) / 2**53


def test_uniforms_are_uniform_over_seeds_over_positions_and_over_both() -> None:
    count = np.arange(20_000)
    for seeds, positions in ((count, 0 * count), (0 * count, count), (count // 100, count % 100)):
        numbers = uniforms(seeds, positions)
        assert numbers.min() >= 0
        assert numbers.max() < 1
        assert distance_from_uniform(numbers) < 1.63


def test_neighbouring_seeds_and_positions_are_not_correlated() -> None:
    count = np.arange(20_000)
    here = uniforms(count, 0 * count)
    for other in (uniforms(count + 1, 0 * count), uniforms(count, 0 * count + 1)):
        assert abs(np.corrcoef(here, other)[0, 1]) < 3 / math.sqrt(len(count))


def test_uniform_number_depends_on_its_own_seed_and_position_alone() -> None:
    seeds, positions = np.array([5, 8, 5]), np.array([2, 0, 3])
    together = uniforms(seeds, positions)
    assert together.tolist() == [uniforms(seeds[i : i + 1], positions[i : i + 1])[0] for i in range(3)]
    assert len(set(together)) == 3


@pytest.mark.parametrize("over", ["seeds", "positions"])
def test_frequencies_match_the_probabilities(over: str) -> None:
    count = 20_000
    params = [SamplingParams(seed=i if over == "seeds" else 3) for i in range(count)]
    ids, _ = drawn(params, np.zeros(count, dtype=np.int64) if over == "seeds" else np.arange(count))
    expected = count * np.array(PROBABILITIES)
    chi_square = float((((np.bincount(ids.numpy(), minlength=4) - expected) ** 2) / expected).sum())
    assert chi_square < 16.27  # 3 degrees of freedom: exceeded by chance once in 1000


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        (SamplingParams(top_k=1), {1: 1.0}),
        (SamplingParams(top_k=2), {1: 4 / 7, 3: 3 / 7}),
        (SamplingParams(top_p=0.35), {1: 1.0}),
        (SamplingParams(top_p=0.6), {1: 4 / 7, 3: 3 / 7}),
        (SamplingParams(top_p=0.75), {1: 4 / 9, 3: 3 / 9, 2: 2 / 9}),
        (SamplingParams(top_k=2, top_p=0.35), {1: 1.0}),
        (SamplingParams(temperature=0.5), {0: 1 / 30, 1: 16 / 30, 2: 4 / 30, 3: 9 / 30}),
        (SamplingParams(temperature=0.5, top_k=2), {1: 16 / 25, 3: 9 / 25}),
        (SamplingParams(min_p=0.6), {1: 4 / 7, 3: 3 / 7}),
        (SamplingParams(min_p=1.0), {1: 1.0}),
        (SamplingParams(min_p=0.3), {1: 4 / 9, 3: 3 / 9, 2: 2 / 9}),
        (SamplingParams(min_p=0.3, top_k=2), {1: 4 / 7, 3: 3 / 7}),
    ],
)
def test_truncation_by_hand(params: SamplingParams, kept: dict[int, float]) -> None:
    """Only the kept tokens are drawn, and each reports its renormalised probability."""
    ids, logprobs = drawn([params] * 500, np.arange(500))
    seen = dict(zip(ids.tolist(), logprobs.exp().tolist(), strict=True))
    assert seen == pytest.approx(kept)


def test_top_k_keeps_the_first_of_equal_tokens() -> None:
    ids, _ = sample(torch.zeros(200, 5), [SamplingParams(top_k=2)] * 200, np.arange(200))
    assert set(ids.tolist()) == {0, 1}


def test_temperature_0_takes_the_likeliest_token_and_reports_its_probability_at_1() -> None:
    ids, logprobs = drawn([SamplingParams(temperature=0, seed=seed) for seed in range(50)])
    assert set(ids.tolist()) == {1}
    assert_close(logprobs, torch.full((50,), math.log(0.4)))


def test_the_smallest_temperature_takes_the_likeliest_token() -> None:
    ids, logprobs = drawn([SamplingParams(temperature=1e-40, seed=seed) for seed in range(50)])
    assert set(ids.tolist()) == {1}
    assert_close(logprobs, torch.zeros(50))


def test_a_row_is_the_same_whoever_shares_its_batch() -> None:
    """The tail of 5000 tokens is where float32 sums reach 1 early; a neighbour's top_p must not cut it off."""
    logits = 4 * torch.randn(1, 5000, generator=torch.Generator().manual_seed(0))
    for seed in range(100):
        plain = SamplingParams(seed=seed)
        alone = sample(logits, [plain], np.array([0]))
        shared = sample(logits.expand(2, -1), [plain, SamplingParams(top_p=0.5, top_k=9)], np.array([0, 0]))
        assert alone[0][0] == shared[0][0]
        assert alone[1][0] == shared[1][0]


def test_impossible_tokens_are_never_drawn() -> None:
    logits = torch.tensor([float("-inf"), 0.0, float("-inf"), 0.0, float("-inf")])
    ids, _ = sample(logits.expand(500, -1), [SamplingParams(seed=i) for i in range(500)], np.zeros(500))
    assert set(ids.tolist()) == {1, 3}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_k": 2**40}, "top_k is 1099511627776"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
    ],
)
def test_impossible_settings_are_named(values: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SamplingParams(**values)

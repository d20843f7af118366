"""What the benchmarks of practice work out from what they measure, and how their tables tell it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from gptwright.evaluate.preference import pair_accuracy
from gptwright.records import Comparison, Message, Prompt
from gptwright.tokenizer.bpe import train_characters

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def judged(asked: str, ranks: tuple[int, ...], *answers: str) -> Comparison:
    return Comparison(Prompt(asked, (Message("user", asked),)), answers or tuple("abc"[: len(ranks)]), ranks)


def test_two_accuracies_subtract_to_their_difference(benchmark: Callable[[str], ModuleType]) -> None:
    """Prompts with one and with three pairs: a mean over comparisons would weigh them alike."""
    compared = [judged("x", (0, 1, 2)), judged("y", (0, 1)), judged("y", (1, 0))]
    first, other = [[3.0, 2.0, 1.0], [1.0, 0.0], [1.0, 0.0]], [[1.0, 2.0, 3.0], [1.0, 0.0], [0.0, 0.0]]
    told = benchmark("preferences").difference(compared, first, other)
    assert told.value == pair_accuracy(compared, first).value - pair_accuracy(compared, other).value == 0.5
    assert told.n == 5
    # Of two prompts a resample has x twice, y twice, or both: 3 of 3, -0.5 of 2, 2.5 of 5.
    assert (told.low, told.high) == (-0.25, 1.0)


def test_both_are_given_what_can_be_read_whole_and_has_a_better_answer(
    benchmark: Callable[[str], ModuleType],
) -> None:
    preferences, tokenizer = benchmark("preferences"), train_characters(["abc"])
    fits, tie, long = judged("a", (0, 1)), judged("b", (0, 0)), judged("c", (0, 1), "a", "b" * 40)
    assert preferences.seen([fits, tie, long, fits], tokenizer, context=32) == [fits, fits]
    assert preferences.prompts_of([fits, tie, fits]) == 2


def test_the_reward_is_no_part_of_the_rollout_that_asks_for_it(benchmark: Callable[[str], ModuleType]) -> None:
    parts = benchmark("practice_speed").parts_of(10.0, sampled=4.0, reward=1.5, read=2.0, update=2.5)
    assert parts == {"rollout": 2.5, "scoring": 3.5, "update": 2.5, "rest": 1.5, "total": 10.0}


def test_gold_stands_over_the_kl_of_the_policy_that_it_was_measured_on(
    benchmark: Callable[[str], ModuleType],
) -> None:
    rows = [{"step": step, "reward/score": 2.0, "kl/reference": float((step - 1) ** 2)} for step in (1, 2, 3)]
    rows += [{"step": step, "gold_score": 0.5 + step} for step in (0, 2, 3)]
    module = benchmark("overoptimisation")
    points = module.curve(rows)
    assert module.over_kl(points, "reward") == ([0.0, 1.0, 2.0], [2.0, 2.0, 2.0])
    assert module.over_kl(points, "gold") == ([0.0, 2.0], [0.5, 2.5])


def test_table_of_speeds_says_which_clocks_were_earlier_ones(benchmark: Callable[[str], ModuleType]) -> None:
    def told(**more: float) -> list[str]:
        row = {"samples_per_second": 80, "total": 1.5, "rollout": 0.5, "scoring": 0.6, "update": 0.4, **more}
        figures = {"programs": {"grpo": row | {"plain_sampling": 0.45}}, "times_trl": {"grpo": 3.7}}
        lines: list[str] = benchmark("practice_tables").practice_speed(figures)
        assert "| grpo | 80 | 1.50 | 0.50 | 0.60 | 0.40 | 0.45 |" in lines
        return lines

    assert any("earlier way" in line for line in told())
    assert not any("earlier way" in line for line in told(rest=0.01))


@pytest.mark.parametrize(("n", "earlier"), [(779, False), (744, True)])
def test_table_of_preferences_says_which_counts_were_earlier_ones(
    benchmark: Callable[[str], ModuleType], n: int, earlier: bool
) -> None:
    accuracy = {"value": 0.55, "low": 0.5, "high": 0.6, "n": 779}
    figures = dict.fromkeys(("reward_model", "bag_of_words", "longer_wins"), accuracy)
    figures["difference"] = {"value": 0.0, "low": -0.04, "high": 0.04, "n": n}
    lines = benchmark("practice_tables").preferences(
        {**figures, "training_prompts": 3570, "held_out_prompts": 744, "minutes": 18.0}
    )
    assert any("Counted in an earlier way" in line for line in lines) == earlier


def test_best_of_n_has_its_bound_on_the_kl_and_the_bits_of_what_it_chooses_from(
    benchmark: Callable[[str], ModuleType],
) -> None:
    tables = benchmark("practice_tables")
    assert tables.most_kl(1) == 0.0
    assert tables.most_kl(16) == pytest.approx(1.8351, abs=1e-4)

    def figure(value: float, half: float) -> dict[str, float]:
        return {"value": value, "low": value - half, "high": value + half, "n": 1500}

    runs = [
        {
            "SFT": {"greedy": {"win_rate": figure(0.5, 0)}, "kl": figure(0, 0), "bits_per_byte": bits},
            "best of 16": {"sampled": {"win_rate": figure(0.75, 0.015)}},
            "PPO": {"sampled": {"win_rate": figure(0.6, 0.025)}, "kl": figure(0.7, 0.1), "bits_per_byte": 0.4},
        }
        for bits in (0.3, 0.32)
    ]
    lines = tables.practice({"runs": runs})
    assert "| best of 16 |  | 75.0% (75.0% to 75.0%) | at most 1.84 |  | 0.3100 (0.3000 to 0.3200) |  |" in lines
    assert any("2.0 points of a win rate, 0.10 nats of a KL" in line for line in lines)

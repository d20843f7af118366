"""Numbers as the page writes them."""

import pytest

from gptwright.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [(950, "950"), (4096, "4,096"), (20_480, "20.5k"), (1.6e6, "1.6M"), (2.1e10, "21.0B"), (None, "-")],
)
def test_counts(value, text):
    assert wording.count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.26, "4.3 s"), (48.4, "48 s"), (59.7, "1 min 0 s"), (192, "3 min 12 s"), (3840, "1 h 4 min")],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0.6243, "62.4%"), (0.0, "0.0%"), (0.0001, "<0.1%"), (1.0, "100.0%")])
def test_percentages(value, text):
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("base_few_shot", "Base, few-shot"),
        ("open_qa", "Open QA"),
        ("rewrite", "Rewrite"),
        ("ppo_2", "PPO, round 2"),
        ("new_kind", "New kind"),
    ],
)
def test_names(name, text):
    assert wording.spoken(name) == text


def test_scientific_notation_has_no_leading_zero():
    assert wording.scientific(3.14159e8) == "3.14e8"

"""The figures in README.md are those of benchmarks/results/, and the writer of its tables writes what it is given."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
MACHINE = {"cpu": "Example CPU", "cores": 2, "memory_gib": 8.0, "python": "3.12.1", "torch": "2.13.0"}
SOURCE = {"command": "python example.py", "commit": "0123456789abcdef", "date": "2026-11-20", "machine": MACHINE}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("table")


def test_measured_section_is_what_the_results_give(table: ModuleType) -> None:
    results = table.read_results()
    if not results:
        pytest.skip("benchmarks/results/ is empty: run benchmarks/run.py")
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == table.with_measured(page, results), "run: .venv/bin/python benchmarks/table.py"


def test_the_quickstart_that_was_measured_is_the_one_that_is_here(table: ModuleType) -> None:
    commit, recipe = table.read_results()["quickstart"]["commit"], "gptwright/recipes/quickstart.yaml"
    told = subprocess.run(["git", "show", f"{commit}:{recipe}"], cwd=ROOT, capture_output=True, check=False)
    if told.returncode:
        pytest.skip(f"commit {commit} is not to be had here: this is no clone, or one without its history")
    measured, here = yaml.safe_load(told.stdout), yaml.safe_load((ROOT / recipe).read_text(encoding="utf-8"))
    assert measured == here, "the figures are of another recipe: python benchmarks/quickstart.py, table.py"


def test_only_the_text_between_the_markers_changes(table: ModuleType) -> None:
    figures = {"eager": {"kills": [{"stage": "sft", "killed": True}], "identical": True}}
    page = f"before\n{table.BEGIN}old\n{table.END}after\n"
    written = table.with_measured(page, {"kill_resume": {**SOURCE, "figures": figures}})
    assert written.startswith("before\n") and written.endswith("after\n")
    assert "old" not in written
    assert "| eager | 1 | `sft` | the same bytes as unbroken |" in written
    assert "2026-11-20, commit 0123456, on 2 cores of Example CPU" in written


def test_page_without_markers_is_refused(table: ModuleType) -> None:
    with pytest.raises(ValueError, match="no <!-- measured:start -->"):
        table.with_measured("no markers here\n", {})


def test_corpus_section_has_speeds_memory_and_the_vocabulary(table: ModuleType) -> None:
    speeds = {
        kind: {"megabytes_per_cpu_second": {"tokenize": speed}} for kind, speed in (("paragraphs", 9), ("books", 15.25))
    }
    peaks = {f"x{times}": {"megabytes": 100.0 * times, "peak_megabytes": 400 + times} for times in (1, 10)}
    vocabulary = {"vocabulary": 32768, "bytes": 30_000_000, "cpu_seconds": 2.44}
    figures = {"speed": speeds, "memory": peaks, "vocabulary": vocabulary}
    lines = table.corpus({**SOURCE, "figures": figures}).splitlines()
    assert "| tokenize | 9.0 | 15.2 |" in lines
    assert "A vocabulary of 32,768 from 30 MB of text: 2.4 s on one core." in lines
    assert "A corpus of 1,000 MB: 410 MB of memory at most." in lines


def test_quickstart_rows_have_median_range_and_interval(table: ModuleType) -> None:
    def run(minutes: float, accuracy: float) -> dict[str, object]:
        figure = {"value": accuracy, "low": accuracy - 0.03, "high": accuracy + 0.03, "n": 1000}
        epoch = {"epoch": 5, "validation_loss": 0.31, "gold_score": accuracy - 0.1, "accuracy": accuracy - 0.2}
        return {"minutes": minutes, "accuracy": {"sft": figure}, "sft_epochs": [epoch]}

    figures = {"median": run(12.0, 0.7), "runs": [run(12.0, 0.7), run(11.0, 0.75), run(14.0, 0.65)]}
    lines = table.quickstart({**SOURCE, "figures": figures}).splitlines()
    assert "| Minutes from nothing to the report | 12.0 | 11.0 to 14.0 |  |" in lines
    assert "| Accuracy: after SFT | 70.0% | 65.0% to 75.0% | 67.0% to 73.0% |" in lines
    assert not [line for line in lines if "PPO" in line]
    assert "| 5 | 0.310 | 0.600 | 50.0% |" in lines


def test_equal_time_and_memory_sections(table: ModuleType) -> None:
    ends = {"gptwright": {"loss": 1.5, "tokens": 2_000_000}, "transformers": {"loss": 1.75, "tokens": 500_000}}
    lines = table.equal_time({**SOURCE, "figures": {"plays": {"3": ends}}}).splitlines()
    assert "| plays | 3 | 1.500 (2.00M) | 1.750 (0.50M) |" in lines
    cases = [{"return": {"ratio": a}, "keep": {"ratio": b}} for a, b in ((0.95, 0.5), (1.08, 0.75))]
    told = table.memory({**SOURCE, "figures": {"cases": cases}})
    assert "2 configurations" in told and "0.95 to 1.08" in told and "0.50 to 0.75" in told
    assert "0.95 to 1.08" in table.memory({**SOURCE, "figures": {"cases": cases}})

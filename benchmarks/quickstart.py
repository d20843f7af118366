"""The quickstart recipe from nothing to a report, once per seed: minutes, memory, and what every stage gained.

    python benchmarks/quickstart.py [--seeds 3] [--variants 3] [--keep DIR]

Each seed is a fresh run through the real command, with another world too (`seed` and `data.world_seed`). After all
timed runs, the same command with `evaluate.without_mix=true` adds to the first --variants of them what the pretraining
mix saves. With --keep, what is finished there is not done again.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

import command
from record import write_result

VARIANT = "with_ppo_without_mix"
WIN_RATES = ("sft over base", "sft over base_few_shot", "ppo over sft", "ppo over ppo_without_mix")


def run_seed(seed: int, folder: Path) -> dict[str, Any]:
    """One run and its figures; a finished one is read from `folder`."""
    stored = folder.with_suffix(".json")
    if stored.is_file():
        return dict(json.loads(stored.read_text(encoding="utf-8")))
    finished = command.run(arguments_of(seed, folder), folder.with_suffix(".log"))
    figures = {
        "seed": seed,
        "minutes": finished.seconds / 60,
        "stolen": finished.stolen,
        "peak_gb": finished.peak_bytes / 1e9,
        "seconds": seconds_of_stages(finished.messages),
        "fast_path": fast_path_of(folder),
        "sft_epochs": validations(folder / "sft"),
        **quality(read_json(folder / "evaluation.json")),
    }
    stored.write_text(json.dumps(figures), encoding="utf-8")
    return figures


def arguments_of(seed: int, folder: Path) -> list[str]:
    """The command of one seed's run."""
    return ["run", "quickstart", "-o", f"seed={seed}", "-o", f"data.world_seed={seed}", "--dir", str(folder)]


def add_variant(figures: dict[str, Any], folder: Path) -> None:
    """Train PPO without the pretraining mix too, and add what that gives."""
    if VARIANT in figures:
        return
    arguments = [*arguments_of(figures["seed"], folder), "-o", "evaluate.without_mix=true"]
    command.run(arguments, folder.with_suffix(".log"))
    figures[VARIANT] = quality(read_json(folder / "evaluation.json"))
    folder.with_suffix(".json").write_text(json.dumps(figures), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def seconds_of_stages(messages: str) -> dict[str, int]:
    """'sft          done in 1:05' -> {'sft': 65}, as the program says it, in whole seconds; the run's own line last."""
    found = {}
    for name, clock in re.findall(r"^(\w+) +done in ([\d:]+)$", messages, flags=re.MULTILINE):
        seconds = 0
        for part in clock.split(":"):
            seconds = 60 * seconds + int(part)
        found[name] = seconds
    return found


def fast_path_of(folder: Path) -> dict[str, Any]:
    """The way of computing that the run measured and chose."""
    path = read_json(folder / "fast_path.json")
    return {key: path[key] for key in ("precision", "compiled", "tokens_per_second")}


def validations(stage: Path) -> list[dict[str, float]]:
    """The rows of a stage's log that measured something held out."""
    rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if "validation_loss" in row]


def quality(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What evaluation.json says of the models, without the breakdown by use case."""
    reward = evaluation["reward_model"]
    return {
        **scores(evaluation),
        "sampled": scores(evaluation["sampled"]),
        "reward_model": {name: reward[name] for name in ("accuracy", "ceiling", "agreement")},
        "kl": evaluation["kl"],
        "entropy": evaluation["entropy"],
        "bits_per_byte": evaluation["bits_per_byte"],
        "base_behaviour": evaluation["base_behaviour"],
    }


def scores(found: dict[str, Any]) -> dict[str, Any]:
    """Accuracy and gold score over all use cases, held-out facts, win rates."""
    win_rates = {f"{row['a']} over {row['b']}": interval(row) for row in found["win_rates"]}
    return {
        "accuracy": {name: by_case["all"] for name, by_case in found["accuracy"].items()},
        "gold": {name: by_case["all"] for name, by_case in found["gold"].items()},
        "held_out_facts": found["held_out_facts"],
        "held_out_phrasings": found["held_out_phrasings"],
        "win_rate": {name: win_rates[name] for name in WIN_RATES if name in win_rates},
    }


def interval(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("value", "low", "high", "n")}


def median_of(values: list[Any]) -> Any:
    """The median of equally shaped figures, number by number; what is no number must be the same in all, or is left
    out as None.
    """
    first = values[0]
    if isinstance(first, dict):
        return {key: median_of([value[key] for value in values]) for key in first if all(key in v for v in values)}
    if isinstance(first, list):
        return [median_of(list(rows)) for rows in zip(*values, strict=True)]
    if isinstance(first, int | float) and not isinstance(first, bool):
        return statistics.median(values)
    return first if all(value == first for value in values) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", type=int, default=3, help="runs that also train PPO without the pretraining mix")
    parser.add_argument("--keep", type=Path, help="keep the runs here, and read those that are finished")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = (options.keep or Path(temporary)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        runs = [run_seed(seed, place / f"seed-{seed}") for seed in range(options.seeds)]
        for run in runs[: options.variants]:
            add_variant(run, place / f"seed-{run['seed']}")
    median = median_of([{**run, "seed": None} for run in runs])
    variants = [run[VARIANT] for run in runs if VARIANT in run]
    if variants:
        median[VARIANT] = median_of(variants)
    arguments = f"--seeds {options.seeds} --variants {options.variants}"
    print(write_result("quickstart", f"python benchmarks/quickstart.py {arguments}", {"median": median, "runs": runs}))


if __name__ == "__main__":
    main()

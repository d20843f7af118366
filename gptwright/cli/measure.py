"""`evaluate` and `report`: figures of finished models on the built-in world's held-out prompts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gptwright import world
from gptwright.cli.disk import report_full_disk
from gptwright.cli.talk import load_assistant
from gptwright.errors import InputError
from gptwright.evaluate.generative import by_use_case
from gptwright.evaluate.pairwise import win_rate
from gptwright.report import write_report
from gptwright.stages.answers import answer_text, sample_answers, that_fit
from gptwright.tasks import world as world_task
from gptwright.train.progress import Progress, say


def evaluate(models: list[str], *, prompts: int, temperature: float, seed: int, device: str, as_json: bool) -> None:
    """Every model answers the same prompts; prints accuracy, gold score and each one's win rate over the one before."""
    asked = world.prompts("test", prompts, seed=seed)
    result: dict[str, object] = {"prompts": 0, "temperature": temperature, "models": {}, "win_rates": []}
    gold: list[list[float]] = []
    table = {}
    wins = []
    loaded = [load_assistant(name, device) for name in models]
    for model, tokenizer in loaded:  # all answer the same prompts
        asked = that_fit(asked, tokenizer, model.config.context)
    result["prompts"], progress = len(asked), Progress("evaluate", len(asked) * len(models))
    for number, (name, (model, tokenizer)) in enumerate(zip(models, loaded, strict=True)):
        sampled = sample_answers(
            model, tokenizer, asked, seed=seed, temperature=temperature, max_new_tokens=80, progress=progress
        )
        scored = world_task.score(asked, [answer_text(each[0], tokenizer) for each in sampled])
        figures = by_use_case(scored, seed=seed)
        table[name] = {
            "accuracy": {key: figure.to_json() for key, figure in figures.accuracy.items()},
            "gold": {key: figure.to_json() for key, figure in figures.gold.items()},
        }
        gold.append([row.score for row in scored])
        if number:
            wins.append({"a": name, "b": models[number - 1], **win_rate(gold[-1], gold[-2], seed=seed).to_json()})
    result |= {"models": table, "win_rates": wins}
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    for name, values in table.items():
        accuracy, score = values["accuracy"].get("all"), values["gold"]["all"]
        shown = f"accuracy {accuracy['value']:.1%} of {accuracy['n']}, " if accuracy else ""
        sys.stdout.write(
            f"{name}: {shown}gold score {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})\n"
        )
    for row in wins:
        sys.stdout.write(f"{row['a']} over {row['b']}: {row['value']:.1%} ({row['low']:.1%} to {row['high']:.1%})\n")


def report(run_folder: Path) -> None:
    """Draw the report of a run again."""
    if not (run_folder / "recipe.yaml").is_file():
        raise InputError(f"{run_folder} is no run: recipe.yaml is missing; give a folder that `gptwright run` wrote")
    with report_full_disk(run_folder):
        say(f"report: {write_report(run_folder)}")

"""Overoptimisation: reward against gold score over the KL, and where the guard would have stopped.

    python benchmarks/overoptimisation.py RUN [RUN ...] [--prompts 300] [--rounds 96] [--keep DIR]

Each RUN is a finished quickstart; base and SFT are taken as they are. The reward model learns from few prompts and is
then practised against for long, without KL penalty, so that it is bound to be hacked. A second reward model, from other
prompts and of the quickstart's kind, is what the guard watches. Gold scores are measured on the way and seen by nobody.
Practice goes on after the alarm, so that the whole curve is there (Gao et al., arXiv:2210.10760, figure 1). The picture
goes to docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import command
from record import ROOT, write_result
from rounds import copied

from gptwright.practice_settings import GuardSettings
from gptwright.recipe import load_recipe
from gptwright.report.plots import png_plot

PICTURE = ROOT / "docs" / "pictures" / "overoptimisation.png"
EVALUATIONS = 40
GUARD = GuardSettings()


def practised(run: Path, keep: Path, prompts: int, rounds: int) -> dict[str, Any]:
    """The curve of one run."""
    recipe = load_recipe(str(run / "recipe.yaml"))
    common = ["-o", f"seed={recipe.seed}", "-o", f"data.world_seed={recipe.data.world_seed}"]
    common += ["-o", "reward.batch_prompts=8"]
    # A head alone, InstructGPT's score, is what gets hacked. The second reward model counts likelihood and repetition
    # too, as the quickstart's does: with a head alone it would have the first one's blind spots.
    hackable = ["-o", "reward.likelihood=false", "-o", "reward.repetition=false"]
    second, first = keep / run.name / "second", keep / run.name / "first"
    for folder in (second, first):
        copied(run, folder)
    mine, others = split_judgements(run, first, prompts), split_judgements(run, second, prompts, others=True)
    command.run(["reward", "quickstart", *common, *data(others), "--dir", str(second)], second.with_suffix(".log"))
    watch = f"{{second: {{kind: model, folder: '{second}/reward'}}}}"
    settings = {
        "beta": 0, "interpolation": 1, "pretrain_mix": 0, "steps": rounds, "evaluations": EVALUATIONS,
        "guard": f"{{watch: {watch}, stop: false}}",
    }  # fmt: skip
    asked = [part for key, value in settings.items() for part in ("-o", f"ppo.{key}={value}")]
    command.run(
        ["ppo", "quickstart", *common, *hackable, *data(mine), *asked, "--dir", str(first)], first.with_suffix(".log")
    )
    lines = (first / "ppo" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    points = curve([json.loads(line) for line in lines])
    return {"seed": recipe.seed, "sound_step": sound_step(points), "curve": points}


def sound_step(points: list[dict[str, float]]) -> int | None:
    """The round whose policy the guard would have given back: the last one before the alarm without any fall."""
    alarm = next((i for i, point in enumerate(points) if point.get("alarms", 0) > GUARD.window), None)
    sound = [int(point["step"]) - 1 for point in points[:alarm] if point.get("fall", math.inf) <= GUARD.limit / 2]
    return sound[-1] if alarm is not None and sound else None


def split_judgements(run: Path, folder: Path, prompts: int, *, others: bool = False) -> Path:
    """The run's own comparisons of `prompts` prompts, or those of four times as many others."""
    by_prompt: dict[str, list[str]] = {}
    with (run / "comparisons" / "comparisons.jsonl").open(encoding="utf-8") as file:
        for line in file:
            by_prompt.setdefault(json.loads(line)["prompt"]["id"], []).append(line)
    names = sorted(by_prompt)
    chosen = names[prompts : 5 * prompts] if others else names[:prompts]
    path = folder / "judged.jsonl"
    text = "".join(line for name in chosen for line in by_prompt[name])
    if not path.is_file() or path.read_text(encoding="utf-8") != text:  # a file that is written anew counts as changed
        path.write_text(text, encoding="utf-8")
    return path


def data(path: Path) -> list[str]:
    """Overrides that take judgements from a file in place of the world's labellers."""
    settings = {"data": path, "prompts": 1_500, "answers": 4, "labellers": 1, "temperature": 1.0}  # the last: defaults
    return [part for name, value in settings.items() for part in ("-o", f"reward.{name}={value}")]


def curve(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Of each round the reward, the watched one, the KL and what the guard saw; gold where it was measured."""
    names = {
        "reward/score": "reward", "watch/second": "second", "kl/reference": "kl", "guard/alarms": "alarms",
        "watch/diversity": "diversity", "entropy": "entropy", "gold_score": "gold", "accuracy": "accuracy",
    }  # fmt: skip
    by_step: dict[int, dict[str, float]] = {}
    for row in rows:
        found = {names[key]: value for key, value in row.items() if key in names}
        falls = [value for key, value in row.items() if key.startswith("guard/") and key != "guard/alarms"]
        if falls:
            found["fall"] = max(falls)
        by_step.setdefault(int(row["step"]), {"step": row["step"]}).update(found)
    return [by_step[step] for step in sorted(by_step)]


def over_kl(points: list[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    """(root of the KL, value) of a figure. A round's answers are those of the policy behind the round before, on which
    its KL and rewards are measured; gold is measured behind the round.
    """
    kl = {point["step"] - (name == "gold"): point["kl"] for point in points if "kl" in point}
    shown = [point for point in points if name in point and point["step"] in kl]
    return [math.sqrt(max(0.0, kl[point["step"]])) for point in shown], [point[name] for point in shown]


def draw(points: list[dict[str, float]]) -> None:
    """Reward and second reward to one scale, gold to its own, over the root of the KL; a line where the alarm was."""
    stop = next((point["step"] for point in points if point.get("alarms", 0) > GUARD.window), None)
    sound = sound_step(points)
    lines = {"given back": sound + 1 if sound is not None else None, "the guard's alarm": stop}

    def paint(axes: Any, colours: Any) -> None:
        for colour, name in enumerate(("reward", "second", "gold"), start=1):
            x, values = over_kl(points, name)
            spread = max(abs(value - values[0]) for value in values) or 1.0
            label = {"reward": "reward practised on", "second": "second reward model", "gold": "gold score"}[name]
            axes.plot(x, [(value - values[0]) / spread for value in values], label=label, color=colours.of(colour))
        for (label, step), style in zip(lines.items(), ("--", ":"), strict=True):
            kl = next((point["kl"] for point in points if point["step"] == step), None)
            if kl is not None:
                axes.axvline(math.sqrt(max(0.0, kl)), color=colours.ink, linestyle=style, label=label)
        axes.set_xlabel("root of the KL to SFT, in nats per answer")
        axes.set_ylabel("change, as a share of the largest")
        axes.legend()

    PICTURE.write_bytes(png_plot((6.4, 3.4), paint))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--prompts", type=int, default=300, help="judged for the reward model that is practised on")
    parser.add_argument("--rounds", type=int, default=96)
    parser.add_argument("--keep", type=Path, help="keep the copies here, and read those that are finished")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keep = Path(os.path.abspath(arguments.keep or temporary))
        runs = [practised(run, keep, arguments.prompts, arguments.rounds) for run in arguments.runs]
    draw(runs[0]["curve"])
    told = f"--prompts {arguments.prompts} --rounds {arguments.rounds}"
    write_result("overoptimisation", f"python benchmarks/overoptimisation.py {told}", {"runs": runs})


if __name__ == "__main__":
    main()

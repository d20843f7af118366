"""The README's tables of reinforcement learning, from the results of its benchmarks; `table.py` puts them in place."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

Lines = Callable[[dict[str, Any]], list[str]]


def spread(values: Sequence[float], written: Callable[[float], str]) -> str:
    """The median, and where there are several the lowest and the highest."""
    middle = written(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({written(min(values))} to {written(max(values))})"


def percent(value: float) -> str:
    return f"{value:.1%}"


def half_width(figures: Sequence[dict[str, Any]]) -> float:
    """The median of their intervals' halves: how far chance alone, over prompts, may have moved one."""
    return statistics.median((figure["high"] - figure["low"]) / 2 for figure in figures)


def best_of(name: str) -> int | None:
    """How many answers a row's name says are chosen from; None for a method that trains."""
    return int(name.removeprefix("best of ")) if name.startswith("best of ") else None


def most_kl(answers: int) -> float:
    """Nats to SFT at most, of the best of so many of its answers (Stiennon et al., arXiv:2009.01325, appendix G.3; that
    it is a bound: Beirami et al., arXiv:2401.01879).
    """
    return math.log(answers) - (answers - 1) / answers


def practice(figures: dict[str, Any]) -> list[str]:
    runs = figures["runs"]
    lines = [
        "### Ways to use the same comparisons\n",
        f"From the same SFT and reward models of the quickstart, {len(runs)} seeds (median, lowest to highest); win "
        "rates over SFT by the gold judge, which nothing learns from.\n",
        "| method | win rate, greedy | at temperature 1 | KL, nats | entropy | bits per byte of base text | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    names = list(dict.fromkeys(name for run in runs for name in run))
    for name in names:
        rows, chosen_from = [run[name] for run in runs if name in run], best_of(name)
        weights = [run["SFT"] for run in runs] if chosen_from else rows  # choosing changes none
        # Measured before, on a quiet machine, or here.
        earlier = figures.get("seconds", {}).get(name)
        cells = [
            _each(rows, lambda row: row["greedy"]["win_rate"]["value"], percent),
            _each(rows, lambda row: row["sampled"]["win_rate"]["value"], percent),
            f"at most {most_kl(chosen_from):.2f}"
            if chosen_from
            else _each(rows, lambda row: row["kl"]["value"], "{:.2f}".format),
            _each(rows, lambda row: row["entropy"], "{:.3f}".format),
            _each(weights, lambda row: row["bits_per_byte"], "{:.4f}".format),
            f"{earlier:.0f}" if earlier else _each(rows, lambda row: row["seconds"], "{:.0f}".format),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    trained = [run[name] for run in runs for name in run if name != "SFT"]
    wins = half_width([row[kind]["win_rate"] for row in trained for kind in ("greedy", "sampled") if kind in row])
    kls = half_width([row["kl"] for row in trained if "kl" in row])
    note = (
        f"\nBesides the seeds, chance over prompts (half a 95% interval, the median of all): {100 * wins:.1f} points "
        f"of a win rate, {kls:.2f} nats of a KL. Best of n trains nothing; its KL is at most log n - (n - 1) / n."
    )
    return [*lines, note, "\n![Win rate over SFT against the KL](docs/pictures/practice.png)"]


def _each(
    rows: Sequence[dict[str, Any]], get: Callable[[dict[str, Any]], float], written: Callable[[float], str]
) -> str:
    try:
        return spread([get(row) for row in rows], written)
    except KeyError:  # best-of-n trains nothing, so it has no entropy and no greedy answers
        return ""


def addition(figures: dict[str, Any]) -> list[str]:
    runs = figures["runs"]
    first = next(iter(runs[0]["accuracy"].values()))
    digits = sorted(int(key.split()[1]) for key in first if key != "all")
    lines = [
        "### Tokens to think\n",
        f"Addition of numbers never seen together: answered at once, after a chain of thought, and after GRPO that was "
        f"told right sums alone; greedy, {len(runs)} seed{'s' * (len(runs) > 1)}, accuracy by number of digits.\n",
        f"| | {' | '.join(map(str, digits))} |",
        f"| --- |{' --- |' * len(digits)}",
    ]
    for name in runs[0]["accuracy"]:
        rows = [run["accuracy"][name] for run in runs]
        cells = [f"{statistics.median(row[f'digits {n}']['value'] for row in rows):.0%}" for n in digits]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, "\n![Accuracy by number of digits](docs/pictures/addition.png)"]


def rounds(figures: dict[str, Any]) -> list[str]:
    runs = figures["runs"]
    lines = [
        "### Rounds of judging and practising\n",
        "Several rounds against one with as many judgements and sampled answers in all, from the same SFT model "
        f"({len(runs)} seed{'s' * (len(runs) > 1)}).\n",
        "| policy | gold score, greedy | at temperature 1 | win rate over SFT, greedy | at temperature 1 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way, names in (("rounds", None), ("at once", ("ppo",))):
        for name in names or list(runs[0][way]["greedy"]):
            told = [[run[way][kind][name] for run in runs] for kind in ("greedy", "sampled")]
            gold = [spread([row["gold"]["value"] for row in rows], "{:.3f}".format) for rows in told]
            wins = [
                spread([row["over_sft"]["value"] for row in rows], percent) if rows[0]["over_sft"] else ""
                for rows in told
            ]
            label = name if way == "rounds" else "all at once"
            lines.append(f"| {label} | {' | '.join([*gold, *wins])} |")
    ways = [run[way][kind] for run in runs for way in ("rounds", "at once") for kind in ("greedy", "sampled")]
    told = [row for each in ways for row in each.values()]
    scores, over = half_width([row["gold"] for row in told]), half_width([r["over_sft"] for r in told if r["over_sft"]])
    chance = f"{scores:.3f} of a gold score, {100 * over:.1f} points of a win rate"
    return [*lines, f"\nChance over prompts (half a 95% interval, the median of all): {chance}."]


def overoptimisation(figures: dict[str, Any]) -> list[str]:
    lines = [
        "### A hacked reward, and the guard\n",
        "PPO without a KL penalty against a reward model from few judgements, for long; the guard watches a second "
        "reward model and would have stopped at the alarm.\n",
        "| seed | gold score at the start | at its best (round) | where the guard goes back to (round) | at the end |",
        "| --- | --- | --- | --- | --- |",
    ]
    for run in figures["runs"]:
        gold = [(point["step"], point["gold"]) for point in run["curve"] if "gold" in point]
        best = max(gold, key=lambda each: each[1])
        back = run["sound_step"]
        there = min(gold, key=lambda each: abs(each[0] - back))[1] if back is not None else None
        told = f"{there:.3f} ({back})" if there is not None else "no alarm"
        lines.append(f"| {run['seed']} | {gold[0][1]:.3f} | {best[1]:.3f} ({best[0]}) | {told} | {gold[-1][1]:.3f} |")
    return [*lines, "\n![Reward and gold score over the KL](docs/pictures/overoptimisation.png)"]


def preferences(figures: dict[str, Any]) -> list[str]:
    def told(name: str) -> str:
        figure = figures[name]
        return f"{figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"

    lines = [
        "### Real preferences\n",
        f"Anthropic's HH and Open Assistant's trees, {figures['training_prompts']:,} prompts to learn from and "
        f"{figures['held_out_prompts']:,} held out; from raw books to the reward model in {figures['minutes']:.0f} "
        "minutes.\n",
        "| pairs in order | |",
        "| --- | --- |",
        f"| reward model | {told('reward_model')} |",
        f"| bag of words, Bradley-Terry | {told('bag_of_words')} |",
        f"| the longer answer | {told('longer_wins')} |",
        f"| reward model less bag of words | {told('difference')} |",
    ]
    if figures["difference"]["n"] != figures["reward_model"]["n"]:  # of before both were counted over pairs
        lines.append(
            "\nCounted in an earlier way: prompts are comparisons, those to learn from with ties and with what was too "
            "long, which the bag of words alone read; the difference is a mean over comparisons."
        )
    return lines


def practice_speed(figures: dict[str, Any]) -> list[str]:
    lines = [
        "### Speed of practice\n",
        "3 million parameters, 32 prompts, 4 answers of 48 tokens each, one step; beside TRL's GRPOTrainer.\n",
        "| program | answers/s | seconds a round | rollout | reading by the models | update | plain sampling |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in figures["programs"].items():
        parts = [f"{row[key]:.2f}" if key in row else "" for key in ("rollout", "scoring", "update", "plain_sampling")]
        lines.append(f"| {name} | {row['samples_per_second']:.0f} | {row['total']:.2f} | {' | '.join(parts)} |")
    ratios = ", ".join(f"{name} {ratio:.1f} times" for name, ratio in figures["times_trl"].items())
    lines.append(f"\nAgainst TRL's better precision: {ratios}.")
    if not any("rest" in row for row in figures["programs"].values()):  # of before the parts had clocks of their own
        lines.append(
            "Clocked in an earlier way: rollout and plain sampling are the same function, without the making of "
            "episodes; update is all that remains, PPO's reward model with it."
        )
    return lines


def llama_cpp(figures: dict[str, Any]) -> list[str]:
    lines = [
        "### Decoding beside llama.cpp\n",
        "Tokens per second on the same exported models, random weights, greedy, all cores.\n",
        "| parameters | what | precision | gptwright | llama.cpp | times |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, size in figures["sizes"].items():
        for kind, told in (("alone", "one alone"), ("batch", "16 together")):
            speeds = size[kind]["tokens_per_second"]
            for precision, ratio in size[kind]["ratios"].items():
                ours, theirs = (speeds[f"{program}, {precision}"] for program in ("gptwright", "llama.cpp"))
                cells = f"{precision} | {ours:,.0f} | {theirs:,.0f} | {ratio:.2f}"
                lines.append(f"| {name.upper()} | {told} | {cells} |")
    return lines


PRACTICE: dict[str, Lines] = {
    "practice": practice,
    "rounds": rounds,
    "overoptimisation": overoptimisation,
    "addition": addition,
    "preferences": preferences,
    "practice_speed": practice_speed,
    "llama_cpp": llama_cpp,
}

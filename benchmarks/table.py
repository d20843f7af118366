"""Writes the Measured section of README.md from benchmarks/results/, so that every figure there was measured.

python benchmarks/table.py
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from practice_tables import PRACTICE

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- measured:start -->\n", "<!-- measured:end -->\n"

Row = tuple[str, str, Callable[[float], str]]


def percent(value: float) -> str:
    return f"{value:.1%}"


def decimals(count: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{count}f}"


# What is said of the quickstart: words, where the figure stands in a run, and how it is written.
QUICKSTART: list[Row] = [
    ("Minutes from nothing to the report", "minutes", decimals(1)),
    ("Share of the cores' time that their host gave to other machines meanwhile", "stolen", percent),
    ("Peak memory of the command's process, GB", "peak_gb", decimals(2)),
    ("Accuracy: base model, the question as a document", "accuracy/base", percent),
    ("Accuracy: base model after a few examples", "accuracy/base_few_shot", percent),
    ("Accuracy: after SFT", "accuracy/sft", percent),
    ("Accuracy: after PPO", "accuracy/ppo", percent),
    (
        "Accuracy on facts that no demonstration, comparison or RL prompt asks for: after SFT",
        "held_out_facts/sft",
        percent,
    ),
    (
        "Accuracy on facts that no demonstration, comparison or RL prompt asks for: after PPO",
        "held_out_facts/ppo",
        percent,
    ),
    ("Accuracy in phrasings that nothing in training has: after SFT", "held_out_phrasings/sft", percent),
    ("Accuracy in phrasings that nothing in training has: after PPO", "held_out_phrasings/ppo", percent),
    ("Accuracy at temperature 1: after SFT", "sampled/accuracy/sft", percent),
    ("Accuracy at temperature 1: after PPO", "sampled/accuracy/ppo", percent),
    ("Win rate by the gold judge: SFT over base", "win_rate/sft over base", percent),
    ("Win rate by the gold judge: PPO over SFT", "win_rate/ppo over sft", percent),
    ("Win rate by the gold judge at temperature 1: PPO over SFT", "sampled/win_rate/ppo over sft", percent),
    ("Reward model: held-out pairs ordered as the labeller did", "reward_model/accuracy", percent),
    ("Reward model: the most that the labellers' noise allows", "reward_model/ceiling", percent),
    ("Labellers: pairs on which two agree", "reward_model/agreement", percent),
    ("KL of PPO to SFT, nats per answer", "kl/ppo/k1", decimals(2)),
    ("Entropy per token: after SFT, nats", "entropy/sft", decimals(3)),
    ("Entropy per token: after PPO, nats", "entropy/ppo", decimals(3)),
    ("Bits per byte of held-out text: base", "bits_per_byte/base", decimals(3)),
    ("Bits per byte of held-out text: after SFT", "bits_per_byte/sft", decimals(3)),
    ("Bits per byte of held-out text: after PPO", "bits_per_byte/ppo", decimals(3)),
    (
        "Bits per byte of held-out text: after PPO without the pretraining mix",
        "with_ppo_without_mix/bits_per_byte/ppo_without_mix",
        decimals(3),
    ),
    ("Base model asked for a poem: goes on listing tasks", "base_behaviour/continues_tasks", percent),
    ("Base model told that a poem follows: writes one", "base_behaviour/writes_poem", percent),
]


def read_results() -> dict[str, dict[str, Any]]:
    """The results that there are, by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}


def with_measured(page: str, results: dict[str, dict[str, Any]]) -> str:
    """The page with everything between its two markers written anew."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(
            f"the page has no {BEGIN.strip()} with {END.strip()} after it: put both where the tables belong"
        )
    sections = [write(results[name]) for name, write in SECTIONS.items() if name in results]
    sections += [
        section(write(results[name]["figures"]), results[name]) for name, write in PRACTICE.items() if name in results
    ]
    return f"{before}{BEGIN}\n{''.join(sections)}{END}{after}"


def quickstart(result: dict[str, Any]) -> str:
    runs, median = result["figures"]["runs"], result["figures"]["median"]
    lines = [
        "### Quickstart\n",
        f"The median of {len(runs)} runs with different seeds and worlds, the lowest and highest of them, and the 95% "
        "interval of the run in the middle.\n",
        "| what | median | lowest to highest | interval |",
        "| --- | --- | --- | --- |",
    ]
    for words, place, written in QUICKSTART:
        middle = look_up(median, place)
        if middle is None:  # not every run trains the variant
            continue
        values = sorted(number(found) for found in (look_up(run, place) for run in runs) if found is not None)
        interval = f"{written(middle['low'])} to {written(middle['high'])}" if isinstance(middle, dict) else ""
        spread = f"{written(values[0])} to {written(values[-1])}" if len(values) == len(runs) else f"of {len(values)}"
        lines.append(f"| {words} | {written(number(middle))} | {spread} | {interval} |")
    lines += ["", *sft_curve(median["sft_epochs"])]
    return section(lines, result)


def sft_curve(epochs: list[dict[str, float]]) -> list[str]:
    """Supervised finetuning, epoch by epoch."""
    lines = [
        "Supervised finetuning, measured on validation prompts at temperature 1 while it trains (medians):\n",
        "| epoch | validation loss, nats | gold score | accuracy |",
        "| --- | --- | --- | --- |",
    ]
    for row in epochs:
        figures = f"{row['validation_loss']:.3f} | {row['gold_score']:.3f} | {row['accuracy']:.1%}"
        lines.append(f"| {row['epoch']:.0f} | {figures} |")
    return lines


def sft_epochs(result: dict[str, Any]) -> str:
    runs = [run["epochs"] for run in result["figures"]["runs"]]
    lines = [
        "### Finetuned for longer\n",
        f"Of {len(runs)} of these runs the median: the same finetuning over more epochs, its rate falling over all of "
        "them; right answers to test prompts.\n",
        "| epochs | validation loss at its lowest | at the end | accuracy, greedy | at temperature 1 | gold, greedy |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for epochs in runs[0]:
        losses = [[row["validation_loss"] for row in run[epochs]["curve"]] for run in runs]
        lowest, last = (statistics.median(map(pick, losses)) for pick in (min, lambda each: each[-1]))
        told = [
            statistics.median(run[epochs][way][key]["value"] for run in runs)
            for way, key in (("greedy", "accuracy"), ("sampled", "accuracy"), ("greedy", "gold"))
        ]
        lines.append(
            f"| {epochs} | {lowest:.3f} | {last:.3f} | {percent(told[0])} | {percent(told[1])} | {told[2]:.3f} |"
        )
    return section(lines, result)


def shakespeare(result: dict[str, Any]) -> str:
    figures = result["figures"]
    runs, loss, speed = figures["runs"], figures["validation_loss"], figures["speed"]
    random_batches = sorted(run["validation_loss_random_batches"] for run in runs)
    seconds = sorted(run["training_seconds"] for run in runs)
    plain_seconds = runs[0]["tokens"] / speed["tokens_per_second"]["plain loop"]
    lines = [
        "### Shakespeare, character by character\n",
        f"nanoGPT's CPU settings: {runs[0]['parameters'] / 1e6:.2f}M parameters, context 64, {runs[0]['tokens']:,} "
        f"characters, the last tenth held out. Median of {len(runs)} seeds, lowest to highest.\n",
        "| what | gptwright | nanoGPT |",
        "| --- | --- | --- |",
        f"| Validation loss, the whole last tenth | {loss['median']:.4f} ({loss['low']:.4f} to {loss['high']:.4f}) | |",
        f"| Validation loss, 20 random batches of it | {random_batches[len(runs) // 2]:.4f} "
        f"({random_batches[0]:.4f} to {random_batches[-1]:.4f}) | {figures['nanogpt_validation_loss']:.4f} |",
        f"| Seconds of training (the plain loop's at its speed below: {plain_seconds:.0f}) | "
        f"{seconds[len(runs) // 2]:.0f} ({seconds[0]:.0f} to {seconds[-1]:.0f}) | |\n",
        "| training step of 768 tokens | tokens/s | times the plain loop |",
        "| --- | --- | --- |",
    ]
    for name, tokens in speed["tokens_per_second"].items():
        lines.append(f"| {name} | {tokens:,} | {speed['times_the_plain_loop'][name]:.2f} |")
    return section(lines, result)


def kill_resume(result: dict[str, Any]) -> str:
    lines = ["### Killed and resumed\n", "The smoke recipe, killed at random moments and started again each time.\n"]
    lines += ["| computed in | kills | in the stages | weights of all models |", "| --- | --- | --- | --- |"]
    for way, figures in result["figures"].items():
        kills = [kill["stage"] for kill in figures["kills"] if kill["killed"]]
        outcome = "the same bytes" if figures["identical"] else "OTHER bytes"
        stages = ", ".join(f"`{stage}`" for stage in dict.fromkeys(kills))
        lines.append(f"| {way} | {len(kills)} | {stages} | {outcome} as unbroken |")
    return section(lines, result)


def corpus(result: dict[str, Any]) -> str:
    figures = result["figures"]
    paragraphs, books = (figures["speed"][kind]["megabytes_per_cpu_second"] for kind in ("paragraphs", "books"))
    lines = [
        "### Preparing a corpus\n",
        "Megabytes per second of one core's time.\n",
        "| step | paragraphs | whole books |",
        "| --- | --- | --- |",
    ]
    lines.extend(f"| {step} | {speed:.1f} | {books[step]:.1f} |" for step, speed in paragraphs.items())
    vocabulary = figures["vocabulary"]
    lines.append(
        f"\nA vocabulary of {vocabulary['vocabulary']:,} from {vocabulary['bytes'] / 1e6:.0f} MB of text: "
        f"{vocabulary['cpu_seconds']:.1f} s on one core."
    )
    for peak in figures["memory"].values():
        lines.append(f"A corpus of {peak['megabytes']:,.0f} MB: {peak['peak_megabytes']:.0f} MB of memory at most.")
    return section(lines, result)


def cleaning(result: dict[str, Any]) -> str:
    figures = result["figures"]
    near = figures["near_duplicates"]
    rows = {name: row for name, row in near.items() if isinstance(row, dict)}
    rows |= {
        f"web pages, {row['words exchanged']:.0%} of the words exchanged (similarity {row['mean similarity']:.2f})": row
        for row in near["pages with words exchanged"]
    }
    lines = ["### Corpus cleaning\n", "| near-duplicates | copies | precision | recall |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {row['copies']} | {row['precision']:.1%} | {row['recall']:.1%} |" for name, row in rows.items()
    ]
    lines += ["\n| personal data in synthetic sentences | pieces | precision | recall |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {kind} | {row['pieces']} | {row['precision']:.1%} | {row['recall']:.1%} |"
        for kind, row in figures["personal_data"].items()
    ]
    lines += ["\n| step, on web pages and one core | documents/s | MB/s |", "| --- | --- | --- |"]
    lines += [f"| {name} | {row['documents/s']:,.0f} | {row['MB/s']:.2f} |" for name, row in figures["steps"].items()]
    peaks = ", ".join(f"{peak:.0f} MB with {name}" for name, peak in figures["memory"]["peak_mb"].items())
    lines.append(
        "\nThe rules for personal data were refined on these same sentences, so other text will do a little worse. "
        f"Peak memory of one process: {peaks}."
    )
    return section(lines, result)


def pretraining(result: dict[str, Any]) -> str:
    sizes = result["figures"]["sizes"]
    limits = [size["limit_gflops"] for size in sizes.values()]
    lines = [
        "### The pretraining step\n",
        "Context 256, 16 rows, vocabulary 4,096; medians of rounds in which each way, a process of its own, takes its "
        "turn. The limit is the best bfloat16 matrix product measured beside them, "
        f"{min(limits):.0f} to {max(limits):.0f} GFLOP/s.\n",
        "| parameters | way | tokens/s | times transformers | share of the limit |",
        "| --- | --- | --- | --- | --- |",
    ]
    for size in sizes.values():
        for way, rate in size["tokens_per_second"].items():
            times, share = size["times_transformers"][way], size["share_of_limit"][way]
            lines.append(f"| {size['parameters'] / 1e6:.1f}M | {way} | {rate:,} | {times:.2f} | {share:.0%} |")
    return section(lines, result)


def optimizers(result: dict[str, Any]) -> str:
    figures = result["figures"]
    lines = [
        "### Choices about the optimizer\n",
        f"The quickstart's base model after {figures['tokens']} tokens: held-out loss in nats per token, mean over "
        "seeds, and the mean difference to the first row on the same text.\n",
        "| variant | validation loss | difference |",
        "| --- | --- | --- |",
    ]
    for name, row in figures["variants"].items():
        loss = sum(row["validation_loss"]) / len(row["validation_loss"])
        lines.append(f"| {name} | {loss:.4f} | {row['mean_difference']:+.4f} |")
    return section(lines, result)


def equal_time(result: dict[str, Any]) -> str:
    lines = [
        "### Held-out loss at equal time\n",
        "3M parameters on one's own text: `gptwright pretrain` from the start of the command, compiling included, "
        "against the training loop alone of a transformers Llama, eager, float32, AdamW.\n",
        "| text | minutes | gptwright, nats per token (tokens read) | transformers |",
        "| --- | --- | --- | --- |",
    ]
    for text, budgets in result["figures"].items():
        for minutes, ends in budgets.items():
            cells = (
                f"{ends[way]['loss']:.3f} ({ends[way]['tokens'] / 1e6:.2f}M)" for way in ("gptwright", "transformers")
            )
            lines.append(f"| {text} | {minutes} | {' | '.join(cells)} |")
    return section(lines, result)


def memory(result: dict[str, Any]) -> str:
    figures = result["figures"]
    returned, kept = ([case[freed]["ratio"] for case in figures["cases"]] for freed in ("return", "keep"))
    lines = [
        "### Memory as planned\n",
        f"What `gptwright plan` says of {len(returned)} configurations, over what training them held: "
        f"{min(returned):.2f} to {max(returned):.2f}. By default freed memory is kept for the next tensor, which is "
        f"faster: then {min(kept):.2f} to {max(kept):.2f}.",
    ]
    return section(lines, result)


def decoding(result: dict[str, Any]) -> str:
    figures = result["figures"]
    lines = [
        "### Decoding\n",
        "Tokens per second beside `generate` of transformers, random weights, greedy: one prompt alone, and 16 of "
        "mixed lengths that end at different times. Each program with the best of float32 and bfloat16, one thread "
        "and all.\n",
        "| parameters | what | gptwright | transformers | times |",
        "| --- | --- | --- | --- | --- |",
    ]
    for size in figures["sizes"].values():
        for kind, told in (("alone", "one alone"), ("batch", "16 together")):
            best = size[kind]["best"]
            cells = f"{best['gptwright']:,.0f} | {best['transformers']:,.0f} | {size[kind]['ratio']:.1f}"
            lines.append(f"| {size['parameters'] / 1e6:.1f}M | {told} | {cells} |")
    largest = list(figures["sizes"].values())[-1]
    share = largest["share_of_memory_speed"]
    told = f"{share['float32']:.0%} (float32) and {share['bfloat16']:.0%} (bfloat16)"
    lines.append(
        f"\nAlone, the largest reads its weights at {told} of the {figures['memory_gb_per_second']:.0f} GB/s that "
        "memory gives."
    )
    if "guided" in figures:
        cost = f"{figures['guided']['cost']:.1%}"
        lines.append(f"Following a JSON schema costs {cost} of the speed of eight answers (26M parameters, bytes).")
    return section(lines, result)


def serving(result: dict[str, Any]) -> str:
    figures = result["figures"]
    first, between = figures["first_token_ms"], figures["between_tokens_ms"]
    lines = [
        "### A server under load\n",
        f"`gptwright serve` with the quickstart's assistant, {figures['clients']} clients that stream for "
        f"{figures['minutes']:g} minutes: {figures['answers']:,} answers, {figures['hung_up']:,} clients that hung up, "
        f"{figures['error_count']} errors. First token after {first['p50']:.0f} ms (99th percentile "
        f"{first['p99']:.0f}), "
        f"then one every {between['p50']:.1f} ms ({between['p99']:.1f}). "
        f"Memory: {figures['memory_mb'][1]:.0f} MB in the second tenth of the time, "
        f"{figures['memory_mb'][-1]:.0f} MB in the last.",
    ]
    return section(lines, result)


SECTIONS = {
    "quickstart": quickstart,
    "sft_epochs": sft_epochs,
    "shakespeare": shakespeare,
    "kill_resume": kill_resume,
    "decoding": decoding,
    "serving": serving,
    "pretraining": pretraining,
    "equal_time": equal_time,
    "memory": memory,
    "optimizers": optimizers,
    "corpus": corpus,
    "cleaning": cleaning,
}


def section(lines: list[str], result: dict[str, Any]) -> str:
    """The lines, and where and when they were measured."""
    machine = result["machine"]
    source = (
        f"\n`{result['command']}`, {result['date']}, commit {result['commit'][:7]}, on {machine['cores']} cores of "
        f"{machine['cpu']}, {machine['memory_gib']} GiB, Python {machine['python']}, torch {machine['torch']}.\n\n"
    )
    return "\n".join(lines) + "\n" + source


def look_up(figures: Any, place: str) -> Any:
    """The figure at 'accuracy/sft', or None."""
    for key in place.split("/"):
        if not isinstance(figures, dict) or key not in figures:
            return None
        figures = figures[key]
    return figures


def number(figure: Any) -> float:
    """A figure's value, with or without an interval."""
    return float(figure["value"] if isinstance(figure, dict) else figure)


if __name__ == "__main__":
    README.write_text(with_measured(README.read_text(encoding="utf-8"), read_results()), encoding="utf-8")

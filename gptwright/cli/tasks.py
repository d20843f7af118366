"""Behind `gptwright data addition` and `evaluate --data`: tasks whose answers a program can check, as files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from gptwright.cli.disk import report_full_disk
from gptwright.cli.talk import load_assistant
from gptwright.data.conversations import read_prompts
from gptwright.data.jsonl import write_jsonl
from gptwright.errors import InputError
from gptwright.evaluate.intervals import Figure, proportion
from gptwright.records import Prompt, to_json
from gptwright.stages.answers import answer_text, sample_answers, that_fit
from gptwright.tasks import addition, verifiers
from gptwright.train.progress import Progress, say

DOCUMENTS = 20_000
TEST_PROMPTS = 200
"""Of each number of digits."""
TEST_SECONDS = 5.0


def write_addition(out: Path, *, digits: int, demonstrations: int, prompts: int, seed: int) -> None:
    """Everything that the recipe `addition` reads, and a test with two digits more than it practises."""
    trained = range(1, digits + 1)
    with report_full_disk(out):
        out.mkdir(parents=True, exist_ok=True)
        documents = addition.documents(DOCUMENTS, digits=trained, seed=seed)
        write_jsonl(out / "documents.jsonl", (to_json(document) for document in documents))
        for name, thinking in (("direct", False), ("chains", True)):
            shown = addition.demonstrations(demonstrations, digits=trained, seed=seed, thinking=thinking)
            write_jsonl(out / f"{name}.jsonl", (to_json(each) for each in shown))
        practised = addition.prompts("train", prompts, digits=trained, seed=seed + 1)
        write_jsonl(out / "prompts.jsonl", (to_json(prompt) for prompt in practised))
        lengths = range(1, digits + 3)
        test = addition.prompts("test", TEST_PROMPTS * len(lengths), digits=lengths, seed=seed)
        write_jsonl(out / "test.jsonl", (to_json(prompt) for prompt in test))
    say(f"addition: {', '.join(sorted(file.name for file in out.glob('*.jsonl')))} in {out}; gptwright run addition")


def evaluate_file(
    models: list[str],
    data: Path,
    *,
    by: str | None,
    temperature: float,
    tokens: int,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Every model answers a file's prompts, and what they hold as right is checked; `by` names one of their details."""
    asked = list(read_prompts(data))
    verify = _verifier(asked)
    for prompt in asked:
        if by is not None and by not in prompt.details:
            raise InputError(f"prompt {prompt.id!r} in {data} has no details.{by}: give another --by, or none")
    progress, table = Progress("evaluate", len(asked) * len(models)), dict[str, dict[str, Figure]]()
    for number, name in enumerate(models):
        model, tokenizer = load_assistant(name, device)
        fit = that_fit(asked, tokenizer, model.config.context)
        sampled = sample_answers(
            model, tokenizer, fit, seed=seed, temperature=temperature, max_new_tokens=tokens, progress=progress
        )
        right = [verify(p, answer_text(each[0], tokenizer)) == 1.0 for p, each in zip(fit, sampled, strict=True)]
        table[name] = _accuracy(fit, right, by)
        progress.update((number + 1) * len(asked), name)
    if as_json:
        figures = {name: {key: figure.to_json() for key, figure in rows.items()} for name, rows in table.items()}
        sys.stdout.write(json.dumps({"data": str(data), "accuracy": figures}) + "\n")
        return
    for name, rows in table.items():
        for key, figure in rows.items():
            told = f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%}) of {figure.n}"
            sys.stdout.write(f"{name}: {key}: {told}\n")


def _verifier(prompts: list[Prompt]) -> Callable[[Prompt, str], float]:
    if "tests" in prompts[0].details:
        verifiers.check_tests(prompts)
        return lambda prompt, text: verifiers.share_of_tests(prompt, text, seconds=TEST_SECONDS)
    verifiers.check_numbers(prompts)
    return verifiers.number_is_right


def _accuracy(prompts: list[Prompt], right: list[bool], by: str | None) -> dict[str, Figure]:
    groups: dict[str, list[bool]] = {"all": right}
    for prompt, verdict in zip(prompts, right, strict=True):
        if by is not None:
            groups.setdefault(f"{by} {prompt.details[by]}", []).append(verdict)
    return {name: proportion(sum(verdicts), len(verdicts)) for name, verdicts in groups.items()}

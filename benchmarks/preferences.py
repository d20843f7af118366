"""Real preferences: a reward model on Anthropic's HH and Open Assistant's trees, against a bag of words.

    python benchmarks/preferences.py DATA [--tokens 6M] [--keep DIR]

DATA has pretrain/books_*.jsonl.gz and preferences/ with hh_*.jsonl.gz and oasst1_english_trees.jsonl.gz. The base reads
the books, SFT the preferred answers, and the reward model ranks; all by the real command. The baseline is a
Bradley-Terry model on counts of words (logistic regression on the difference of log counts, with length), trained on
the same pairs and measured on the same held-out prompts; what does not fit into the reward model's context, or is a tie
throughout, neither sees. Accuracies with 95% intervals over prompts, and their difference, pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import command
import numpy as np
import torch
from record import write_result

from gptwright.data.conversations import read_comparisons
from gptwright.data.jsonl import write_jsonl
from gptwright.evaluate import preference
from gptwright.evaluate.intervals import Figure, bootstrap_interval
from gptwright.evaluate.preference import Scores
from gptwright.model.folder import load_scalar_model
from gptwright.pipeline.run import Run
from gptwright.pipeline.wiring import split_comparisons
from gptwright.recipe import load_recipe
from gptwright.records import Comparison, to_json
from gptwright.stages.scoring import score_comparisons, that_fit_whole
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath

FILES = (
    "hh_helpful_base", "hh_harmless_base", "hh_helpful_online", "hh_helpful_rejection_sampled",
    "oasst1_english_trees",
)  # fmt: skip
WORDS = 4_000
"""Of the commonest, in the bag."""
PENALTIES = (0.1, 1.0, 10.0, 100.0)


def recipe_arguments(data: Path, judged: Path, shown: Path, tokens: str) -> list[str]:
    settings = {
        "data.files": data / "pretrain" / "books_*.jsonl.gz", "tokenizer.vocab_size": 4096, "model.size": "null",
        "model.layers": 5, "model.width": 192, "model.heads": 6, "model.context": 512, "pretrain.tokens": tokens,
        "pretrain.batch_rows": 8, "pretrain.optimizer.learning_rate": 0.008, "sft.data": shown, "sft.epochs": 1,
        "sft.batch_rows": 4, "reward.data": judged, "reward.held_out": 0.2, "reward.batch_prompts": 16,
    }  # fmt: skip
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def gather(data: Path, folder: Path) -> tuple[Path, Path]:
    """All comparisons in one file, and the conversations of the preferred answers in another."""
    judged, shown = folder / "judged.jsonl", folder / "shown.jsonl"
    compared: list[Comparison] = []
    for name in FILES:
        compared += read_comparisons(data / "preferences" / f"{name}.jsonl.gz")
    write_jsonl(judged, (to_json(each) for each in compared))
    return judged, shown


def write_shown(shown: Path, train: Sequence[Comparison]) -> None:
    """What SFT imitates: the preferred answers of the training prompts alone."""
    rows = []
    for each in train:
        best = each.answers[min(range(len(each.ranks)), key=each.ranks.__getitem__)]
        messages = [{"role": m.role, "content": m.content} for m in each.prompt.messages]
        rows.append({"messages": [*messages, {"role": "assistant", "content": best}]})
    write_jsonl(shown, rows)


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+|\d+|[.?!,]", text.lower())


class BagOfWords:
    """Bradley-Terry with a weight for each common word and for the length."""

    def __init__(self, train: Sequence[Comparison], penalty: float) -> None:
        counts = Counter(word for each in train for answer in each.answers for word in words_of(answer))
        self.places = {word: place for place, (word, _) in enumerate(counts.most_common(WORDS))}
        pairs = [(each, pair) for each in train for pair in each.pairs()]
        rows = {id(each): [self.features(answer) for answer in each.answers] for each in train}
        x_ND = torch.stack([rows[id(each)][better] - rows[id(each)][worse] for each, (better, worse) in pairs])
        weight_D = torch.zeros(x_ND.shape[1], requires_grad=True)
        optimizer = torch.optim.LBFGS([weight_D], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = torch.nn.functional.softplus(-(x_ND @ weight_D)).sum() + penalty * weight_D.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        self.weight_D = weight_D.detach()

    def features(self, answer: str) -> torch.Tensor:
        found, row = Counter(words_of(answer)), torch.zeros(len(self.places) + 1)
        for word, count in found.items():
            if word in self.places:
                row[self.places[word]] = np.log1p(count)
        row[-1] = np.log1p(sum(found.values()))
        return row

    def scores(self, comparisons: Sequence[Comparison]) -> list[list[float]]:
        return [[float(self.features(answer) @ self.weight_D) for answer in each.answers] for each in comparisons]


def best_bag(train: Sequence[Comparison]) -> BagOfWords:
    """With the penalty that does best on a tenth of the training prompts."""
    inner, aside = [c for i, c in enumerate(train) if i % 10], list(train[::10])
    bags = {penalty: BagOfWords(inner, penalty) for penalty in PENALTIES}
    best = max(PENALTIES, key=lambda p: preference.pair_accuracy(aside, bags[p].scores(aside)).value)
    return BagOfWords(train, best)


def seen(comparisons: Sequence[Comparison], tokenizer: Tokenizer, context: int) -> list[Comparison]:
    """Those that both can learn from or be asked about: read whole, with a better and a worse answer."""
    return that_fit_whole([c for c in comparisons if c.pairs()], tokenizer, context)


def prompts_of(comparisons: Sequence[Comparison]) -> int:
    return len({c.prompt.messages for c in comparisons})


def difference(comparisons: Sequence[Comparison], scores: Scores, other: Scores) -> Figure:
    """By how much more of the pairs the first scores order as ranked than the other; resampled over prompts."""
    more, pairs = defaultdict[Any, float](float), Counter[Any]()
    for each, *rows in zip(comparisons, scores, other, strict=True):
        asked, count = each.prompt.messages, len(each.pairs())
        mine, theirs = (preference.pair_accuracy([each], [row]).value for row in rows)
        more[asked] += (mine - theirs) * count
        pairs[asked] += count
    totals, counts = list(more.values()), list(pairs.values())
    return Figure(sum(totals) / sum(counts), *bootstrap_interval(totals, counts), sum(counts))


def measured(data: Path, folder: Path, tokens: str) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    judged, shown = gather(data, folder)
    arguments = recipe_arguments(data, judged, shown, tokens)
    overrides = arguments[1::2]
    recipe = load_recipe("text", overrides)
    place = folder / "run"
    (place / "comparisons").mkdir(parents=True, exist_ok=True)
    # The split is a function of the comparisons alone, so it is known before anything is trained.
    (folder / "split" / "comparisons").mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "split" / "comparisons" / "comparisons.jsonl", (to_json(c) for c in read_comparisons(judged)))
    train, held_out = split_comparisons(Run(recipe, folder / "split", {}))
    write_shown(shown, train)
    done = command.run(["reward", "text", *arguments, "--dir", str(place)], folder / "log")
    tokenizer, model = Tokenizer.load(place / "reward"), load_scalar_model(place / "reward")
    learned, asked = (seen(each, tokenizer, model.config.context) for each in (train, held_out))
    scores, other = (
        score_comparisons(model, asked, tokenizer, FastPath("cpu", "float32")),
        best_bag(learned).scores(asked),
    )
    return {
        "minutes": done.seconds / 60,
        "peak_gb": done.peak_bytes / 1e9,
        "training_prompts": prompts_of(learned),
        "held_out_prompts": prompts_of(asked),
        "reward_model": preference.pair_accuracy(asked, scores).to_json(),
        "bag_of_words": preference.pair_accuracy(asked, other).to_json(),
        "difference": difference(asked, scores, other).to_json(),
        "longer_wins": preference.pair_accuracy(asked, [[len(a) for a in c.answers] for c in asked]).to_json(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tokens", default="6M", help="that the base reads")
    parser.add_argument("--keep", type=Path, help="keep the run here, and go on with what is finished")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keep = Path(os.path.abspath(arguments.keep or temporary))
        figures = measured(Path(os.path.abspath(arguments.data)), keep, arguments.tokens)
    print(json.dumps(figures, indent=1))
    write_result("preferences", f"python benchmarks/preferences.py DATA --tokens {arguments.tokens}", figures)


if __name__ == "__main__":
    main()

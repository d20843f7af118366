"""A synthetic run directory with every file the report reads, with numbers of a plausible size."""

import json
import math
import random

import pytest
import yaml

from gptwright.evaluate.intervals import proportion
from gptwright.report import render_report

MODELS = ("base", "base_few_shot", "sft", "ppo")
USE_CASES = ("arithmetic", "brainstorming", "chat", "classification", "closed_qa", "extraction", "generation")
USE_CASES += ("open_qa", "rewrite", "summarization")
ACCURACY = {"base": 0.06, "base_few_shot": 0.31, "sft": 0.68, "ppo": 0.79}
WITHOUT_RIGHT_AND_WRONG = ("brainstorming", "chat", "generation")


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_object(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def interval(value, half_width, n):
    return {"value": value, "low": value - half_width, "high": value + half_width, "n": n}


def write_training(run, rng):
    base, sft, reward, ppo = [], [], [], []
    for step in range(10, 2001, 10):
        loss = 1.9 + 5.8 * math.exp(-step / 260) + rng.gauss(0, 0.05)
        base.append({"step": step, "tokens": step * 8192, "loss": loss, "lr": 1e-3})
        if step % 200 == 0:
            held_out = 1.95 + 5.8 * math.exp(-step / 260)
            by_source = {"bits_per_byte/web": held_out / 2.5, "bits_per_byte/books": held_out / 3}
            base.append({"step": step, "validation_loss": held_out, "bits_per_byte": held_out / 2.6, **by_source})
    base[-1] |= {f"final_{name}": base[-1][name] for name in ("validation_loss", "bits_per_byte")}
    for step in range(5, 301, 5):
        sft.append({"step": step, "epoch": step / 100, "loss": 0.5 + 1.6 * math.exp(-step / 60) + rng.gauss(0, 0.03)})
    for epoch, accuracy in enumerate((0.05, 0.52, 0.64, 0.68)):
        gold = {"gold_score": accuracy + 0.08, "accuracy": accuracy}
        sft.append({"step": 100 * epoch, "epoch": epoch, "validation_loss": 0.62 + math.exp(-epoch), **gold})
    for step in range(2, 121, 2):
        accuracy = 0.76 - 0.26 * math.exp(-step / 25)
        reward.append({"step": step, "loss": -math.log(accuracy) + rng.gauss(0, 0.02), "accuracy": accuracy})
        if step % 20 == 0:
            reward.append({"step": step, "validation_accuracy": accuracy - 0.02})
    for step in range(1, 81):
        progress = 1 - math.exp(-step / 25)
        row = {"step": step, "episodes": 64 * step, "reward/score": 1.4 * progress + rng.gauss(0, 0.08)}
        row |= {"reward/mean": row["reward/score"] - 0.2 * progress, "kl/reference": 4.1 * progress}
        row |= {"kl/k3": 4.3 * progress, "entropy": 0.62 - 0.25 * progress, "length/mean": 31 + 5 * progress}
        row |= {"share/stopped": 0.9 + 0.09 * progress, "policy/clip_fraction": 0.07 + rng.gauss(0, 0.01)}
        row |= {"value/explained_variance": 0.75 * progress, "policy/approx_kl": 0.008 + abs(rng.gauss(0, 0.001))}
        ppo.append(row)
        if step % 10 == 0:
            ppo.append({"step": step, "gold_score": 0.76 + 0.08 * progress})
    for stage, rows in (("base", base), ("sft", sft), ("reward", reward), ("ppo", ppo)):
        write_lines(run / stage / "metrics.jsonl", rows)


def write_corpus(run):
    texts = [
        "aqk eo tth",
        "the the of a was",
        "the cat was in a house of the",
        "the cat sat in the house by the river.",
    ]
    samples = [
        {"step": 500 * i, "tokens": 500 * i * 8192, "prompt": "Once there was", "text": f" {text}"}
        for i, text in enumerate(texts)
    ]
    write_lines(run / "base" / "samples.jsonl", samples)
    write_object(
        run / "tokenizer" / "stats.json", {"vocab_size": 4096, "bytes_per_token": 3.71, "words_per_token": 0.74}
    )
    sources = [
        {
            "name": name,
            "share": share,
            "tokens": 16e6 * share,
            "bytes": 60e6 * share,
            "documents": 40_000,
            "epochs": epochs,
        }
        for name, share, epochs in (("stories", 0.67, 1.1), ("encyclopedia", 0.25, 2.45), ("dialogues", 0.08, 1.0))
    ]
    write_object(run / "corpus" / "manifest.json", {"sources": sources})


def reward_model_figures():
    calibration = [{"predicted": p / 10 + 0.05, "observed": 0.1 + 0.08 * p + 0.03, "n": 60 + 9 * p} for p in range(10)]
    edges = [-3 + 0.25 * i for i in range(25)]
    histogram = {
        "edges": edges,
        "chosen": [round(120 * math.exp(-((edge - 0.6) ** 2) / 1.4)) for edge in edges[:-1]],
        "rejected": [round(120 * math.exp(-((edge + 0.5) ** 2) / 1.4)) for edge in edges[:-1]],
    }
    return {
        "accuracy": interval(0.742, 0.014, 3120),
        "ceiling": interval(0.803, 0.012, 3120),
        "agreement": interval(0.721, 0.015, 2950),
        "calibration": calibration,
        "expected_calibration_error": 0.021,
        "length_correlation": 0.17,
        "by_rank_distance": {"1": interval(0.66, 0.02, 1500), "2": interval(0.79, 0.02, 1000)},
        "histogram": histogram,
    }


def panel():
    rows = []
    for i in range(12):
        prompt = f"Question {i}: what is the capital of Arvenia, and how many bridges does it have?"
        answers = {
            "base": {
                "text": "What is the capital of Borland?\nWhat is the capital of",
                "score": 0.05,
                "correct": False,
            },
            "sft": {"text": f"It is Tamsel.\n  It has {i} bridges.", "score": 0.7, "correct": i % 3 > 0},
            "ppo": {"text": f"The capital is Tamsel; it has {i} bridges over the Orne.", "score": 0.9, "correct": True},
        }
        rows.append({"use_case": USE_CASES[i % len(USE_CASES)], "prompt": prompt, "answers": answers})
    rows[1]["answers"]["ppo"] = {"text": "A list:\n- pears\n- a lamp", "score": 0.6, "correct": None}
    return rows


def win(a, b, wins, ties, losses):
    n = wins + ties + losses
    return {"a": a, "b": b, **interval((wins + ties / 2) / n, 0.03, n), "wins": wins, "ties": ties, "losses": losses}


def evaluation(rng):
    accuracy, gold = {}, {}
    for model, level in ACCURACY.items():
        right = {case: min(60, max(0, round(60 * (level + rng.gauss(0, 0.08))))) for case in USE_CASES}
        cases = {case: proportion(n, 60) for case, n in right.items() if case not in WITHOUT_RIGHT_AND_WRONG}
        accuracy[model] = {case: figure.to_json() for case, figure in cases.items()}
        accuracy[model]["all"] = proportion(round(420 * level), 420).to_json()
        gold[model] = {case: interval(0.05 + 0.9 * n / 60, 0.04, 60) for case, n in right.items()}
        gold[model]["all"] = interval(0.05 + 0.9 * level, 0.015, 600)
    stages = [
        ("pretraining", "16.4M tokens of documents", "language modelling", "3.1M parameters, from random", 16.4e6, 372),
        ("supervised finetuning", "6,000 conversations", "language modelling", "from base", 1.2e6, 41),
        ("reward modeling", "4,000 rankings of 4 answers", "binary classification of pairs", "from SFT", 1.6e6, 38),
        (
            "reinforcement learning",
            "5,120 prompts",
            "PPO with a KL penalty",
            "from SFT, judged by the reward model",
            6e5,
            160,
        ),
    ]
    keys = ("stage", "data", "algorithm", "model", "tokens", "seconds")
    shares = [0.842, 0.052, 0.061, 0.045]
    return {
        "models": list(MODELS),
        "temperature": 1.0,
        "accuracy": accuracy,
        "gold": gold,
        "held_out_facts": {model: proportion(round(80 * level), 80).to_json() for model, level in ACCURACY.items()},
        "held_out_phrasings": {"sft": proportion(33, 48).to_json()},
        "win_rates": [
            win("sft", "base_few_shot", 391, 110, 99),
            win("ppo", "sft", 231, 240, 129),
            win("ppo", "base_few_shot", 440, 90, 70),
        ],
        "sampled": {
            "accuracy": {model: {"all": accuracy[model]["all"]} for model in ("sft", "ppo")},
            "gold": {model: {"all": gold[model]["all"]} for model in ("sft", "ppo")},
            "win_rates": [win("ppo", "sft", 200, 250, 150)],
        },
        "bits_per_byte": {"base": 0.751, "sft": 0.803, "ppo": 0.829},
        "entropy": {"base": 1.93, "sft": 0.62, "ppo": 0.37},
        "distinct": {model: {"1": 0.31 - 0.05 * i, "2": 0.74 - 0.08 * i} for i, model in enumerate(MODELS)},
        "self_bleu": {model: 0.21 + 0.09 * i for i, model in enumerate(MODELS)},
        "same_opening": {model: 0.02 + 0.03 * i for i, model in enumerate(MODELS)},
        "kl": {"ppo": {"k1": interval(4.02, 0.31, 600), "k3": 4.21}},
        "base_behaviour": {
            "continues_tasks": proportion(88, 100).to_json(),
            "writes_poem": proportion(71, 100).to_json(),
        },
        "panel": panel(),
        "stages": [
            dict(zip(keys, row, strict=True)) | {"flops": 4.1e14 * share, "share": share}
            for row, share in zip(stages, shares, strict=True)
        ],
    }


def make_run(run):
    rng = random.Random("report")
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(yaml.safe_dump({"name": "quickstart"}), encoding="utf-8")
    write_training(run, rng)
    write_corpus(run)
    write_object(run / "reward" / "figures.json", reward_model_figures())
    write_object(run / "evaluation.json", evaluation(rng))
    return run


@pytest.fixture
def run_dir(tmp_path):
    """A run that the test may change."""
    return make_run(tmp_path / "quickstart")


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory):
    """A run that no test changes."""
    return make_run(tmp_path_factory.mktemp("whole") / "quickstart")


@pytest.fixture(scope="session")
def page(whole_run):
    return render_report(whole_run)

"""The stages of a run and how they are wired: what each reads from the folders before it, and what it leaves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from gptwright import world
from gptwright.data.conversations import read_comparisons
from gptwright.model.folder import load_language_model
from gptwright.model.transformer import LanguageModel, initialise, without_weights
from gptwright.pipeline.data_card import data_card, what_was_cleaned
from gptwright.pipeline.evaluation import evaluate_run
from gptwright.pipeline.judging import collect_comparisons, train_reward
from gptwright.pipeline.practice import practice_stages, round_stages
from gptwright.pipeline.rewards import check_reward_models
from gptwright.pipeline.run import Run, Stage
from gptwright.pipeline.start import find_model, start_model, start_tokenizer
from gptwright.pipeline.text import input_files, text_sources
from gptwright.pipeline.wiring import (
    MEASURE_PROMPTS,
    check_corpus,
    check_drawn,
    check_pretraining,
    finish_model,
    gold_measure,
    model_config,
    open_run_corpus,
    place,
    pretrain_batches,
    split_conversations,
    workspace,
)
from gptwright.recipe import Recipe
from gptwright.records import Comparison
from gptwright.report import write_data_card, write_report
from gptwright.stages.corpus import build_corpus, build_tokenizer
from gptwright.stages.pretrain import measure_untrained, pretrain
from gptwright.stages.sft import SftTrainer, sft
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.progress import say

MIXED_IN_TOKENS = 1_000_000
"""How much of an endless source is written for the stages that mix pretraining text in, where no pretraining is."""


def stages_of(recipe: Recipe) -> list[Stage]:
    """What this recipe asks for, in order."""
    files, start = input_files(recipe), tuple[str, ...]()
    if recipe.pretrain.start is not None:
        start = (str(find_model(recipe.pretrain.start)),)
    fits = partial(check_pretraining, recipe)
    stages = [
        Stage("tokenizer", ("data", "tokenizer", "pretrain.start"), (), _tokenizer, (*files, *start), ranks="first"),
        Stage("corpus", ("data", "model.context", "pretrain.tokens"), ("tokenizer",), _corpus, files, ranks="first"),
        Stage("base", ("model", "pretrain"), ("corpus",), train_base, check=fits, ranks="all"),
    ]
    if recipe.sft:
        chats = recipe.sft.data
        drawn = partial(check_drawn, "sft.demonstrations", "sft", recipe.sft.demonstrations, recipe.seed)
        readable: Callable[[], object] = partial(split_conversations, chats) if chats else drawn
        own = (chats,) if chats else ()
        stages.append(Stage("sft", ("sft", "data.world_seed"), ("base",), _sft, own, readable))
    if recipe.reward:
        ranked = recipe.reward.data
        drawn = partial(check_drawn, "reward.prompts", "reward", recipe.reward.prompts, recipe.seed)
        rankable: Callable[[], object] = partial(_read_comparisons, ranked) if ranked else drawn
        own = (ranked,) if ranked else ()
        asked = ("data", "prompts", "answers", "labellers", "temperature", "max_new_tokens")
        collected = tuple(f"reward.{setting}" for setting in asked)
        stages.append(Stage("comparisons", collected, ("sft",), collect_comparisons, own, rankable))
        stages.append(Stage("reward", ("reward",), ("comparisons",), train_reward))
    stages += [*practice_stages(recipe), *round_stages(recipe)]
    if recipe.evaluate:
        before = tuple(stage.name for stage in stages)
        enough = partial(check_drawn, "evaluate.prompts", "test", recipe.evaluate.prompts, recipe.seed)
        leaves = ("evaluation.json",)
        stages.append(Stage("evaluation", ("evaluate",), before, evaluate_run, check=enough, leaves=leaves))
    before = tuple(stage.name for stage in stages)
    stages.append(Stage("report", (), before, _report, leaves=("report.html",), ranks="first"))
    return stages


def _tokenizer(run: Run) -> None:
    start = run.recipe.pretrain.start
    given = start_tokenizer(start) if start is not None else None
    tokenizer, stats = build_tokenizer(text_sources(run.recipe), run.recipe.tokenizer, given)
    say(f"tokenizer    {tokenizer.vocab_size} tokens, {stats['words_per_token']:.2f} words per token")

    def write(folder: Path) -> None:
        tokenizer.save(folder)
        (folder / "stats.json").write_text(json.dumps(stats, indent=2) + "\n", encoding="utf-8")

    place(run, "tokenizer").finish(write, run.lineage("tokenizer", tokenizer=tokenizer.fingerprint))


def _corpus(run: Run) -> None:
    recipe, tokenizer = run.recipe, Tokenizer.load(run.folder / "tokenizer")
    sources, spot = text_sources(recipe), place(run, "corpus")
    cleaned = what_was_cleaned(recipe)  # before hours of tokenizing, should it be damaged

    def write(folder: Path) -> None:
        manifest = build_corpus(
            sources,
            tokenizer,
            folder,
            tokens=recipe.pretrain.tokens or MIXED_IN_TOKENS,
            held_out=recipe.data.held_out,
            context=recipe.model.context,
            workers=recipe.machine.workers,
            shards=spot.checkpoints / "shards",
        )
        write_data_card(folder, data_card(recipe, manifest, tokenizer.vocab_size, cleaned))

    spot.finish(write, run.lineage("corpus", tokenizer=tokenizer.fingerprint))


def train_base(run: Run, stage: str = "base") -> None:
    """Pretrain the recipe's model into the folder `stage`."""
    check_corpus(run)
    check_reward_models(run)
    recipe, tokenizer = run.recipe, Tokenizer.load(run.folder / "tokenizer")
    config = model_config(recipe, tokenizer.vocab_size)
    corpus = open_run_corpus(run)
    say(f"{stage:<12} {config.parameter_count():,} parameters, {recipe.pretrain.tokens:,} tokens")
    spot = workspace(run, stage)
    torch.manual_seed(recipe.seed)
    parent = {} if recipe.pretrain.start is None else {"parent": recipe.pretrain.start}
    model = without_weights(config)  # rank 0 alone needs them: the others get theirs, or their slices, from it

    def begin() -> None:
        nonlocal model
        if recipe.pretrain.start is not None:
            model = start_model(recipe, recipe.pretrain.start, tokenizer)
        else:
            model = LanguageModel(config)
            initialise(model, recipe.seed)

    run.ranks.of_first(begin)
    if recipe.pretrain.tokens:
        result = pretrain(model, tokenizer, corpus, recipe.pretrain, spot)
    else:
        result = measure_untrained(model, tokenizer, corpus, spot)
    flops = config.flops_per_token(config.context) * result.tokens
    figures = {**parent, **dataclasses.asdict(result)}
    run.ranks.of_first(lambda: finish_model(run, spot, model, tokenizer, base=True, flops=flops, **figures))


def _sft(run: Run) -> None:
    settings = run.recipe.sft
    assert settings is not None  # the stage exists only with its section
    tokenizer, model = Tokenizer.load(run.folder / "base"), load_language_model(run.folder / "base")
    spot, measure = workspace(run, "sft"), None
    if settings.data is None:
        train = world.demonstrations("sft", settings.demonstrations, seed=run.recipe.seed)
        validation = world.demonstrations("validation", MEASURE_PROMPTS, seed=run.recipe.seed)
        measure = gold_measure(run, tokenizer)
    else:
        train, validation = split_conversations(settings.data)
    trainer = SftTrainer(model, tokenizer, train, validation, pretrain_batches(run), settings, spot)
    result = sft(trainer, measure)
    flops = model.config.flops_per_token(model.config.context) * result.tokens
    finish_model(run, spot, model, tokenizer, flops=flops, **dataclasses.asdict(result))


def _read_comparisons(path: str) -> list[Comparison]:
    return list(read_comparisons(path))


def _report(run: Run) -> None:
    write_report(run.folder)
    place(run, "report").finish(lambda folder: None, run.lineage("report"))

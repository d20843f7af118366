"""The model that a run goes on from: found, checked before anything is spent, and made ready to learn more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.continuing import regrown, stretched
from gptwright.model.folder import load_language_model, read_language_config
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import Recipe
from gptwright.tokenizer.adopted import end_of_ids, grown_rows
from gptwright.tokenizer.tokenizer import Tokenizer


def find_model(name: str) -> Path:
    """A folder as it is, or 'RUN:STAGE'. Raises InputError when neither is there."""
    path = Path(name)
    run, colon, stage = name.rpartition(":")
    if not path.is_dir() and colon and Path(run).is_dir():
        path = Path(run) / stage
        if not path.is_dir():
            there = sorted(file.parent.name for file in Path(run).glob("*/config.json"))
            raise InputError(f"run {run} has no stage {stage!r}: it has {', '.join(there) or 'no model yet'}")
    if not path.is_dir():
        raise InputError(
            f"model folder {name} does not exist: give a folder, or a run's stage such as runs/quickstart:sft"
        )
    return path


def start_tokenizer(start: str) -> Tokenizer:
    """The tokenizer that comes with the model. Raises InputError when none does, or one that can't be used."""
    folder = find_model(start)
    return Tokenizer.taken_along(folder, read_language_config(folder).vocab_size)


def start_config(recipe: Recipe, start: str) -> ModelConfig:
    """The model's shape with the recipe's context and rows for our marks. Raises InputError where that can't be."""
    folder, scaling = find_model(start), recipe.model.rope_scaling
    config = read_language_config(folder)
    try:
        if scaling is None:
            config = stretched(config, recipe.model.context)
        else:
            config = stretched(config, recipe.model.context, scaling.kind, scaling.factor)
    except ValueError as error:
        raise InputError(f"pretrain.start {start} cannot be gone on from: {error}") from None
    return replace(config, vocab_size=grown_rows(folder, config.vocab_size))


def start_model(recipe: Recipe, start: str, tokenizer: Tokenizer) -> LanguageModel:
    """The model itself, stretched and grown."""
    folder = find_model(start)
    model = load_language_model(folder)
    end = end_of_ids(folder)
    return regrown(
        model,
        start_config(recipe, start),
        known=min(end, model.config.vocab_size),
        new_ids=[token for token in tokenizer.special_ids.values() if token >= end],
    )

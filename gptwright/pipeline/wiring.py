"""What the wired stages share: a stage's place in the run, the model's sizes, the corpus, the split of comparisons,
what is measured on the way, the folder of a model.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from gptwright import launch, world
from gptwright.data.conversations import read_comparisons, read_conversations
from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.folder import save_model
from gptwright.model.transformer import LanguageModel, ScalarModel
from gptwright.pipeline.run import Run
from gptwright.pipeline.start import start_config, start_tokenizer
from gptwright.recipe import Recipe, nth
from gptwright.records import Comparison, Conversation, Message
from gptwright.stages.answers import answer_text, sample_answers, that_fit
from gptwright.stages.corpus import Corpus, open_corpus
from gptwright.stages.pretrain import rows_of_rank
from gptwright.stages.sft import Measure, PretrainBatch
from gptwright.stages.workspace import Workspace
from gptwright.tasks import world as world_task
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath, choose
from gptwright.train.machine import check_machine
from gptwright.world import Pool

MEASURE_PROMPTS = 200
"""Validation prompts that are answered while a stage trains."""
FIGURES = "figures.json"
"""In a reward model's folder: how good it is, for the report."""


def model_config(recipe: Recipe, vocab_size: int) -> ModelConfig:
    """The recipe's model with its derived sizes filled in, or the one it goes on from, whose vocabulary is its own.

    Raises InputError when they don't fit together.
    """
    if recipe.pretrain.start is not None:
        return start_config(recipe, recipe.pretrain.start)
    given = recipe.model
    if given.head_dim is None and given.width % given.heads:
        raise InputError(f"model.width ({given.width}) must be a multiple of model.heads ({given.heads})")
    try:
        return ModelConfig(
            vocab_size=vocab_size,
            context=given.context,
            width=given.width,
            layers=given.layers,
            heads=given.heads,
            kv_heads=given.kv_heads or given.heads,
            head_dim=given.head_dim or given.width // given.heads,
            hidden=given.hidden or -(-given.width * 8 // 3 // 32) * 32,
            rope_theta=given.rope_theta,
            qk_norm=given.qk_norm,
            tied=given.tied,
        )
    except ValueError as error:
        raise InputError(str(error)) from error


def check_pretraining(recipe: Recipe) -> None:
    """Refuse a model or a training that cannot be here, before the corpus is written. Raises InputError."""
    check_machine(recipe.machine)
    if recipe.pretrain.start is not None:
        start_tokenizer(recipe.pretrain.start)
    model_config(recipe, recipe.tokenizer.most_tokens)
    rows_of_rank(recipe.pretrain, launch.world_size())
    step = recipe.pretrain.batch_rows * recipe.model.context
    if 0 < recipe.pretrain.tokens < step:
        raise InputError(
            f"pretrain.tokens ({recipe.pretrain.tokens}) is less than one step of pretrain.batch_rows x model.context "
            f"({step} tokens): raise it"
        )
    if recipe.data.finish is not None and not 0 < finish_step(recipe) < recipe.pretrain.tokens // step:
        raise InputError(
            f"data.finish.share_of_tokens ({recipe.data.finish.share_of_tokens}) of {recipe.pretrain.tokens // step} "
            "steps leaves one of the two phases without any: change it, or raise pretrain.tokens"
        )


def finish_step(recipe: Recipe) -> int:
    """The step at which the finishing mixture begins; the rate of a stable-decay schedule falls from there."""
    assert recipe.data.finish is not None  # asked only where there is one
    steps = recipe.pretrain.tokens // (recipe.pretrain.batch_rows * recipe.model.context)
    return steps - round(recipe.data.finish.share_of_tokens * steps)


def workspace(run: Run, stage: str) -> Workspace:
    """A stage's place in the run. Stages that train use the measured fast path, the others run eagerly."""
    recipe = run.recipe
    tokenizer = Tokenizer.load(run.folder / "tokenizer")
    size = run.ranks.size
    rows = recipe.pretrain.micro_rows or max(1, recipe.pretrain.batch_rows // size)
    config = model_config(recipe, tokenizer.vocab_size)
    path = run.ranks.of_first(
        lambda: choose(run.folder, config, recipe.machine, rows=rows, tokens=recipe.pretrain.tokens // size)
    )
    if stage in ("comparisons", "evaluation"):
        path = path.eager()
    return Workspace(run.folder, stage, recipe.seed, recipe.machine, path, run.ranks)


def place(run: Run, stage: str) -> Workspace:
    """A workspace for stages without a model."""
    return Workspace(run.folder, stage, run.recipe.seed, run.recipe.machine, FastPath("cpu", "float32"))


def check_corpus(run: Run) -> None:
    """Under torchrun every rank must see the same corpus. Raises InputError on one that does not."""
    if run.ranks.size > 1:
        digest = hashlib.sha256()
        for file in sorted((run.folder / "corpus").glob("*.json")):  # the manifest, and each shard's checksum
            digest.update(file.read_bytes())
        run.ranks.check_same({"corpus": digest.hexdigest()[:16]})


def open_run_corpus(run: Run) -> Corpus:
    recipe = run.recipe
    finish_row = finish_step(recipe) * recipe.pretrain.batch_rows if recipe.data.finish else None
    opening = Tokenizer.load(run.folder / "tokenizer").opening if recipe.pretrain.isolate else None
    return open_corpus(
        run.folder / "corpus",
        context=recipe.model.context,
        seed=recipe.seed,
        finish_row=finish_row,
        opening=opening,
    )


Chat = tuple[Message, ...]


def opening(chat: Chat) -> Chat:
    """Up to the user's first turn."""
    first = next((i for i, message in enumerate(chat) if message.role == "user"), len(chat))
    return chat[: first + 1]


def set_aside(chats: Iterable[Chat], every: int) -> set[Chat]:
    """Every so many conversations, in order, with those that begin alike: one may go on from an answer that the other
    ranks. A beginning that more than every so many have stays; where all begin alike, whole conversations count.
    """
    different = list(dict.fromkeys(chats))
    ways: tuple[Callable[[Chat], Chat], ...] = (opening, tuple)
    for begun in ways:
        alike = Counter(map(begun, different))
        rare = [beginning for beginning, count in alike.items() if count <= max(1, len(different) // every)]
        if len(rare) > 1:
            aside = set(rare[::every])
            return {chat for chat in different if begun(chat) in aside}
    return set()


def split_comparisons(run: Run, number: int = 1) -> tuple[list[Comparison], list[Comparison]]:
    """A round's (train, held out), apart by how the conversation begins: pairs of one prompt often come without a
    common name. What new labellers say is never trained on. Raises InputError when they are all new.
    """
    settings = run.recipe.reward
    assert settings is not None
    rounds = [_compared(run, each) for each in range(1, number + 1)]
    compared, held_out = rounds[-1], held_out_of(rounds, max(2, round(1 / settings.held_out)))
    # Of the first round: a rubric's judge, or whoever comes later, is learned from.
    new = new_labellers(rounds[0], settings.new_labellers)
    train = [c for c in compared if c.prompt.messages not in held_out and c.labeller not in new]
    return train, [c for c in compared if c.prompt.messages in held_out]


def _compared(run: Run, number: int) -> list[Comparison]:
    return list(read_comparisons(run.folder / nth("comparisons", number) / "comparisons.jsonl"))


def held_out_of(rounds: Sequence[Sequence[Comparison]], every: int) -> set[Chat]:
    """Every so many of the conversations that each round adds, in the order of their names. What a round has held out
    stays so in all later ones, whose reward models are measured on it too, and so does what it has learned from.
    """
    aside, known = set[Chat](), set[Chat]()
    for compared in rounds:
        names: dict[Chat, str] = {}
        for prompt in (comparison.prompt for comparison in compared):
            names[prompt.messages] = min(prompt.id, names.get(prompt.messages, prompt.id))
        held, learned = set(map(opening, aside)), set(map(opening, known - aside))
        added = [chat for chat in sorted(names, key=names.__getitem__) if chat not in known]
        # A beginning on both sides says nothing: there whole conversations count.
        fresh = [chat for chat in added if (opening(chat) in held) == (opening(chat) in learned)]
        aside |= {chat for chat in added if opening(chat) in held - learned} | set_aside(fresh, every)
        known |= names.keys()
    return aside


def new_labellers(compared: Sequence[Comparison], count: int) -> set[str]:
    """The last `count` of them by name."""
    names = sorted({comparison.labeller for comparison in compared})
    if count >= len(names):
        raise InputError(
            f"reward.new_labellers ({count}) leaves none of {len(names)} labellers to learn from: lower it, or have "
            "more people rank (reward.labellers)"
        )
    return set(names[len(names) - count :])


def split_conversations(path: str) -> tuple[list[Conversation], list[Conversation]]:
    """Every twentieth conversation is held out."""
    conversations = list(read_conversations(path))
    if len(conversations) < 2:
        raise InputError(
            f"{path} has {len(conversations)} conversation: give at least 2, one to train and one to hold out"
        )
    held_out = conversations[::20]
    return [c for i, c in enumerate(conversations) if i % 20], held_out


def finish_model(
    run: Run,
    spot: Workspace,
    model: LanguageModel | ScalarModel,
    tokenizer: Tokenizer,
    *,
    report: dict[str, Any] | None = None,
    base: bool = False,
    **figures: Any,
) -> None:
    """Write weights and tokenizer as one Hugging Face folder with its lineage, and what is told of the model.

    What it writes ends with a turn or a document, and first is named what it was trained to end, which tells a `base`
    model from an assistant.
    """
    ends = [tokenizer.end_of_turn, tokenizer.document_end]
    eos, other = reversed(ends) if base else ends

    def write(folder: Path) -> None:
        save_model(model, folder, eos=eos, pad=tokenizer.pad, ends=(other,))
        tokenizer.save(folder)
        if report is not None:
            (folder / FIGURES).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    lineage = run.lineage(
        spot.stage, tokenizer=tokenizer.fingerprint, parameters=model.config.parameter_count(), **figures
    )
    spot.finish(write, lineage)


def check_drawn(setting: str, pool: Pool, count: int, seed: int) -> None:
    """Before the stages ahead spend hours: raises InputError, naming the setting, where the world has fewer prompts."""
    try:
        world.prompts(pool, count, seed=seed)
    except InputError as error:
        raise InputError(f"{setting}: {error}") from None


def gold_measure(run: Run, tokenizer: Tokenizer, max_new_tokens: int = 80) -> Measure:
    """Accuracy and gold score on the validation pool, at temperature 1."""
    prompts = world.prompts("validation", MEASURE_PROMPTS, seed=run.recipe.seed)
    prompts = that_fit(prompts, tokenizer, run.recipe.model.context)

    def measure(model: LanguageModel) -> dict[str, float]:
        sampled = sample_answers(
            model,
            tokenizer,
            prompts,
            seed=run.recipe.seed,
            temperature=1.0,
            max_new_tokens=max_new_tokens,
            ranks=run.ranks,
        )
        return world_task.figures(prompts, [answer_text(each[0], tokenizer) for each in sampled])

    return measure


def pretrain_batches(run: Run) -> PretrainBatch:
    """Rows of the pretraining mixture, for the stages that mix them in."""
    corpus = open_run_corpus(run)

    def batch(index: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = corpus.rows.batch(index, rows)
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    return batch

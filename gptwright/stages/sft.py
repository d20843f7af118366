"""Supervised finetuning: the same next-token loss as pretraining, on demonstrations, counted on the assistant's words
only.

Conversations are rendered once to ids and mask; the end of each assistant turn is supervised, so that the model learns
to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gptwright.errors import InputError
from gptwright.losses.language import language_loss
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import SftSettings
from gptwright.records import Conversation
from gptwright.stages.scoring import MICRO_TOKENS
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.chat import Rendered, render
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.batches import batch_indices, length_buckets, pad_right
from gptwright.train.checkpoint import Trainee
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, gradient_step

Measure = Callable[[LanguageModel], Metrics]
"""Figures of a model on held-out prompts, handed in by whoever wires the stages."""


@dataclass(frozen=True)
class SftResult:
    """What finetuning spent and where it ended."""

    seconds: float
    tokens: int
    validation_loss: float


def render_all(conversations: Sequence[Conversation], tokenizer: Tokenizer, context: int) -> list[Rendered]:
    """Ids and masks; conversations longer than the context are left out and counted, never cut (a cut one would not
    end).

    Raises InputError when nothing is left, or when under 99% of the kept ones end in a supervised end of turn.
    """
    rendered = [render(conversation.messages, tokenizer) for conversation in conversations]
    kept = [row for row in rendered if len(row.ids) <= context and any(row.mask)]
    if len(kept) < len(rendered):
        say(
            f"sft          left out {len(rendered) - len(kept)} of {len(rendered)} conversations: too long or no answer"
        )
    if not kept:
        raise InputError(
            f"none of the {len(rendered)} conversations can be learned from: each needs an assistant turn and at most "
            f"{context} tokens; raise model.context or shorten them"
        )
    ending = sum(row.ids[-1] == tokenizer.end_of_turn and row.mask[-1] == 1 for row in kept) / len(kept)
    if ending < 0.99:
        raise InputError(
            f"only {ending:.0%} of the conversations end with an assistant turn: the model would not learn to stop; "
            "remove trailing user turns"
        )
    return kept


def sft(
    model: LanguageModel,
    tokenizer: Tokenizer,
    train: Sequence[Conversation],
    validation: Sequence[Conversation],
    settings: SftSettings,
    workspace: Workspace,
    measure: Measure | None = None,
) -> SftResult:
    """Finetune `model` in place. Logs loss per step, and per epoch validation loss and what `measure` gives."""
    context, device = model.config.context, workspace.path.device
    rows = render_all(train, tokenizer, context)
    held_out = render_all(validation, tokenizer, context)
    _show_sample(rows[0], tokenizer, rows)
    model.to(device)
    optimizers = Optimizers(model, settings.optimizer)
    trainee = Trainee({"model": model}, {"model": optimizers})
    per_epoch = -(-len(rows) // settings.batch_conversations)
    total, log, skips = per_epoch * settings.epochs, workspace.log(), SkipCounter()
    last_validation = float("nan")

    def before_step(step: int) -> None:
        nonlocal last_validation
        if step % per_epoch:
            return
        last_validation = validation_loss(model, held_out, tokenizer.pad, workspace)
        figures = {"step": step, "epoch": step // per_epoch, "validation_loss": last_validation}
        log.metrics(figures | (measure(model) if measure else {}))

    def do_step(step: int) -> Metrics:
        lr = optimizers.set_rate(step, total)
        batch = [rows[i] for i in batch_indices(len(rows), settings.batch_conversations, workspace.seed, step)]
        count = sum(sum(row.mask[1:]) for row in batch)
        buckets = length_buckets([len(row.ids) for row in batch], MICRO_TOKENS)
        micro = [[batch[i] for i in bucket] for bucket in buckets]
        result = gradient_step(
            optimizers, [partial(masked_loss, model, part, tokenizer.pad, count, workspace) for part in micro]
        )
        skips.see(result, step)
        return {"epoch": (step + 1) / per_epoch, "loss": result.loss, "lr": lr, "grad_norm": result.grad_norm}

    seconds = run_loop(
        "sft",
        trainee,
        do_step,
        total=total,
        folder=workspace.checkpoints,
        log=log,
        checkpoint_seconds=workspace.machine.checkpoint_seconds,
        before_step=before_step,
        note=lambda metrics: f"loss {metrics['loss']:.3f}",
    )
    return SftResult(seconds, settings.epochs * sum(len(row.ids) for row in rows), last_validation)


def masked_loss(model: LanguageModel, rows: Sequence[Rendered], pad: int, count: float, workspace: Workspace) -> Tensor:
    """Summed loss on supervised tokens over `count`, the number of them in the whole step."""
    ids_BT, _ = pad_right([row.ids for row in rows], pad)
    mask_BT, _ = pad_right([row.mask for row in rows], 0)
    ids_BT, mask_BT = ids_BT.to(workspace.path.device), mask_BT.bool().to(workspace.path.device)
    with workspace.path.autocast():
        return language_loss(model(ids_BT[:, :-1]), ids_BT[:, 1:], mask_BT[:, 1:], count)


@torch.no_grad()
def validation_loss(model: LanguageModel, rows: Sequence[Rendered], pad: int, workspace: Workspace) -> float:
    """Mean loss per supervised token of held-out conversations, in nats."""
    count = float(sum(sum(row.mask[1:]) for row in rows))
    buckets = length_buckets([len(row.ids) for row in rows], MICRO_TOKENS)
    return sum(float(masked_loss(model, [rows[i] for i in bucket], pad, count, workspace)) for bucket in buckets)


def _show_sample(row: Rendered, tokenizer: Tokenizer, rows: Sequence[Rendered]) -> None:
    """Before hours are spent: one conversation as the model sees it, what is learned in brackets."""
    shown, inside = "", False
    for token, supervised in zip(row.ids, row.mask, strict=True):
        if bool(supervised) != inside:
            shown += "[[" if supervised else "]]"
            inside = bool(supervised)
        shown += tokenizer.decode([token])
    supervised_share = sum(sum(r.mask) for r in rows) / sum(len(r.ids) for r in rows)
    say(f"sft          {len(rows)} conversations, {supervised_share:.0%} of tokens supervised [[so]]; the first:")
    say("             " + (shown + ("]]" if inside else "")).replace("\n", "\\n"))

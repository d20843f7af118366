"""Supervised finetuning: the same next-token loss as pretraining, on demonstrations, counted on the assistant's words
only.

Conversations are rendered once to ids and mask; the end of each assistant turn is supervised, so that the model learns
to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from gptwright.errors import InputError
from gptwright.lanes import Lanes
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import SftSettings
from gptwright.records import Conversation
from gptwright.stages.packing import pack
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.chat import Rendered, render
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.batches import epoch_order
from gptwright.train.checkpoint import Trainee
from gptwright.train.fast_path import packed_loss
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, gradient_step

Measure = Callable[[LanguageModel], Metrics]
"""Figures of a model on held-out prompts, handed in by whoever wires the stages."""
PretrainBatch = Callable[[int, int], tuple[Tensor, Tensor]]
"""(index of the batch, rows) -> inputs and targets (rows, T) of pretraining text."""
VALIDATION_ROWS = 16
LANE_ROWS = 8
"""Rows from which a lane is worth having: two of nine rows take 14% less time than all at once, two of five as long."""


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


class SftTrainer:
    """A language model in finetuning; `model` is trained in place."""

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        train: Sequence[Conversation],
        validation: Sequence[Conversation],
        pretrain_batch: PretrainBatch,
        settings: SftSettings,
        workspace: Workspace,
    ) -> None:
        context = model.config.context
        rendered = render_all(train, tokenizer, context)
        _show_sample(rendered[0], tokenizer, rendered)
        self.model, self.settings, self.workspace = model.to(workspace.path.device), settings, workspace
        self.rows = pack(rendered, context, tokenizer.pad)
        self.validation = pack(render_all(validation, tokenizer, context), context, tokenizer.pad)
        self.pretrain_batch = pretrain_batch
        self.loss_of = packed_loss(model, workspace.path)
        self.optimizers = Optimizers(model, settings.optimizer)
        lanes, rows = workspace.path.lanes, settings.batch_rows + settings.pretrain_rows
        self.lanes = Lanes(lanes if rows % lanes == 0 and rows >= lanes * LANE_ROWS else 1)
        # Every step has the same shape: the rows that don't fill a last batch wait for the next epoch's order.
        self.per_epoch = max(1, len(self.rows) // settings.batch_rows)
        self.total = self.per_epoch * settings.epochs
        self.log, self.validation_loss, self.counters = workspace.log(), float("nan"), dict[str, float]()
        self.skips = SkipCounter(self.counters)

    def step(self, step: int) -> Metrics:
        """One optimizer step on packed conversations and, beside them, rows of pretraining text."""
        rates = self.optimizers.set_rate(step, self.total)
        epoch, position = divmod(step, self.per_epoch)
        order = epoch_order(len(self.rows), self.workspace.seed, epoch)
        size = self.settings.batch_rows
        batch = self.rows.pick([int(i) for i in order[position * size : (position + 1) * size]])
        weight_BT = batch.weight_RT / batch.weight_RT.sum()
        parts = [batch.ids_RT, batch.target_RT, weight_BT, batch.segment_RT]
        if self.settings.pretrain_rows:
            ids, targets = self.pretrain_batch(step, self.settings.pretrain_rows)
            weight = torch.full(ids.shape, self.settings.pretrain_weight / ids.numel())
            beside = [ids, targets, weight, torch.zeros_like(ids)]
            parts = [torch.cat(pair) for pair in zip(parts, beside, strict=True)]
        of_lanes = [part.to(self.workspace.path.device).chunk(self.lanes.count) for part in parts]
        losses = [partial(self.loss_of, *fields) for fields in zip(*of_lanes, strict=True)]
        result = gradient_step(self.optimizers, losses, lanes=self.lanes)
        self.skips.see(result, step)
        return {"epoch": (step + 1) / self.per_epoch, "loss": result.loss, **rates, "grad_norm": result.grad_norm}

    @torch.no_grad()
    def validate(self) -> float:
        """Mean loss per supervised token of held-out conversations, in nats."""
        # Uncompiled: another number of rows would be compiled anew.
        loss_of = packed_loss(self.model, replace(self.workspace.path, compiled=False))
        total, rows = 0.0, self.validation
        for start in range(0, len(rows), VALIDATION_ROWS):
            part = rows.pick(range(start, min(start + VALIDATION_ROWS, len(rows))))
            fields = (part.ids_RT, part.target_RT, part.weight_RT, part.segment_RT)
            total += float(loss_of(*(field.to(self.workspace.path.device) for field in fields)))
        return total / float(rows.weight_RT.sum())


def sft(trainer: SftTrainer, measure: Measure | None = None) -> SftResult:
    """Finetune. Logs loss per step, and per epoch validation loss and what `measure` gives."""

    def before_step(step: int) -> None:
        if step % trainer.per_epoch == 0:
            trainer.validation_loss = trainer.validate()
            row = {"step": step, "epoch": step // trainer.per_epoch, "validation_loss": trainer.validation_loss}
            trainer.log.metrics(row | (measure(trainer.model) if measure else {}))

    with trainer.lanes:
        seconds = run_loop(
            "sft",
            Trainee({"model": trainer.model}, {"model": trainer.optimizers}, trainer.counters),
            trainer.step,
            total=trainer.total,
            folder=trainer.workspace.checkpoints,
            log=trainer.log,
            checkpoint_seconds=trainer.workspace.machine.checkpoint_seconds,
            before_step=before_step,
            note=lambda metrics: f"loss {metrics['loss']:.3f}",
        )
    settings = trainer.settings
    rows_per_step = settings.batch_rows + settings.pretrain_rows
    return SftResult(seconds, trainer.total * rows_per_step * trainer.model.config.context, trainer.validation_loss)


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

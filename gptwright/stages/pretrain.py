"""Pretraining: predict the next token of mixed documents, packed into rows of `context` tokens.

Documents follow each other with the end-of-document token between them; a row begins wherever the last one stopped. On
the way: validation loss on held-out documents of every source in their proportions, and samples, as the talk shows
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gptwright.engine.engine import Engine, Request
from gptwright.engine.sampling import SamplingParams
from gptwright.errors import InputError
from gptwright.losses.language import token_logprobs
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import PretrainSettings
from gptwright.stages.corpus import Corpus
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.checkpoint import Trainee
from gptwright.train.fast_path import pretraining_loss
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.progress import say
from gptwright.train.step import SkipCounter, gradient_step

SAMPLE_SHARES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
VALIDATION_ROWS = 96
"""Rows of each source behind a validation loss on the way."""
FINAL_ROWS = 4096
"""Rows of each source behind a final figure: all of a small corpus's held-out text."""
SAMPLE_TOKENS = 40


@dataclass(frozen=True)
class PretrainResult:
    """What pretraining spent and where it ended; `bits_per_byte` is of held-out text."""

    seconds: float
    tokens: int
    validation_loss: float
    bits_per_byte: float


def pretrain(
    model: LanguageModel, tokenizer: Tokenizer, corpus: Corpus, settings: PretrainSettings, workspace: Workspace
) -> PretrainResult:
    """Train `model` in place."""
    context = model.config.context
    total = settings.tokens // (settings.batch_rows * context)
    if total < 1:
        raise InputError(
            f"pretrain.tokens is {settings.tokens}, less than one step "
            f"of {settings.batch_rows} rows of {context} tokens: raise it"
        )
    model.to(workspace.path.device)
    loss_of = pretraining_loss(model, workspace.path)
    optimizers = Optimizers(model, settings.optimizer)
    log, skips = workspace.log(), SkipCounter()
    measured_at = {round(total * i / settings.evaluations) for i in range(settings.evaluations + 1)}
    sampled_at = {round(total * share) for share in SAMPLE_SHARES} if settings.sample_prompts else set()
    last = (float("nan"), float("nan"))
    micro = settings.micro_rows or settings.batch_rows

    def before_step(step: int) -> None:
        nonlocal last
        if step in measured_at:
            rows = FINAL_ROWS if step == total else VALIDATION_ROWS
            last = evaluate_language(model, tokenizer, corpus, workspace, rows)
            log.metrics({"step": step, "validation_loss": last[0], "bits_per_byte": last[1]})
        if step in sampled_at:
            for text in samples(model, tokenizer, settings.sample_prompts, seed=workspace.seed):
                log.write("samples.jsonl", {"step": step, "tokens": step * settings.batch_rows * context, **text})
                say(f"  sample at step {step}: {text['prompt']}|{text['text']}".replace("\n", "\\n"))

    def do_step(step: int) -> Metrics:
        lr = optimizers.set_rate(step, total)
        inputs, targets = corpus.rows.batch(step, settings.batch_rows)
        ids, wanted = (
            torch.from_numpy(inputs).to(workspace.path.device),
            torch.from_numpy(targets).to(workspace.path.device),
        )

        def micro_loss(part: slice) -> Tensor:
            return loss_of(ids[part], wanted[part]) * (micro / settings.batch_rows)

        result = gradient_step(
            optimizers,
            [partial(micro_loss, slice(i, i + micro)) for i in range(0, settings.batch_rows, micro)],
        )
        skips.see(result, step)
        tokens = (step + 1) * settings.batch_rows * context
        return {"tokens": tokens, "loss": result.loss, "lr": lr, "grad_norm": result.grad_norm}

    seconds = run_loop(
        "pretrain",
        Trainee({"model": model}, {"model": optimizers}),
        do_step,
        total=total,
        folder=workspace.checkpoints,
        log=log,
        checkpoint_seconds=workspace.machine.checkpoint_seconds,
        before_step=before_step,
        note=lambda metrics: f"loss {metrics['loss']:.3f}",
    )
    return PretrainResult(seconds, total * settings.batch_rows * context, *last)


@torch.no_grad()
def evaluate_language(
    model: LanguageModel, tokenizer: Tokenizer, corpus: Corpus, workspace: Workspace, max_rows: int = FINAL_ROWS
) -> tuple[float, float]:
    """(nats per token, bits per byte) of at most `max_rows` held-out rows of every source, weighted by their shares."""
    shares = dict(zip(corpus.rows.mixture.names, corpus.rows.mixture.shares, strict=True))
    nats, size, tokens = 0.0, 0.0, 0.0
    for name, share in shares.items():
        loss, text_bytes, count = _source_loss(model, tokenizer, corpus.held_out[name], workspace, max_rows)
        nats += share * loss / count
        size += share * text_bytes / count
        tokens += share
    return nats / tokens, nats / size / float(np.log(2))


def _source_loss(
    model: LanguageModel, tokenizer: Tokenizer, held_out: np.ndarray, workspace: Workspace, max_rows: int
) -> tuple[float, int, int]:
    """Summed loss of one source's first held-out rows, the bytes of text in them, and their tokens."""
    context = model.config.context
    stream = np.asarray(held_out[: max_rows * context + 1], dtype=np.int64)
    rows = max(1, (len(stream) - 1) // context)
    width = min(context, len(stream) - 1)
    inputs = torch.from_numpy(stream[: rows * width].reshape(rows, width)).to(workspace.path.device)
    targets = torch.from_numpy(stream[1 : rows * width + 1].reshape(rows, width)).to(workspace.path.device)
    total = 0.0
    for start in range(0, rows, 16):
        with workspace.path.autocast():
            logits_BTV = model(inputs[start : start + 16])
        total -= float(token_logprobs(logits_BTV, targets[start : start + 16]).sum())
    return total, int(tokenizer.byte_lengths[stream[1 : rows * width + 1]].sum()), rows * width


def samples(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: tuple[str, ...],
    *,
    seed: int,
    max_new_tokens: int = SAMPLE_TOKENS,
) -> list[dict[str, str]]:
    """Each prompt as the start of a new document, continued until its end or the limit."""
    requests = [
        Request(
            [tokenizer.document_end, *tokenizer.encode(prompt)],
            SamplingParams(min(max_new_tokens, model.config.context // 2), 0.8, seed=seed + i),
        )
        for i, prompt in enumerate(prompts)
    ]
    completions = Engine(model, stop_ids={tokenizer.document_end}).generate(requests)
    return [
        {"prompt": prompt, "text": tokenizer.decode(completion.ids, skip_special=True)}
        for prompt, completion in zip(prompts, completions, strict=True)
    ]

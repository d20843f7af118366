"""Pretraining: predict the next token of mixed documents, packed into rows of `context` tokens.

Documents follow each other with the end-of-document token between them; a row begins wherever the last one stopped. On
the way: validation loss on held-out documents of every source in their proportions, and samples, as the talk shows
them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.errors import InputError
from gptwright.lanes import Lanes, side_by_side
from gptwright.losses.language import token_logprobs
from gptwright.model.attention import within_documents
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import PretrainSettings
from gptwright.stages.corpus import Corpus
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.average import move_average, rising_decay
from gptwright.train.batches import Prefetch
from gptwright.train.checkpoint import Trainee
from gptwright.train.fast_path import LOGITS_BYTES, pretraining_loss
from gptwright.train.float8 import use_float8
from gptwright.train.loop import Metrics, run_loop
from gptwright.train.optimizers import Optimizers
from gptwright.train.parallel import DataParallel
from gptwright.train.progress import say
from gptwright.train.room import device_memory, rows_at_once
from gptwright.train.speed import Speed, matmul_limit
from gptwright.train.spikes import SpikeWatch
from gptwright.train.step import SkipCounter, gradient_step

SAMPLE_SHARES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
VALIDATION_ROWS = 16
"""Rows of each source behind a validation loss on the way."""
FINAL_ROWS = 4096
"""Rows of each source behind a final figure: all of a small corpus's held-out text."""
READ_ROWS, READ_TOKENS = 8, 8192
"""What is measured together, at most."""
SAMPLE_TOKENS = 40
LOOKED_THROUGH = 100_000
OPENINGS, OPENING_TOKENS = 3, 8
"""How many held-out documents are continued where no prompts are given, and from how many tokens."""


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
    """Train `model` in place; with several ranks all call this together, and rank 0's `model` is the result. Those of
    the others may be on the meta device, without weights.
    """
    trainer = _Pretrainer(model, tokenizer, corpus, settings, workspace)
    with trainer.lanes:
        seconds = run_loop(
            "pretrain",
            trainer.trainee,
            trainer.step,
            total=trainer.total,
            folder=workspace.checkpoints,
            log=trainer.log,
            checkpoint_seconds=workspace.machine.checkpoint_seconds,
            before_step=trainer.before_step,
            note=lambda metrics: f"loss {metrics['loss']:.3f}, {trainer.speed}",
            ranks=workspace.ranks,
        )
    final = trainer.parallel.whole(trainer.best)
    if final is not model and not model.lm_head.weight.is_meta:
        model.load_state_dict(final.state_dict())
    tokens, last = trainer.total * trainer.tokens_per_step, trainer.last
    return PretrainResult(seconds, tokens, last.loss, last.bits_per_byte)


class HeldOut(NamedTuple):
    """Of held-out text: nats per token and bits per byte of the mixture, and bits per byte of each source."""

    loss: float
    bits_per_byte: float
    sources: dict[str, float]

    def named(self) -> dict[str, float]:
        """As metrics.jsonl has them."""
        by_source = {f"bits_per_byte/{name}": bits for name, bits in self.sources.items()}
        return {"validation_loss": self.loss, "bits_per_byte": self.bits_per_byte, **by_source}


def measure_untrained(
    model: LanguageModel, tokenizer: Tokenizer, corpus: Corpus, workspace: Workspace
) -> PretrainResult:
    """What pretraining leaves when a model is taken as it is: its figures on held-out text."""
    found = workspace.ranks.of_first(
        lambda: evaluate_language(model.to(workspace.path.device), tokenizer, corpus, workspace)
    )
    final = {f"final_{name}": figure for name, figure in found.named().items()}
    workspace.log().metrics({"step": 0, **found.named(), **final})
    return PretrainResult(0.0, 0, found.loss, found.bits_per_byte)


class _Pretrainer:
    """A model in pretraining: what happens at a step, and what is looked at before some of them."""

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        corpus: Corpus,
        settings: PretrainSettings,
        workspace: Workspace,
    ) -> None:
        self.tokenizer, self.corpus = tokenizer, corpus
        self.settings, self.workspace = settings, workspace
        self.tokens_per_step = settings.batch_rows * model.config.context
        self.total = settings.tokens // self.tokens_per_step
        if self.total < 1:
            raise InputError(
                f"pretrain.tokens is {settings.tokens}, less than one step "
                f"of {settings.batch_rows} rows of {model.config.context} tokens: raise it"
            )
        machine, ranks, device = workspace.machine, workspace.ranks, workspace.path.device
        loss_for = partial(
            pretraining_loss,
            path=workspace.path,
            z_weight=settings.z_loss,
            recompute=machine.recompute,
            opening=corpus.opening,
        )
        self.ranks, self.rows = ranks, rows_of_rank(settings, ranks.size)
        self.parallel = DataParallel(
            model,
            loss_for,
            ranks,
            device=device,
            shard=machine.shard,
            average=settings.ema > 0,
            prepare=partial(use_float8, device=device) if machine.float8 else lambda model: None,
        )
        self.config = model.config
        self.optimizers = Optimizers(self.parallel.learner, settings.optimizer)
        self.average = self.parallel.average
        self.best = self.parallel.learner if self.average is None else self.average
        self.trainee = Trainee({"model": self.parallel.learner}, {"model": self.optimizers})
        if self.average is not None:
            self.trainee.modules["average"] = self.average
        # A stored path may come from another number of rows, which lanes shared out evenly.
        lanes = workspace.path.lanes
        self.lanes = Lanes(lanes if ranks.size == 1 and self.rows % lanes == 0 else 1)
        self.micro_rows = f"micro_rows/{ranks.size}"
        self.trainee.counters[self.micro_rows] = settings.micro_rows or self._rows_at_once()
        self.log, self.skips = workspace.log(), SkipCounter(self.trainee.counters)
        self.spikes = SpikeWatch(self.log, self.trainee.counters)
        flops = model.config.flops_per_token(model.config.context)
        self.speed = Speed(self.tokens_per_step, flops, ranks.size * matmul_limit(workspace.path))
        # A batch is cut into one slice of `rows` for each rank.
        self.batch = Prefetch(lambda step: corpus.rows.batch(step * ranks.size + ranks.rank, self.rows))
        self.measured_at = {round(self.total * i / settings.evaluations) for i in range(settings.evaluations + 1)}
        given = settings.sample_prompts
        self.prompts = openings(corpus, tokenizer, model.config.context) if given is None else given
        shares = SAMPLE_SHARES if self.prompts else ()
        self.sampled_at = {round(self.total * share) for share in shares}
        self.last = HeldOut(float("nan"), float("nan"), {})

    def _rows_at_once(self) -> int:
        """As many on each rank, since unlike machines must take the same steps. A checkpoint brings its own number, so
        that a run that goes on where there is more memory ends at the same bits; with other ranks it is found anew.
        """
        fitting = rows_at_once(
            self.config,
            self.rows,
            device_memory(self.workspace.path.device),
            self.workspace.path,
            recompute=self.workspace.machine.recompute,
            lanes=self.lanes.count,
            shards=self.ranks.size if self.parallel.sharded else 1,
            average=self.settings.ema > 0,
        )
        return min(self.ranks.gather(fitting))

    def step(self, step: int) -> Metrics:
        """One optimizer step; its rows go through in micro-batches whose losses add up to their mean."""
        settings, device, started = self.settings, self.workspace.path.device, time.perf_counter()
        rates = self.optimizers.set_rate(step, self.total)
        self.parallel.begin_step()
        inputs, targets = self.batch(step)
        ids, wanted = torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
        micro = settings.micro_rows or int(self.trainee.counters[self.micro_rows])

        def micro_loss(part: slice) -> Tensor:
            return self.parallel.loss_of(ids[part], wanted[part]) * (micro / settings.batch_rows)

        parts = [slice(start, start + micro) for start in range(0, self.rows, micro)]
        losses = [partial(micro_loss, part) for part in parts]
        # An odd part would have a lane's few threads, and the others none.
        lanes = self.lanes if len(parts) % self.lanes.count == 0 else None
        result = gradient_step(self.optimizers, losses, self.parallel.combine, lanes)
        self.spikes.see(step, result.loss, lambda: np.concatenate(self.ranks.gather(inputs)), skipped=result.skipped)
        self.skips.see(result, step)
        if self.average is not None:
            move_average(self.average, self.parallel.learner, rising_decay(settings.ema, step))
        self.speed.see(time.perf_counter() - started)
        tokens = (step + 1) * self.tokens_per_step
        return {"tokens": tokens, "loss": result.loss, **rates, "grad_norm": result.grad_norm}

    def before_step(self, step: int) -> None:
        """Validation loss and samples, at their steps; of several ranks the first writes them down."""
        if step in self.measured_at:
            self._measure(step)
        if step in self.sampled_at:
            self._sample(step)

    def _measure(self, step: int) -> None:
        """A point of the curves, all on the same rows; at the end also the figures on many more."""

        def held_out(most_rows: int) -> HeldOut:
            alone = self.parallel.sharded  # slices are gathered for one reader at a time
            return self.parallel.look(
                self.best,
                lambda model: evaluate_language(
                    model, self.tokenizer, self.corpus, self.workspace, most_rows, one_by_one=alone
                ),
            )

        figures = held_out(VALIDATION_ROWS).named()
        if step == self.total:
            self.last = held_out(FINAL_ROWS)
            figures |= {f"final_{name}": figure for name, figure in self.last.named().items()}
        self.log.metrics({"step": step, **figures})
        self.log.write("speed.jsonl", {"step": step, **self.speed.figures()})  # apart: no two runs have the same

    def _sample(self, step: int) -> None:
        found = self.parallel.look(
            self.parallel.learner,
            lambda model: samples(
                model, self.tokenizer, self.prompts, seed=self.workspace.seed, together=self.parallel.sharded
            ),
        )
        for text in found if self.ranks.first else ():
            self.log.write("samples.jsonl", {"step": step, "tokens": step * self.tokens_per_step, **text})
            say(f"  sample at step {step}: {text['prompt']}|{text['text']}".replace("\n", "\\n"))


def rows_of_rank(settings: PretrainSettings, size: int) -> int:
    """Rows of every batch that each of `size` ranks reads. Raises InputError when they can't be shared out evenly."""
    rows, left = divmod(settings.batch_rows, size)
    if left:
        raise InputError(
            f"pretrain.batch_rows ({settings.batch_rows}) must be a multiple of the number of ranks, {size}: change one"
        )
    if settings.micro_rows and rows % settings.micro_rows:
        raise InputError(
            f"pretrain.micro_rows ({settings.micro_rows}) must divide the {rows} rows that each of {size} ranks reads "
            f"of pretrain.batch_rows ({settings.batch_rows}): change it"
        )
    return rows


@torch.no_grad()
def evaluate_language(
    model: LanguageModel,
    tokenizer: Tokenizer,
    corpus: Corpus,
    workspace: Workspace,
    max_rows: int = FINAL_ROWS,
    *,
    one_by_one: bool = False,
) -> HeldOut:
    """The figures of at most `max_rows` held-out rows of every source, weighted by their shares; sources of the
    finishing mixture alone have figures of their own, and no weight. On a CPU a few rows on each core are read side by
    side, unless `one_by_one`.
    """
    on_cpu = workspace.path.device == "cpu" and not one_by_one
    lanes = torch.get_num_threads() if on_cpu else 1
    shares = dict(zip(corpus.rows.mixture.names, corpus.rows.mixture.shares, strict=True))
    nats, size, tokens = 0.0, 0.0, 0.0
    sources = {}
    for name, stream in corpus.held_out.items():
        share = shares.get(name, 0.0)
        loss, text_bytes, count = _source_loss(model, tokenizer, stream, workspace, max_rows, corpus.opening, lanes)
        nats += share * loss / count
        size += share * text_bytes / count
        tokens += share
        sources[name] = loss / text_bytes / float(np.log(2))
    return HeldOut(nats / tokens, nats / size / float(np.log(2)), sources)


def _source_loss(
    model: LanguageModel,
    tokenizer: Tokenizer,
    held_out: np.ndarray,
    workspace: Workspace,
    max_rows: int,
    opening: int | None,
    lanes: int,
) -> tuple[float, int, int]:
    """Summed loss of one source's first held-out rows, the bytes of text in them, and their tokens."""
    context = model.config.context
    stream = np.asarray(held_out[: max_rows * context + 1], dtype=np.int64)
    rows = max(1, (len(stream) - 1) // context)
    width = min(context, len(stream) - 1)
    inputs = torch.from_numpy(stream[: rows * width].reshape(rows, width)).to(workspace.path.device)
    targets = torch.from_numpy(stream[1 : rows * width + 1].reshape(rows, width)).to(workspace.path.device)
    losses: dict[int, float] = {}
    exact = workspace.path.eager()  # the same for every stage, so that a tenth of a percent between two can be told

    together = max(1, min(READ_ROWS, READ_TOKENS // width))

    @torch.no_grad()
    def read(start: int) -> None:
        part = slice(start, start + together)
        with exact.autocast():
            losses[start] = _summed_loss(model, inputs[part], targets[part], opening)

    starts = range(0, rows, together)
    side_by_side(read, starts, lanes)
    return (
        sum(losses[start] for start in starts),
        int(tokenizer.byte_lengths[stream[1 : rows * width + 1]].sum()),
        rows * width,
    )


def _summed_loss(model: LanguageModel, ids_BT: Tensor, target_BT: Tensor, opening: int | None) -> float:
    """Of all tokens; logits that would take more than `LOGITS_BYTES` never exist whole."""
    mask = None if opening is None else within_documents(ids_BT, opening)
    x_BTD = model.model.blocks(model.model.embed_tokens(ids_BT), mask)
    tokens = max(1, LOGITS_BYTES // (4 * model.config.vocab_size))
    parts = zip(model.model.final(x_BTD).flatten(0, 1).split(tokens), target_BT.flatten().split(tokens), strict=True)
    return -sum(float(token_logprobs(model.lm_head(hidden_ND), target_N).sum()) for hidden_ND, target_N in parts)


def openings(corpus: Corpus, tokenizer: Tokenizer, context: int) -> tuple[str, ...]:
    """How the first held-out document of each source begins, then the second ones, up to `OPENINGS` of them."""
    found: list[tuple[int, str]] = []
    for stream in corpus.held_out.values():
        looked = np.asarray(stream[:LOOKED_THROUGH])
        documents = np.split(looked, np.flatnonzero(looked == tokenizer.document_end) + 1)
        for place, document in enumerate(documents[:OPENINGS]):
            ids = document[: min(OPENING_TOKENS, context // 4)].tolist()
            text = tokenizer.decode(ids, skip_special=True).split("\n\n")[0].strip("\ufffd \n")
            found += [(place, text)] if text else []
    return tuple(text for _, text in sorted(found, key=lambda each: each[0])[:OPENINGS])


def samples(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: tuple[str, ...],
    *,
    seed: int,
    max_new_tokens: int = SAMPLE_TOKENS,
    together: bool = False,
) -> list[dict[str, str]]:
    """Each prompt as the start of a new document, continued until its end or the limit; with `together` always to the
    limit, since ranks that share the weights must read equally often, whatever each of them draws.
    """
    requests = [
        Request(
            [tokenizer.opening, *tokenizer.encode(prompt)],
            SamplingParams(min(max_new_tokens, model.config.context // 2), 0.8, seed=seed + i),
        )
        for i, prompt in enumerate(prompts)
    ]
    end = tokenizer.document_end
    completions = Engine(model, stop_ids=set() if together else {end}).generate(requests)
    texts = [[*takewhile(lambda token: token != end, completion.ids)] for completion in completions]
    return [
        {"prompt": prompt, "text": tokenizer.decode(ids, skip_special=True)}
        for prompt, ids in zip(prompts, texts, strict=True)
    ]

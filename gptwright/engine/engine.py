"""Batched generation with a KV cache.

    engine = Engine(model, stop_ids={tokenizer.end_of_turn})
    completions = engine.generate([Request(prompt_ids, SamplingParams(seed=1))])

Requests of similar length share a batch; a row that has stopped leaves it, so that the rest go on faster.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cached_property

import torch

from gptwright.engine.batch import Batch
from gptwright.engine.constraint import Constraints
from gptwright.engine.native.decoder import Decoder, Weights
from gptwright.engine.prefix import PrefixCache
from gptwright.engine.protocol import PartStream
from gptwright.engine.request import Completion, Request
from gptwright.engine.row import Row
from gptwright.errors import InputError
from gptwright.lanes import side_by_side
from gptwright.model.transformer import LanguageModel
from gptwright.tokenizer.tokenizer import Tokenizer

LANE_ROWS = 16
"""Fewer rows than this are not worth a batch of their own beside another one; half as many, with a decoder."""
TEAM_FROM = 8_000_000
"""Parameters of the smallest model whose batches follow each other, each with all cores: no core's cache holds it, so
that batches side by side would each read it from memory.
"""
OnEnd = Callable[[], None]
"""Called when an answer has ended, on a CPU from several threads."""


class Engine:
    """Generates with one model. The model is read at each call, so a policy in training can be sampled as it is.

    Stop strings and grammars are text, which takes a tokenizer to see. On a CPU `engine.native` reads and decodes
    where there is a compiler: with weights packed anew at each call, or once for a `frozen` model, as exactly as
    `weights` says.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        stop_ids: set[int],
        max_rows: int = 128,
        tokenizer: Tokenizer | None = None,
        frozen: bool = False,
        weights: Weights = "float32",
    ) -> None:
        self.model, self.stop_ids, self.max_rows, self.tokenizer = model, stop_ids, max_rows, tokenizer
        self.frozen, self.weights = frozen, weights
        self._packed: Decoder | None = None

    def decoder(self) -> Decoder | None:
        """What decodes for a batch; None where torch does."""
        if self._packed is None or not self.frozen:
            self._packed = Decoder.of(self.model, weights=self.weights)
        return self._packed

    def batch(self, prefixes: PrefixCache | None = None) -> Batch:
        """An empty batch of this model."""
        return Batch(self.model, self.stop_ids, prefixes=prefixes, decoder=self.decoder())

    def generate(self, requests: Sequence[Request], on_end: OnEnd | None = None) -> list[Completion]:
        """One completion per request, in order. Raises InputError for a prompt that is empty or leaves no room to
        answer, and for parameters that this model cannot follow.
        """
        rows = [self.row(request) for request in requests]
        was_training = self.model.training
        self.model.eval()

        decoder = self.decoder()

        def finish(group: Sequence[Row]) -> None:
            batch = Batch(self.model, self.stop_ids, decoder=decoder)
            batch.join(group)
            while batch.busy:
                ended = {id(row) for row, _ in batch.step() if not row.going}
                if on_end:
                    for _ in ended:
                        on_end()

        order = sorted(rows, key=lambda row: len(row.request.prompt_ids))
        on_cpu = self.model.model.embed_tokens.weight.device.type == "cpu"
        one_by_one = decoder is not None and self.model.config.parameter_count() >= TEAM_FROM
        lanes = torch.get_num_threads() if on_cpu and not one_by_one else 1
        size = min(self.max_rows, max(LANE_ROWS // 2 if decoder else LANE_ROWS, -(-len(order) // lanes)))
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        side_by_side(finish, groups, lanes)
        self.model.train(was_training)
        for row in rows:
            if row.error is not None:
                raise row.error
        return [row.completion for row in rows]

    def stream(self, request: Request, prefixes: PrefixCache | None = None) -> Generator[int, None, None]:
        """The answer's tokens as they come; whoever stops asking ends it. Raises as `generate` does."""
        row, batch = self.row(request), self.batch(prefixes)
        self.model.eval()
        batch.join([row])
        while batch.busy:
            for _, token in batch.step():
                yield token
        if row.error is not None:
            raise row.error

    def row(self, request: Request) -> Row:
        """The request as a row of a batch. Raises InputError for one that this model cannot follow."""
        context, vocabulary, params = self.model.config.context, self.model.config.vocab_size, request.params
        if not 0 < len(request.prompt_ids) < context:
            raise InputError(
                f"the prompt has {len(request.prompt_ids)} tokens: it must have between 1 and {context - 1} to "
                f"leave room in the model's context of {context}"
            )
        for token in params.logit_bias:
            if not 0 <= token < vocabulary:
                raise InputError(f"logit_bias names token {token}: this model's are 0 to {vocabulary - 1}")
        if params.top_logprobs > vocabulary:
            raise InputError(f"top_logprobs is {params.top_logprobs}: this model has {vocabulary} tokens")
        if self.tokenizer is None and (params.stop or params.grammar):
            raise InputError("stop strings and grammars need an engine with a tokenizer: give it one")
        watch = PartStream(self.tokenizer, params.stop) if self.tokenizer and params.stop else None
        guide = self.constraints.guide(params.grammar) if params.grammar else None
        return Row(request, min(params.max_new_tokens, context - len(request.prompt_ids)), watch, guide)

    @cached_property
    def constraints(self) -> Constraints:
        """What compiles grammars for this model's vocabulary."""
        assert self.tokenizer is not None
        return Constraints(self.tokenizer, self.stop_ids, self.model.config.vocab_size)

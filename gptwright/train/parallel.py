"""One model trained on many devices: each rank reads its slice of every batch, and all take the same step.

Replicated: every rank holds the whole model; gradients are added up once a step. Sharded (FSDP2, Zhao et al.,
arXiv:2304.11277): every rank holds a slice of each weight, its gradient and its optimizer state, and a block's weights
are gathered while it is used. Both give the step of one process that read the whole batch, but for rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from gptwright.model.transformer import LanguageModel, ScalarModel, allocated
from gptwright.train.average import average_of
from gptwright.train.distributed import Ranks, StragglerWatch, others_alive
from gptwright.train.fast_path import LossFunction
from gptwright.train.progress import say
from gptwright.train.room import BYTES_PER_PARAMETER, device_memory

SHARD_ABOVE = 0.25
"""'auto' shards a model whose weights, gradients and moments fill more than this share of a device's memory."""


Sharded = LanguageModel | ScalarModel
M = TypeVar("M", LanguageModel, ScalarModel)
Result = TypeVar("Result")


class DataParallel:
    """A model on all ranks, and its loss. Give `learner` to optimizers and checkpoints, and `average`, if asked for.

    Weights are rank 0's; the other ranks may give a model without (on the meta device). The learner is `model` itself,
    moved to `device`, unless it is sharded: then `model` stays in rank 0's memory, where `whole` fills it, and need not
    fit on any device. What `prepare` changes of a model is changed before it is laid out.
    """

    def __init__(
        self,
        model: LanguageModel,
        loss_for: Callable[[LanguageModel], LossFunction],
        ranks: Ranks,
        *,
        device: str,
        shard: Literal["auto", "never", "always"] = "auto",
        average: bool = False,
        prepare: Callable[[LanguageModel], object] = lambda model: None,
    ) -> None:
        self.ranks, self.model, self.device, self.prepare = ranks, model, device, prepare
        # Ranks on unlike machines must decide alike.
        large = shard == "auto" and any(ranks.gather(_too_large(model, device)))
        self.sharded = ranks.size > 1 and (shard == "always" or large)
        self.watch = StragglerWatch()
        self.started = self.ready = 0.0
        self.average: LanguageModel | None = None
        self._loss_of: Callable[..., Any]
        if not self.sharded:
            meta = model.lm_head.weight.is_meta
            self.model = self.learner = allocated(model.config, device) if meta else model.to(device)
            prepare(self.learner)
            ranks.take_from_first([value.data for value in self.learner.parameters()])
            self.average = average_of(self.learner) if average else None
            self._loss_of = loss_for(self.learner)
            return
        self._roots = [self._laid_out() for _ in range(1 + average)]
        self.learner = self._roots[0].model
        if average:
            self.average = self._roots[1].model.requires_grad_(False).eval()
        if not ranks.first:
            model.to("meta")  # filled on rank 0 alone
        self._loss_of = partial(self._roots[0], loss_for(self.learner))

    def _laid_out(self) -> _Within[LanguageModel]:
        """A model of which each rank has its slices, filled from rank 0's, one weight at a time."""
        from torch.distributed.tensor import DTensor, distribute_tensor  # noqa: PLC0415

        model = allocated(self.model.config, "cpu")
        self.prepare(model)
        root, given = _Within(model), dict(self.model.named_parameters())
        _shard(root, model, self.ranks, self.device)
        for name, slices in model.named_parameters():
            assert isinstance(slices, DTensor)
            whole = torch.empty(slices.shape, dtype=slices.dtype, device=self.device)
            if self.ranks.first:
                whole.copy_(given[name].detach())
            with others_alive():
                mine = distribute_tensor(whole, slices.device_mesh, slices.placements)
            slices.to_local().data.copy_(mine.to_local())
        return root

    @torch.no_grad()
    def look(self, module: LanguageModel, work: Callable[[LanguageModel], Result]) -> Result:
        """What `work` finds when it reads the learner or the average. All ranks call this together, and read equally
        often where it is sharded; else rank 0 alone works, and the others get what it returned.
        """
        if not self.sharded:
            return self.ranks.of_first(partial(work, module))
        root = self._roots[0 if module is self.learner else 1]
        found: Result = root(work, module)
        _in_slices_again(root)
        return found

    def loss_of(self, *batch: Tensor) -> Any:
        """The loss of this rank's rows. With one process this is the function that was given."""
        if self.sharded and not self.ready:
            self.ready = time.monotonic()  # from here on ranks wait for each other's weights
        return self._loss_of(*batch)

    def begin_step(self) -> None:
        """Called before a step's rows are read, so that a slow rank is noticed."""
        self.started, self.ready = time.monotonic(), 0.0

    def combine(self, loss: float) -> float:
        """After backward: add up this step's gradients and loss over the ranks. All ranks return the same number."""
        if self.ranks.size == 1:
            return loss
        if not self.sharded:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ready = time.monotonic()
            self.ranks.sum_tensors([p.grad for p in self.learner.parameters() if p.grad is not None])
        everyone = self.ranks.gather((loss, self.ready - self.started))
        warning = self.watch.see([seconds for _, seconds in everyone])
        if warning:
            say(warning)
        return sum(each for each, _ in everyone)

    def whole(self, module: LanguageModel) -> LanguageModel:
        """The learner or the average with all of its weights, on rank 0 alone; all ranks must call this together.

        Sharded, the weights are copied into `model`, where the next call overwrites them.
        """
        if not self.sharded:
            return module
        _gather(module, self.model if self.ranks.first else None)
        return self.model


class Learner(Generic[M]):
    """A model that is read in more ways than one, and learns on all ranks: replicated, or sharded in place.

    Sharded, whatever reads the model goes through `within`, as often on each rank as on the others (`idle`).
    """

    def __init__(self, model: M, ranks: Ranks, *, device: str, shard: Literal["auto", "never", "always"]) -> None:
        self.model: M = model
        self.ranks, self.device = ranks, device
        ranks.take_from_first([value.data for value in model.parameters()])
        # Ranks on unlike machines must decide alike.
        large = shard == "auto" and any(ranks.gather(_too_large(model, device)))
        self.sharded = ranks.size > 1 and (shard == "always" or large)
        self._whole: M | None = None
        self._within: _Within[M] = _Within(model)
        if self.sharded:
            # It is looked at after forward passes that no backward pass follows: the root must be in slices then too.
            _shard(self._within, model, ranks, device, root_again=True)

    def within(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` makes of the arguments, with the model's weights at hand."""
        return self._within(work, *arguments) if self.sharded else work(*arguments)

    def idle(self, parts: int) -> int:
        """Before a step: how many more parts another rank will read. Sharded, this one must read that often too."""
        return max(self.ranks.gather(parts)) - parts if self.sharded else 0

    def shard_too(self, other: M) -> None:
        """Lay another model of this shape out in the same way."""
        if self.sharded:
            _shard(other, other, self.ranks, self.device)

    def combine(self, parameters: Sequence[Tensor], loss: float) -> float:
        """After backward: add up gradients, which sharding has done already, and loss over the ranks."""
        return sum(self.ranks.gather(loss)) if self.sharded else self.ranks.combine(parameters, loss)

    def whole(self, module: M | None = None) -> M:
        """This model, or one that was laid out as it is, with all its weights on every rank; all must call together.

        Sharded, it is a copy that the next call overwrites.
        """
        if not self.sharded:
            return self.model if module is None else module
        if self._whole is None:
            self._whole = type(self.model)(self.model.config).to(self.device).eval()
        _gather(self.model if module is None else module, self._whole)
        return self._whole


def _gather(module: nn.Module, into: nn.Module | None) -> None:
    """All weights of a sharded module, into a whole one on the ranks that have one."""
    from torch.distributed.tensor import DTensor  # noqa: PLC0415

    own = into.state_dict() if into is not None else {}
    for name, value in module.state_dict().items():
        weights = value.full_tensor() if isinstance(value, DTensor) else value
        if name in own:
            own[name].copy_(weights)


class _Within(nn.Module, Generic[M]):
    """Whatever reads a model as a module, because FSDP gathers the weights of a module when that module is called."""

    def __init__(self, model: M) -> None:
        super().__init__()
        self.model: M = model

    def forward(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)


def _shard(root: nn.Module, model: Sharded, ranks: Ranks, device: str, *, root_again: bool = False) -> None:
    """Shard the blocks one by one, and with the root what is left: embedding, last norm, output matrix, which stay
    gathered from the forward to the backward pass unless `root_again`.
    """
    # Half a second to import, which one process need not wait for.
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415
    from torch.distributed.fsdp import FSDPModule, fully_shard  # noqa: PLC0415

    mesh = init_device_mesh(device, (ranks.size,))
    # Without FSDP's own mixed precision: autocast casts what was gathered, as it does in one process. A policy in
    # bfloat16 would halve the bytes on the way, and round the weights of the norms too.
    for block in model.model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(root, mesh=mesh, reshard_after_forward=root_again)
    for module in root.modules():
        if isinstance(module, FSDPModule):
            # Each rank's loss is already divided by the whole batch's tokens, so gradients are summed, not averaged.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo has no other


def _in_slices_again(root: nn.Module) -> None:
    """After a forward pass that no backward pass follows."""
    from torch.distributed.fsdp import FSDPModule  # noqa: PLC0415

    for module in root.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _too_large(model: nn.Module, device: str) -> bool:
    """Whether a copy on every device would leave too little room for activations."""
    wanted = BYTES_PER_PARAMETER * sum(parameter.numel() for parameter in model.parameters())
    return wanted > SHARD_ABOVE * device_memory(device)

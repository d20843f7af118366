"""AdamW for embeddings, heads and vectors; Muon for the matrices inside the blocks where a recipe asks for it.

Muon (Jordan et al. 2024) orthogonalises the momentum of a matrix; `match_rms_adamw` (Liu et al., arXiv:2502.16982)
scales its update to the size of AdamW's, so both take the same learning rate and weight decay.
"""

from __future__ import annotations

import torch
from torch import nn

from gptwright.recipe import OptimizerSettings
from gptwright.train.muon import StackedMuon
from gptwright.train.schedule import rate


class Optimizers:
    """The optimizers of one model, stepped and scheduled together."""

    def __init__(self, model: nn.Module, settings: OptimizerSettings) -> None:
        self.settings = settings
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.names = {id(parameter): name for name, parameter in named}
        self.parameters = [parameter for _, parameter in named]
        matrices = [p for name, p in named if settings.muon and p.dim() == 2 and ".layers." in f".{name}"]
        in_muon = {id(parameter) for parameter in matrices}
        rest = [p for p in self.parameters if id(p) not in in_muon]
        decayed = [p for p in rest if p.dim() >= 2]
        plain = [p for p in rest if p.dim() < 2]
        groups = [
            {"params": group, "weight_decay": decay}
            for group, decay in ((decayed, settings.weight_decay), (plain, 0.0))
            if group
        ]
        self.each: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.eps)
        ]
        self.peaks = [settings.learning_rate]
        if matrices:
            peak = settings.muon_learning_rate or settings.learning_rate
            muon = StackedMuon(matrices, lr=peak, weight_decay=settings.weight_decay)
            self.each.append(muon)
            self.peaks.append(peak)
        self.decays = [[group["weight_decay"] for group in optimizer.param_groups] for optimizer in self.each]

    def set_rate(self, step: int, total: int) -> dict[str, float]:
        """Set this step's scheduled rates and weight decay; returns the rates as logs name them: AdamW's, and Muon's
        where it has a peak of its own.
        """
        share = rate(self.settings, step, total)
        kept = 1 - (1 - self.settings.weight_decay_final) * step / max(1, total - 1)
        for optimizer, peak, decays in zip(self.each, self.peaks, self.decays, strict=True):
            for group, decay in zip(optimizer.param_groups, decays, strict=True):
                group["lr"], group["weight_decay"] = peak * share, decay * kept
        rates = {"lr": self.peaks[0] * share}
        if len(set(self.peaks)) > 1:
            rates["lr/muon"] = self.peaks[-1] * share
        return rates

    def zero_grad(self) -> None:
        for optimizer in self.each:
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        for optimizer in self.each:
            optimizer.step()

    def tensors(self) -> dict[str, torch.Tensor]:
        """All state as named tensors: '<parameter>/<key>'."""
        found = {}
        for optimizer in self.each:
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    found[f"{self.names[id(parameter)]}/{key}"] = torch.as_tensor(value)
        return found

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Restore what `tensors` gave, bit for bit."""
        by_name = {name: dict[str, torch.Tensor]() for name in self.names.values()}
        for key, value in tensors.items():
            name, _, part = key.rpartition("/")
            by_name[name][part] = value
        for optimizer in self.each:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    state = by_name[self.names[id(parameter)]]
                    if state:
                        # Moments live where the parameter does; the step counter stays on the CPU, as in torch.
                        optimizer.state[parameter] = {
                            key: value.clone() if value.dim() == 0 else value.to(parameter.device, copy=True)
                            for key, value in state.items()
                        }

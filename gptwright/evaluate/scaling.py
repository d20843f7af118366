"""Scaling laws: how held-out loss follows from parameters and tokens, fitted to a grid of finished trainings.

    L(N, D) = E + A / N**alpha + B / D**beta        N parameters, D tokens, L in nats per token

after Hoffmann et al. (arXiv:2203.15556), approach 3: the Huber loss of the difference of logarithms, minimised by
L-BFGS from many starts. It takes finished runs and gives numbers; it trains nothing and draws nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from gptwright.errors import InputError

HUBER_DELTA = 1e-3
"""From this difference of logarithms on a run counts linearly: one that went wrong can't bend the law."""
MIN_SIZES = MIN_BUDGETS = 3
"""With two of either, E and the other term can't be told apart."""
EXPONENTS = tuple(0.05 * step for step in range(1, 31))
"""Of the starts, for alpha and for beta."""
STARTS = 6
"""How many of the best starts are followed to their minimum."""
LEVELS = 4
"""Amounts of compute for which the best use is told, besides ten times the largest."""


@dataclass(frozen=True)
class TrainedRun:
    """One training from its beginning to the end of its schedule."""

    name: str
    parameters: int
    """All of them, embeddings included."""
    tokens: int
    """Tokens read."""
    flops: float
    """Operations of the training, forward and backward."""
    loss: float
    """Held-out loss in nats per token."""


@dataclass(frozen=True)
class Optimum:
    """What a law says is the best use of some compute."""

    flops: float
    parameters: float
    tokens: float
    loss: float


@dataclass(frozen=True)
class ScalingLaw:
    """The five constants, as the paper writes them."""

    E: float
    """The loss that no model and no data take away."""
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        return self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta

    def optimum(self, flops: float, cost: float) -> Optimum:
        """The N and D with cost * N * D = flops where the loss is least (equation 4 of the paper, where cost is 6)."""
        product = flops / cost
        scale = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        parameters = scale * product ** (self.beta / (self.alpha + self.beta))
        return Optimum(flops, parameters, product / parameters, self.loss(parameters, product / parameters))


def fit_law(runs: Sequence[TrainedRun]) -> ScalingLaw:
    """The law nearest to the runs. Raises InputError for too few sizes or budgets, or a loss that is no number."""
    check_grid(len({run.parameters for run in runs}), len({run.tokens for run in runs}))
    for run in runs:
        if not (math.isfinite(run.loss) and run.loss > 0):
            raise InputError(
                f"run {run.name} ended at a loss of {run.loss}: delete its folder, lower its rate and repeat"
            )
    problem = _Problem(runs)
    starts = sorted(problem.starts(itertools.product(EXPONENTS, EXPONENTS)), key=problem.distance)[:STARTS]
    return problem.law(min((problem.descend(start) for start in starts), key=problem.distance))


def check_grid(sizes: int, budgets: int) -> None:
    """Raises InputError when so many different sizes and budgets determine no law."""
    if sizes < MIN_SIZES or budgets < MIN_BUDGETS:
        raise InputError(
            f"the grid has {_plural(sizes, 'size')} and {_plural(budgets, 'token budget')}: the law has five "
            f"constants, give at least {MIN_SIZES} sizes and {MIN_BUDGETS} budgets"
        )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


class _Problem:
    """The runs as tensors, with N and D in units of their geometric means, which keeps the constants near 1.

    A point of the search is the logarithm of (E, A, B, alpha, beta), so that none can fall below 0. Shapes: R runs.
    """

    def __init__(self, runs: Sequence[TrainedRun]) -> None:
        log_n_R = torch.tensor([math.log(run.parameters) for run in runs], dtype=torch.float64)
        log_d_R = torch.tensor([math.log(run.tokens) for run in runs], dtype=torch.float64)
        self.log_loss_R = torch.tensor([math.log(run.loss) for run in runs], dtype=torch.float64)
        self.mean_n, self.mean_d = float(log_n_R.mean()), float(log_d_R.mean())
        self.n_R, self.d_R = log_n_R - self.mean_n, log_d_R - self.mean_d

    def objective(self, point_5: Tensor) -> Tensor:
        """Equation 3 of the paper, the summed Huber loss of predicted against measured log loss, in units of delta^2.

        So scaled it is near 1, where L-BFGS's stopping rules are right; the valley is flat along E.
        """
        log_e, log_a, log_b = point_5[:3]
        alpha, beta = point_5[3:].exp()
        terms = torch.stack([log_a - alpha * self.n_R, log_b - beta * self.d_R, log_e.expand_as(self.n_R)])
        huber = huber_loss(torch.logsumexp(terms, 0), self.log_loss_R, reduction="sum", delta=HUBER_DELTA)
        return huber / HUBER_DELTA**2

    def distance(self, point_5: Tensor) -> float:
        value = float(self.objective(point_5))
        return value if math.isfinite(value) else math.inf

    def starts(self, exponents: Iterable[tuple[float, float]]) -> list[Tensor]:
        """For each alpha and beta, E, A and B by least squares of relative errors, for the law is linear in them."""
        loss_R = self.log_loss_R.exp()
        least = 1e-3 * float(loss_R.min())  # a logarithm needs something above 0
        found = []
        for alpha, beta in exponents:
            columns = torch.stack([torch.ones_like(self.n_R), (-alpha * self.n_R).exp(), (-beta * self.d_R).exp()])
            solution = torch.linalg.lstsq((columns / loss_R).T, torch.ones_like(loss_R)).solution
            pair = torch.tensor([alpha, beta], dtype=torch.float64)
            found.append(torch.cat([solution.clamp(min=least), pair]).log())
        return found

    def descend(self, start_5: Tensor) -> Tensor:
        """The minimum that L-BFGS finds from `start_5`."""
        point_5 = start_5.clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [point_5],
            max_iter=2000,
            max_eval=8000,
            tolerance_grad=1e-9,
            tolerance_change=1e-13,
            history_size=20,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = self.objective(point_5)
            value.backward()
            return value

        optimizer.step(closure)
        return point_5.detach()

    def law(self, point_5: Tensor) -> ScalingLaw:
        e, a, b, alpha, beta = (math.exp(value) for value in point_5)
        return ScalingLaw(e, a * math.exp(alpha * self.mean_n), alpha, b * math.exp(beta * self.mean_d), beta)


def leave_one_out(runs: Sequence[TrainedRun], law: ScalingLaw) -> list[ScalingLaw]:
    """The law without each run in turn, searched from the exponents of `law`: how much hangs on a single run."""
    found = []
    for left_out in runs:
        problem = _Problem([run for run in runs if run is not left_out])
        (start,) = problem.starts([(law.alpha, law.beta)])
        found.append(problem.law(problem.descend(start)))
    return found


def cost_per_parameter_token(runs: Sequence[TrainedRun]) -> float:
    """Operations per parameter and token, the median of the runs: 6 by the rule of thumb, more with attention."""
    each = sorted(run.flops / run.parameters / run.tokens for run in runs)
    return each[len(each) // 2]


def frontier(runs: Sequence[TrainedRun]) -> list[TrainedRun]:
    """The runs that no other of at most their compute beats, cheapest first."""
    best = math.inf
    found = []
    for run in sorted(runs, key=lambda run: (run.flops, run.loss)):
        if run.loss < best:
            found.append(run)
            best = run.loss
    return found


def power_law(runs: Sequence[TrainedRun]) -> tuple[float, float]:
    """(coefficient, exponent) of loss = coefficient * flops**-exponent by least squares of logarithms.

    Raises InputError for fewer than two runs.
    """
    if len(runs) < 2:
        raise InputError(f"a power law needs at least 2 runs, got {len(runs)}")
    x = [math.log(run.flops) for run in runs]
    y = [math.log(run.loss) for run in runs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((each - mean_x) ** 2 for each in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    return math.exp(mean_y - slope * mean_x), -slope


@dataclass(frozen=True)
class Pair:
    """A smaller model that read more, beside a larger one that read less and took at least as much compute."""

    small: TrainedRun
    large: TrainedRun

    @property
    def gain(self) -> float:
        """How much lower the smaller model's loss is, in nats per token."""
        return self.large.loss - self.small.loss


def pairs(runs: Sequence[TrainedRun]) -> list[Pair]:
    """All such pairs, the largest gain of the smaller model first."""
    found = [
        Pair(small, large)
        for small in runs
        for large in runs
        if small.parameters < large.parameters and small.tokens > large.tokens and small.flops <= large.flops
    ]
    return sorted(found, key=lambda pair: -pair.gain)


@dataclass(frozen=True)
class Advice:
    """The law's best use of some compute, beside the best that was trained with at most as much."""

    optimum: Optimum
    inside: bool
    """Whether that size and that budget lie between the smallest and the largest of the grid."""
    run: str


@dataclass(frozen=True)
class Study:
    """Everything that a grid of runs says together."""

    law: ScalingLaw
    exponents: dict[str, tuple[float, float]]
    """Lowest and highest alpha and beta of the laws without each run in turn."""
    errors: dict[str, float]
    """Of each run: measured loss over the law's, less 1."""
    cost: float
    """Operations per parameter and token."""
    frontier: list[str]
    """Runs that none of at most their compute beats, cheapest first."""
    frontier_law: tuple[float, float] | None
    """(coefficient, exponent) of loss = coefficient * flops**-exponent through them; None for a single run."""
    advice: list[Advice]
    pairs: int
    """How often a smaller model read more than a larger one, at no more compute."""
    smaller_won: int
    """In how many of these it ended at the lower loss."""
    pair: Pair | None
    """The one of these with the largest gain; None where the smaller model never won."""


def study(runs: Sequence[TrainedRun]) -> Study:
    """Fit and compare. Raises InputError as `fit_law` does."""
    law = fit_law(runs)
    others = leave_one_out(runs, law)
    cost, best, compared = cost_per_parameter_token(runs), frontier(runs), pairs(runs)
    won = [pair for pair in compared if pair.gain > 0]
    return Study(
        law=law,
        exponents={
            name: (min(getattr(o, name) for o in others), max(getattr(o, name) for o in others))
            for name in ("alpha", "beta")
        },
        errors={run.name: run.loss / law.loss(run.parameters, run.tokens) - 1 for run in runs},
        cost=cost,
        frontier=[run.name for run in best],
        frontier_law=power_law(best) if len(best) > 1 else None,
        advice=[_advice(flops, law, cost, runs) for flops in compute_levels(runs)],
        pairs=len(compared),
        smaller_won=len(won),
        pair=won[0] if won else None,
    )


def compute_levels(runs: Sequence[TrainedRun]) -> list[float]:
    """LEVELS amounts of compute, evenly in logarithm from the cheapest run's to the dearest's, and ten times that."""
    least, most = min(run.flops for run in runs), max(run.flops for run in runs)
    return [*(least * (most / least) ** (i / (LEVELS - 1)) for i in range(LEVELS)), 10 * most]


def _advice(flops: float, law: ScalingLaw, cost: float, runs: Sequence[TrainedRun]) -> Advice:
    optimum = law.optimum(flops, cost)
    sizes, budgets = [run.parameters for run in runs], [run.tokens for run in runs]
    inside = min(sizes) <= optimum.parameters <= max(sizes) and min(budgets) <= optimum.tokens <= max(budgets)
    # The levels are products of powers: the dearest run's own level may come out a rounding below it.
    affordable = [run for run in runs if run.flops <= flops * (1 + 1e-9)]
    return Advice(optimum, inside, min(affordable, key=lambda run: run.loss).name)

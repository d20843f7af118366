"""What a recipe will take: parameters, operations, memory, days and cost, before anything is spent.

    days = operations / (devices * peak operations per second * MFU)

MFU, the share of the peak that is reached, is an assumption; it stands in the plan like every other. Operations are
counted by `ModelConfig.flops_per_token`. Memory is that of the weights, gradients and optimizer, sharded evenly over
the devices as FSDP does where the run would do so, that of the models which are only read, and that of the activations
of the rows that a device reads at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.practice_settings import GrpoSettings, PpoSettings
from gptwright.recipe import OptimizerSettings, Recipe, RewardSettings, nth
from gptwright.train.fast_path import FastPath
from gptwright.train.memory import working_bytes
from gptwright.train.parallel import SHARD_ABOVE
from gptwright.train.room import BYTES_PER_PARAMETER, rows_at_once

SECONDS_PER_DAY = 86_400.0
ANSWER_TOKENS = 64
"""A prompt with its answer in the built-in world, about; where data is the user's own, an assumption."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One device of a kind: dense peak at the precision of training, memory, and what an hour of it costs."""

    flops: float
    """Operations per second."""
    memory: float
    """Bytes."""
    dollars: float
    mfu: float
    """The share of the peak that trainings on it have reached."""


# Peaks are the makers' for dense bfloat16. MFU 0.47 is what LLaMA's 380 tokens/s per A100 come to (arXiv:2302.13971,
# section 2.4); prices are what clouds ask in 2026, about.
MACHINES: dict[str, Machine] = {
    "v100": Machine(125e12, 32e9, 0.6, 0.35),
    "a100": Machine(312e12, 80e9, 1.5, 0.47),
    "h100": Machine(989e12, 80e9, 2.5, 0.40),
    "h200": Machine(989e12, 141e9, 3.5, 0.40),
    "b200": Machine(2250e12, 180e9, 6.0, 0.40),
    "laptop": Machine(400e9, 16e9, 0.0, 0.50),
}


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one stage takes; `bytes_per_device` holds weights, gradients and optimizer of all models in training, and
    frozen ones.

    `working_bytes` is what a step needs beside them at its peak; null where it is not estimated.
    """

    stage: str
    parameters: int
    tokens: int
    flops: float
    bytes_per_device: float
    working_bytes: float | None
    hours: float
    cost: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All stages, and everything that was assumed, in words."""

    stages: tuple[StagePlan, ...]
    assumptions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def machine_named(text: str) -> tuple[str, Machine, int]:
    """'a100:2048' -> ('a100', its figures, 2048). Raises InputError naming the kinds there are."""
    name, _, count = text.partition(":")
    if name not in MACHINES:
        raise InputError(f"--machine {text!r}: no kind is called {name!r}; use one of {', '.join(MACHINES)}")
    if count and not (count.isdecimal() and int(count)):
        raise InputError(f"--machine {text!r}: {count!r} is no number of devices; write {name}:8")
    return name, MACHINES[name], int(count or 1)


def make_plan(
    recipe: Recipe, config: ModelConfig, machine: str, mfu: float | None = None, dollars: float | None = None
) -> Plan:
    """The plan of a recipe's stages on `machine`; `mfu` and `dollars` (per device and hour) replace the table's."""
    name, kind, devices = machine_named(machine)
    mfu, dollars = kind.mfu if mfu is None else mfu, kind.dollars if dollars is None else dollars
    sharded = devices > 1 and _shards(recipe, config, kind)
    parameters = config.parameter_count()
    stages = []
    for work in _work(recipe, config):
        count = devices if work.shared else 1
        parts = count if sharded else 1
        hours = work.flops / (count * kind.flops * mfu) / 3600
        working = _working(recipe, config, work.stage, name, count, parts)
        held = work.trained / parts + work.frozen
        stages.append(
            StagePlan(work.stage, parameters, work.tokens, work.flops, held, working, hours, hours * devices * dollars)
        )
    return Plan(tuple(stages), _assumptions(recipe, config, machine, sharded, mfu, dollars) + _too_large(stages, kind))


def _too_large(stages: Sequence[StagePlan], kind: Machine) -> tuple[str, ...]:
    """What would not fit, said beside what was assumed."""
    needed = {stage.stage: stage.bytes_per_device + (stage.working_bytes or 0.0) for stage in stages}
    advice = {
        "base": "take fewer rows at once (pretrain.micro_rows), machine.recompute=true, or a smaller model",
        "sft": "take fewer rows (sft.batch_rows, sft.pretrain_rows), or a smaller model",
    }
    return tuple(
        f"DOES NOT FIT: {stage} needs {taken / 1e9:.3g} GB of a device's {kind.memory / 1e9:g}; "
        + advice.get(stage, "take a smaller model, or devices with more memory")
        for stage, taken in needed.items()
        if taken > kind.memory
    )


def _assumptions(
    recipe: Recipe, config: ModelConfig, machine: str, sharded: bool, mfu: float, dollars: float
) -> tuple[str, ...]:
    name, kind, devices = machine_named(machine)
    placed = "sharded evenly over the devices" if sharded else "whole on every device"
    rows = rows_per_device(recipe, config, name, devices, devices if sharded else 1)
    said = [
        f"{devices} x {name}: {kind.flops / 1e12:g} TFLOP/s and {kind.memory / 1e9:g} GB each",
        f"{mfu:.0%} of that peak is reached (MFU)",
        f"an hour of one device costs {dollars:g} dollars",
        "weights, gradients and optimizer (state) in float32" + (f", {placed}" if devices > 1 else ""),
        f"working memory (activations, or what the optimizer makes) at the peak of an eager step, "
        f"{rows} x {config.context} tokens on a device at once"
        f"{', blocks recomputed' if recipe.machine.recompute else ''}; compiled, a step takes less",
        f"a prompt with its answer has {ANSWER_TOKENS} tokens; practice reads pretraining text besides (pretrain_mix)",
    ]
    if sharded:
        said.append(
            "not counted: the first process keeps the whole model in its machine's own memory, to write it from"
        )
    if recipe.tokenizer.kind == "characters":
        said.append(f"a vocabulary of {config.vocab_size}, all of ASCII, since the text is not read")
    if devices > 1 and recipe.sft:
        said.append(
            "sft, reward, dpo and rejection run on one device while the others are paid; frozen models are whole"
        )
    for section in ("sft", "reward"):
        if getattr(getattr(recipe, section), "data", None):
            said.append(f"{section}.data holds as much as the world's default, since the file is not read")
    if name == "laptop" and recipe.machine.freed_memory == "keep":
        said.append(
            "freed memory is returned (machine.freed_memory=return); kept, a step is a tenth faster and the process "
            "holds up to three times as much"
        )
    return tuple(said)


def _shards(recipe: Recipe, config: ModelConfig, kind: Machine) -> bool:
    """Whether a device holds a slice of what is trained, as `train.parallel` decides it."""
    large = BYTES_PER_PARAMETER * config.parameter_count() > SHARD_ABOVE * kind.memory
    return recipe.machine.shard == "always" or (recipe.machine.shard == "auto" and large)


def state_bytes(config: ModelConfig, optimizer: OptimizerSettings) -> float:
    """Bytes of weights, gradients and optimizer in float32: 16 per parameter with AdamW, 12 where Muon moves it."""
    embeddings = config.vocab_size * config.width * (1 if config.tied else 2)
    matrices = config.parameter_count() - embeddings if optimizer.muon else 0
    return 16.0 * config.parameter_count() - 4.0 * matrices


def rows_per_device(recipe: Recipe, config: ModelConfig, machine: str, devices: int, parts: int) -> int:
    """How many rows of a pretraining batch a device reads at once, as the trainer decides it; with more devices than
    rows, one.
    """
    pretrain, path = recipe.pretrain, _path(recipe, machine)
    if path.device == "cpu" and recipe.machine.compile != "never":
        path = replace(path, kernel="matmul")  # as a compiled run reads
    return pretrain.micro_rows or rows_at_once(
        config,
        max(1, pretrain.batch_rows // devices),
        MACHINES[machine].memory,
        path,
        recompute=recipe.machine.recompute,
        shards=parts,
        average=pretrain.ema > 0,
    )


def _path(recipe: Recipe, machine: str) -> FastPath:
    precision = "float32" if recipe.machine.precision == "float32" else "bfloat16"
    return FastPath("cpu" if machine == "laptop" else "cuda", precision)


def _working(recipe: Recipe, config: ModelConfig, stage: str, machine: str, devices: int, parts: int) -> float | None:
    """Of the two stages whose rows are full contexts; answers differ in length and share their prompts."""
    if stage not in ("base", "sft") or (stage == "base" and not recipe.pretrain.tokens):
        return None
    rows, optimizer = rows_per_device(recipe, config, machine, devices, parts), recipe.pretrain.optimizer
    if stage == "sft" and recipe.sft:
        rows, optimizer = recipe.sft.batch_rows + recipe.sft.pretrain_rows, recipe.sft.optimizer
    recompute = recipe.machine.recompute and stage == "base"
    return float(working_bytes(config, rows, _path(recipe, machine), optimizer, recompute=recompute, devices=parts))


@dataclass(frozen=True, slots=True)
class Work:
    """What a gradient stage does, on one device or, where it is `shared`, on all."""

    stage: str
    tokens: int
    flops: float
    trained: float
    """Bytes of weights, gradients and optimizer of the models in training."""
    frozen: float = 0.0
    """Bytes of the models that are read, or kept, beside them."""
    shared: bool = False


def _work(recipe: Recipe, config: ModelConfig) -> list[Work]:
    """Every gradient stage of the recipe."""
    parameters = config.parameter_count()
    long, short = config.flops_per_token(config.context), config.flops_per_token(ANSWER_TOKENS)
    tokens = recipe.pretrain.tokens
    states = state_bytes(config, recipe.pretrain.optimizer) + 4.0 * parameters * (recipe.pretrain.ema > 0)
    work = [Work("base", tokens, long * tokens, states if tokens else 0.0, shared=True)]
    if recipe.sft:
        sft = recipe.sft
        rows = 1 + sft.pretrain_rows / sft.batch_rows
        tokens = round(sft.epochs * sft.demonstrations * ANSWER_TOKENS * rows)
        work.append(Work("sft", tokens, long * tokens, state_bytes(config, sft.optimizer)))
    if recipe.reward:
        work.append(_reward_work(recipe.reward, recipe.reward.prompts, config, "reward"))
    if recipe.dpo and recipe.reward:
        tokens = round(recipe.dpo.epochs * recipe.reward.prompts * recipe.reward.answers * ANSWER_TOKENS)
        states = state_bytes(config, recipe.dpo.optimizer)
        work.append(Work("dpo", tokens, 4 / 3 * short * tokens, states, 4.0 * parameters))
    if recipe.rejection:
        chosen = recipe.rejection
        sampled = chosen.prompts * chosen.answers * ANSWER_TOKENS
        rows = 1 + chosen.pretrain_rows / chosen.batch_rows
        tokens = round(chosen.epochs * chosen.prompts * ANSWER_TOKENS * rows)
        flops = short * sampled * 2 / 3 + long * tokens  # sampling and scoring are forward passes
        work.append(Work("rejection", tokens, flops, state_bytes(config, chosen.optimizer), 4.0 * parameters))
    # Sampling and scoring, by reference and reward model and before training, are forward passes; then comes training.
    if recipe.grpo:
        tokens, mixed = recipe.grpo.steps * recipe.grpo.episodes * ANSWER_TOKENS, _mixed_in(recipe.grpo, config)
        flops = short * tokens * (4 / 3 + recipe.grpo.epochs) + long * mixed
        frozen, states = _frozen(recipe, recipe.grpo, config), state_bytes(config, recipe.grpo.policy)
        work.append(Work("grpo", tokens + mixed, flops, states, frozen, shared=True))
    if recipe.ppo:
        work.append(_ppo_work(recipe, recipe.ppo, config, "ppo"))
    if recipe.ppo and recipe.reward and recipe.rounds:
        for number in range(2, recipe.rounds.count + 1):
            judged = recipe.reward.prompts + (number - 1) * recipe.rounds.prompts
            work.append(_reward_work(recipe.reward, judged, config, nth("reward", number)))
            work.append(_ppo_work(recipe, recipe.ppo, config, nth("ppo", number)))
    return work


def _reward_work(reward: RewardSettings, prompts: int, config: ModelConfig, name: str) -> Work:
    tokens = round(reward.epochs * prompts * (1 - reward.held_out) * reward.answers * ANSWER_TOKENS)
    return Work(name, tokens, config.flops_per_token(ANSWER_TOKENS) * tokens, state_bytes(config, reward.optimizer))


def _ppo_work(recipe: Recipe, ppo: PpoSettings, config: ModelConfig, name: str) -> Work:
    tokens, mixed = ppo.steps * ppo.episodes * ANSWER_TOKENS, _mixed_in(ppo, config, ppo.value_warmup)
    # The value model too is read before, and trained.
    flops = config.flops_per_token(ANSWER_TOKENS) * tokens * (5 / 3 + 2 * ppo.epochs)
    flops += config.flops_per_token(config.context) * mixed
    values = state_bytes(config, ppo.value) if ppo.value_model == "separate" else 0.0
    states = state_bytes(config, ppo.policy) + values
    return Work(name, tokens + mixed, flops, states, _frozen(recipe, ppo, config), shared=True)


def _mixed_in(settings: PpoSettings | GrpoSettings, config: ModelConfig, without: int = 0) -> int:
    """Tokens of pretraining text behind the policy's steps, in all rounds but so many."""
    updates = (settings.steps - without) * settings.epochs * settings.minibatches
    return updates * settings.pretrain_rows * config.context if settings.pretrain_mix else 0


def _frozen(recipe: Recipe, settings: PpoSettings | GrpoSettings, config: ModelConfig) -> float:
    """Bytes of the reference, the reward models, the guard's among them, the policy that it may come back to, and the
    average of weights.
    """
    models = 1 + sum(part.kind == "model" for part in settings.parts.values())
    each = 2.0 if recipe.machine.frozen_bfloat16 else 4.0
    kept = (settings.guard is not None) + (settings.ema > 0)
    return config.parameter_count() * (models * each + 4.0 * kept)

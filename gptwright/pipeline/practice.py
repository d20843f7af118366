"""The stages that go on from the SFT model by what people prefer, and how they are wired."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gptwright import world
from gptwright.model.folder import load_language_model, load_scalar_model
from gptwright.model.transformer import LanguageModel, scalar_from
from gptwright.pipeline.judging import check_round, collect_more, train_reward
from gptwright.pipeline.reward_report import check_reward_model
from gptwright.pipeline.rewards import check_practice, files_of, practice_measure, practice_prompts, reward_of
from gptwright.pipeline.run import Run, Stage
from gptwright.pipeline.wiring import (
    finish_model,
    gold_measure,
    open_run_corpus,
    pretrain_batches,
    split_comparisons,
    workspace,
)
from gptwright.practice_settings import Practised
from gptwright.recipe import Recipe, SftSettings, nth
from gptwright.records import Conversation
from gptwright.stages.answers import that_fit
from gptwright.stages.dpo import DpoTrainer, dpo
from gptwright.stages.grpo import Grpo, grpo
from gptwright.stages.ppo import Ppo, ppo, value_model_from
from gptwright.stages.practice import Policy, PracticeResult
from gptwright.stages.pretrain import evaluate_language
from gptwright.stages.rejection import choose_best, chosen_once
from gptwright.stages.sft import SftTrainer, sft
from gptwright.stages.workspace import Workspace
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.progress import say


def practice_stages(recipe: Recipe) -> list[Stage]:
    """What this recipe asks for, each from the SFT model, in the order of the effort."""
    stages = []
    if recipe.dpo:
        sections = ("dpo", *(("reward.held_out", "reward.new_labellers") if recipe.reward else ()))
        stages.append(Stage("dpo", sections, ("comparisons",), _dpo))
    if recipe.rejection:
        stages.append(_practice_stage("rejection", recipe.rejection, _rejection, recipe.seed))
    if recipe.grpo:
        stages.append(_practice_stage("grpo", recipe.grpo, _grpo, recipe.seed))
    if recipe.ppo:
        stages.append(_practice_stage("ppo", recipe.ppo, partial(_ppo, stage="ppo"), recipe.seed))
        if recipe.evaluate and recipe.evaluate.without_mix:
            without = partial(_ppo, stage="ppo_without_mix")
            stages.append(_practice_stage("ppo_without_mix", recipe.ppo, without, recipe.seed))
    return stages


def round_stages(recipe: Recipe) -> list[Stage]:
    """Comparisons, reward model and policy of each further round."""
    if recipe.rounds is None or recipe.ppo is None:
        return []
    stages = []
    for number in range(2, recipe.rounds.count + 1):
        policy = nth("ppo", number - 1)
        asked = files_of([recipe.rounds.rubric] if recipe.rounds.rubric else [])
        asked += (recipe.rounds.data,) if recipe.rounds.data else ()
        judged = (recipe.rounds.judged.replace("{round}", str(number)),) if recipe.rounds.judged else ()
        comparisons, reward = nth("comparisons", number), nth("reward", number)
        collected = ("rounds.prompts", "rounds.mixed", "rounds.data", "rounds.rubric", "rounds.judged")
        collect, train = partial(collect_more, number=number), partial(train_reward, number=number)
        before = (policy, nth("comparisons", number - 1))
        readable = partial(check_round, recipe.rounds, number, seed=recipe.seed)
        stages.append(Stage(comparisons, collected, before, collect, (*asked, *judged), readable))
        stages.append(Stage(reward, ("reward",), (comparisons,), train))
        practise = partial(_ppo, stage=nth("ppo", number), number=number)
        stages.append(_practice_stage("ppo", recipe.ppo, practise, recipe.seed, number))
    return stages


def _practice_stage(name: str, settings: Practised, work: Callable[[Run], None], seed: int, number: int = 1) -> Stage:
    def checked(run: Run) -> None:
        run.ranks.of_first(partial(check_reward_model, run, settings, number))
        if settings.rewarded_by_own_model:
            say(f"{nth(name, number):<12} {_normalisation(run.folder / nth('reward', number))}")
        work(run)

    section = name.removesuffix("_without_mix")
    before = nth("reward", number) if settings.asks_reward_model or number > 1 else "sft"
    own = (*((settings.data,) if settings.data else ()), *files_of(settings.parts.values()))
    ranks: Literal["all", "one"] = "one" if name == "rejection" else "all"
    usable = partial(check_practice, section, settings, seed)
    return Stage(nth(name, number), (section,), (before,), checked, own, usable, ranks=ranks)


def _normalisation(reward_model: Path) -> str:
    """How its scores came about, in whose unit beta and `no_end_score` are given."""
    files = (reward_model / "lineage.json", reward_model / "config.json")
    lineage, config = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    told = f"score = log-odds / {lineage['scale']:.2f} {config['reward_bias']:+.2f}"
    return f"{told}: deviation 1 on sampled answers, mean 0 on demonstrations"


def _ppo(run: Run, stage: str, number: int = 1) -> None:
    settings = run.recipe.ppo
    assert settings is not None  # each of these stages exists only with its section
    if stage == "ppo_without_mix":
        settings = settings.model_copy(update={"pretrain_mix": 0.0})
    tokenizer, spot = Tokenizer.load(run.folder / "sft"), workspace(run, stage)
    policy, reward = load_language_model(run.folder / "sft"), reward_of(run, settings, tokenizer, spot.path, number)
    values = None
    if settings.value_model == "separate" and settings.asks_reward_model:
        values = value_model_from(load_scalar_model(run.folder / nth("reward", number)))
    elif settings.value_model == "separate":
        values = value_model_from(scalar_from(policy, run.recipe.seed))
    prompts, held_out = practice_prompts(run, settings)
    trainer = Ppo(policy, values, reward, tokenizer, prompts, pretrain_batches(run), settings, spot)
    measure = practice_measure(run, tokenizer, reward, settings, held_out)
    result = ppo(trainer, measure if settings.evaluations else None)
    _finish_practice(run, spot, trainer.policy, tokenizer, result, read=4, trained=2)


def _grpo(run: Run) -> None:
    settings = run.recipe.grpo
    assert settings is not None
    tokenizer, spot = Tokenizer.load(run.folder / "sft"), workspace(run, "grpo")
    policy, reward = load_language_model(run.folder / "sft"), reward_of(run, settings, tokenizer, spot.path)
    prompts, held_out = practice_prompts(run, settings)
    trainer = Grpo(policy, reward, tokenizer, prompts, pretrain_batches(run), settings, spot)
    measure = practice_measure(run, tokenizer, reward, settings, held_out)
    result = grpo(trainer, measure if settings.evaluations else None)
    _finish_practice(run, spot, trainer.policy, tokenizer, result, read=3, trained=1)


def _finish_practice(
    run: Run,
    spot: Workspace,
    policy: Policy,
    tokenizer: Tokenizer,
    result: PracticeResult,
    *,
    read: int,
    trained: int,
) -> None:
    """`read` models read each answer besides (policy, reference, reward and perhaps value), `trained` of them learn; of
    the pretraining text beside them the policy alone.
    """
    config = policy.model.config
    per_token = config.flops_per_token(64)
    forward = result.tokens_sampled + read * result.tokens_trained
    flops = per_token / 3 * forward + per_token * trained * result.tokens_trained
    flops += config.flops_per_token(config.context) * result.tokens_mixed
    figures = {"seconds": result.seconds, "tokens": result.tokens_trained, "tokens_sampled": result.tokens_sampled}
    final = policy.result()  # of sharded weights, all ranks have a part
    run.ranks.of_first(lambda: _finish(run, spot, final, tokenizer, flops=flops, **figures))


def _dpo(run: Run) -> None:
    settings = run.recipe.dpo
    assert settings is not None
    tokenizer, spot = Tokenizer.load(run.folder / "sft"), workspace(run, "dpo")
    policy = load_language_model(run.folder / "sft")
    trainer = DpoTrainer(policy, tokenizer, *split_comparisons(run), settings, spot)
    of_world = run.recipe.reward is not None and run.recipe.reward.data is None
    result = dpo(trainer, gold_measure(run, tokenizer) if of_world else None)
    flops = policy.config.flops_per_token(64) * result.tokens * 4 / 3
    _finish(run, spot, policy, tokenizer, flops=flops, **dataclasses.asdict(result))


def _rejection(run: Run) -> None:
    settings = run.recipe.rejection
    assert settings is not None
    tokenizer, spot = Tokenizer.load(run.folder / "sft"), workspace(run, "rejection")
    model, reward = load_language_model(run.folder / "sft"), reward_of(run, settings, tokenizer, spot.path)
    prompts, held_out = practice_prompts(run, settings)
    room = settings.max_new_tokens + 1
    prompts = that_fit(prompts[: settings.prompts], tokenizer, model.config.context, room=room)
    model = model.to(spot.path.device).eval()
    choose = partial(choose_best, model, reward, tokenizer, prompts, settings, seed=run.recipe.seed)
    chosen = chosen_once(spot.checkpoints / "chosen.json", choose)
    told = f"reward {chosen.best_reward:+.2f}, of all {chosen.mean_reward:+.2f}"
    say(f"rejection    {len(chosen.conversations)} answers chosen, {told}")
    learning = SftSettings(
        epochs=settings.epochs,
        batch_rows=settings.batch_rows,
        pretrain_rows=settings.pretrain_rows,
        optimizer=settings.optimizer,
    )
    shown, chats = chosen.conversations, list[Conversation]()
    if settings.data is None:
        chats = world.demonstrations("validation", len(prompts) // 10 + 1, seed=run.recipe.seed)
    else:  # there are no demonstrations: some of the chosen answers stand in for them
        shown, chats = [c for i, c in enumerate(shown) if i % 20] or shown, shown[::20]
    trainer = SftTrainer(model, tokenizer, shown, chats, pretrain_batches(run), learning, spot)
    result = sft(trainer, practice_measure(run, tokenizer, reward, settings, held_out))
    per_token = model.config.flops_per_token(64)
    flops = (
        model.config.flops_per_token(model.config.context) * result.tokens + per_token * chosen.tokens_sampled * 2 / 3
    )
    figures = {"tokens_sampled": chosen.tokens_sampled, **dataclasses.asdict(result)}
    _finish(run, spot, model, tokenizer, flops=flops, **figures)


def _finish(run: Run, spot: Workspace, model: LanguageModel, tokenizer: Tokenizer, **figures: Any) -> None:
    nats, bits, _ = evaluate_language(model, tokenizer, open_run_corpus(run), spot)
    finish_model(run, spot, model, tokenizer, **(figures | {"validation_loss": nats, "bits_per_byte": bits}))

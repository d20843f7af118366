"""What answers are rewarded for in a run, made of its settings; the prompts that are practised on."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from gptwright import world
from gptwright.data.conversations import read_prompts
from gptwright.errors import InputError
from gptwright.feedback.rubric import Judge, check_judge, rubric_judge
from gptwright.model.folder import load_scalar_model, read_scalar_config
from gptwright.model.transformer import LanguageModel
from gptwright.pipeline.run import Run
from gptwright.pipeline.start import find_model
from gptwright.pipeline.wiring import MEASURE_PROMPTS, check_drawn, gold_measure, set_aside
from gptwright.practice_settings import PracticeSettings, Practised
from gptwright.recipe import nth
from gptwright.records import Prompt
from gptwright.reward_settings import (
    LengthReward,
    MatchReward,
    ModelReward,
    NumberReward,
    RepetitionReward,
    RewardPart,
    RubricReward,
    TestsReward,
)
from gptwright.stages.answers import sample_answers, that_fit
from gptwright.stages.guard import watched_parts
from gptwright.stages.rewards import (
    Answered,
    Part,
    Reward,
    answered,
    length_reward,
    match_reward,
    model_reward,
    repetition_reward,
    text_reward,
    weighted,
)
from gptwright.stages.sft import Measure
from gptwright.tasks import verifiers
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath, frozen


def practice_prompts(run: Run, settings: Practised) -> tuple[list[Prompt], list[Prompt]]:
    """(to practise on, held out): of a file's prompts every twentieth, with all that begin alike; of the world's, of
    which there are endless many, none is held out, for the validation pool is there.
    """
    if settings.data is None:
        return world.prompts("rl", settings.world_prompts, seed=run.recipe.seed), []
    found = distinct_prompts(settings)
    aside = set_aside((prompt.messages for prompt in found), 20)
    held_out = [prompt for prompt in found if prompt.messages in aside]
    return [prompt for prompt in found if prompt.messages not in aside], held_out[:MEASURE_PROMPTS]


def distinct_prompts(settings: Practised) -> list[Prompt]:
    """A file's prompts, each once, fit for the rewards. Raises InputError for what could not be practised on."""
    assert settings.data is not None
    found = list({prompt.messages: prompt for prompt in read_prompts(settings.data)}.values())
    if len(found) < 2:
        raise InputError(
            f"{settings.data} has {len(found)} prompt: give at least 2, one to practise and one to hold out"
        )
    check_details(settings, found)
    return found


def check_practice(name: str, settings: Practised, seed: int) -> None:
    """Before the stages ahead spend hours: raises InputError for prompts, rubrics and verifiers that can't be used."""
    prompts = distinct_prompts(settings) if settings.data is not None else []
    if settings.data is None:
        wanted = "rejection.prompts" if name == "rejection" else f"{name}.steps and {name}.episodes"
        check_drawn(wanted, "rl", settings.world_prompts, seed)
    asked = {
        "use_cases": {prompt.use_case for prompt in prompts} or set(world.USE_CASE_PERCENT),
        "kinds": {str(p.details["kind"]) for p in prompts if "kind" in p.details} if prompts else set(world.KINDS),
    }
    for name, part in settings.parts.items():
        if isinstance(part, RubricReward):
            check_judge(judge_found(part))
            for selector, there in asked.items():
                if strange := sorted(set(getattr(part, selector)) - there):
                    raise InputError(
                        f"rewards.{name}.{selector} has {strange[0]!r}, which no prompt has: use some of "
                        f"{sorted(there)}"
                    )
        elif isinstance(part, ModelReward) and part.folder is not None:
            find_model(part.folder)


def judge_found(part: RubricReward) -> RubricReward:
    """With the folder of a judge that is named as a run's stage. Raises InputError where there is none."""
    return part if part.is_endpoint else part.model_copy(update={"judge": str(find_model(part.judge))})


def judge_of(run: Run, part: RubricReward, device: str) -> Judge:
    """Who answers the rubric's questions, a folder's model on `device`. An endpoint's replies are kept in the run's
    folder.
    """
    return rubric_judge(judge_found(part), device, run.folder / "judge_replies.jsonl")


def check_reward_models(run: Run) -> None:
    """Once the run has its tokenizer, and before pretraining spends hours: raises InputError for a reward model from
    elsewhere that cannot read the run's answers.
    """
    tokenizer = Tokenizer.load(run.folder / "tokenizer")
    practised: tuple[Practised | None, ...] = (run.recipe.rejection, run.recipe.grpo, run.recipe.ppo)
    for part in (part for settings in practised if settings for part in settings.parts.values()):
        if isinstance(part, ModelReward) and part.folder is not None:
            check_readable(find_model(part.folder), tokenizer, run.recipe.model.context)


def check_readable(folder: Path, tokenizer: Tokenizer, context: int) -> None:
    """Raises InputError where the folder's reward model cannot read answers of this tokenizer that end within so many
    tokens.
    """
    config, _ = read_scalar_config(folder)
    if Tokenizer.load(folder).fingerprint != tokenizer.fingerprint:
        raise InputError(
            f"reward model {folder} has another tokenizer than this run: train one on this run's comparisons, or set "
            "pretrain.start to the model that it comes from"
        )
    if config.context < context:
        raise InputError(
            f"reward model {folder} reads {config.context} tokens, and this run's answers end within {context}: it "
            "would not see their ends; take one with as long a context"
        )


def check_details(settings: Practised, prompts: Sequence[Prompt]) -> None:
    """Raises InputError for a prompt that lacks what a verifier goes by."""
    for part in settings.parts.values():
        if isinstance(part, NumberReward):
            verifiers.check_numbers(prompts)
        elif isinstance(part, TestsReward):
            verifiers.check_tests(prompts)


def reward_of(run: Run, settings: Practised, tokenizer: Tokenizer, path: FastPath, number: int = 1) -> Reward:
    """All parts with their weights, and what the guard watches; the run's own reward model is round `number`'s. Several
    ranks share the answers out, since each of a recipe's parts looks at one answer at a time.
    """

    def made(part: RewardPart) -> Part:
        found = _part(run, part, tokenizer, path, nth("reward", number))
        return lambda answers: run.ranks.shared_out(answers, found)

    parts = {name: (made(part), part.weight) for name, part in settings.rewards.items()}
    if isinstance(settings, PracticeSettings) and settings.guard is not None:
        parts |= watched_parts({name: signed(made(part), part.weight) for name, part in settings.guard.watch.items()})
    return weighted(parts)


def signed(part: Part, weight: float) -> Part:
    """With the sign of its weight: what is watched is better the more of it there is."""
    return lambda answers: [math.copysign(score, score * weight) if score else 0.0 for score in part(answers)]


def files_of(parts: Iterable[RewardPart]) -> tuple[str, ...]:
    """What these depend on outside the run: rubrics, judges and reward models. What is not there, `check_practice`
    tells.
    """
    found = list[str]()
    for part in parts:
        if isinstance(part, RubricReward):
            found.append(part.rubric)
        named = part.folder if isinstance(part, ModelReward) else None
        if isinstance(part, RubricReward) and not part.is_endpoint:
            named = part.judge
        if named is not None:
            with contextlib.suppress(InputError):
                found.append(str(find_model(named)))
    return tuple(found)


def _part(run: Run, part: RewardPart, tokenizer: Tokenizer, path: FastPath, own: str) -> Part:
    match part:
        case ModelReward():
            return _model_part(run, part, tokenizer, path, own)
        case NumberReward():
            return text_reward(verifiers.number_is_right)
        case TestsReward():
            return text_reward(partial(verifiers.share_of_tests, seconds=part.seconds))
        case MatchReward():
            return match_reward(part.pattern, tokenizer)
        case LengthReward():
            return length_reward(part.over)
        case RepetitionReward():
            return repetition_reward
        case RubricReward():
            return rubric_reward(part, judge_of(run, part, path.device))


def _model_part(run: Run, part: ModelReward, tokenizer: Tokenizer, path: FastPath, own: str) -> Part:
    folder = run.folder / own if part.folder is None else find_model(part.folder)
    if part.folder is not None:
        check_readable(folder, tokenizer, run.recipe.model.context)
    return model_reward(frozen(load_scalar_model(folder), path, run.recipe.machine), tokenizer, path)


def rubric_reward(part: RubricReward, judge: Judge) -> Part:
    """The judge's points for answers to the prompts that the rubric is for, 0 for others."""

    def is_for(prompt: Prompt) -> bool:
        of_kind = not part.kinds or prompt.details.get("kind") in part.kinds
        return of_kind and (not part.use_cases or prompt.use_case in part.use_cases)

    def score(answers: Sequence[Answered]) -> list[float]:
        judged = [i for i, each in enumerate(answers) if is_for(each.prompt)]
        scores = [0.0] * len(answers)
        points = judge([(answers[i].prompt.messages, answers[i].text) for i in judged])
        for i, value in zip(judged, points, strict=True):
            scores[i] = value
        return scores

    return score


def ended_or(scores: Sequence[float], answers: Sequence[Answered], settings: Practised) -> list[float]:
    """What practice takes the answers for: one that did not end has its fixed score."""
    no_end = settings.no_end_score if isinstance(settings, PracticeSettings) else None
    return [
        score if no_end is None or answer.completion.finish_reason == "stop" else no_end
        for score, answer in zip(scores, answers, strict=True)
    ]


def practice_measure(
    run: Run, tokenizer: Tokenizer, reward: Reward, settings: Practised, held_out: Sequence[Prompt]
) -> Measure:
    """What is looked at on the way: gold scores on the world, else the reward and its parts on held-out prompts."""
    if not held_out:
        return gold_measure(run, tokenizer, settings.max_new_tokens)
    prompts = that_fit(held_out, tokenizer, run.recipe.model.context, room=settings.max_new_tokens + 1)

    def measure(model: LanguageModel) -> dict[str, float]:
        sampled = sample_answers(
            model,
            tokenizer,
            prompts,
            seed=run.recipe.seed,
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
            ranks=run.ranks,
        )
        answers = answered(prompts, sampled, tokenizer)
        rewarded = reward(answers)
        means = {name: sum(scores) / len(scores) for name, scores in rewarded.parts.items()}
        total = sum(ended_or(rewarded.total, answers, settings)) / len(answers)
        return {"held_out/reward": total, **{f"held_out/{name}": mean for name, mean in means.items()}}

    return measure

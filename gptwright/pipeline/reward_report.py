"""How good a run's reward model is: on comparisons it never saw, against the labellers' own agreement, and as the judge
of the best of n answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gptwright import world
from gptwright.errors import InputError
from gptwright.evaluate import preference
from gptwright.model.folder import load_language_model
from gptwright.model.transformer import ScalarModel
from gptwright.pipeline.start import find_model
from gptwright.practice_settings import Practised
from gptwright.recipe import nth
from gptwright.records import Comparison
from gptwright.reward_settings import ModelReward
from gptwright.stages.answers import sample_answers, that_fit
from gptwright.stages.reward import RewardTrainer
from gptwright.stages.rewards import Answered, answered, choosable, model_reward
from gptwright.tasks import world as world_task
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.fast_path import FastPath
from gptwright.train.progress import Progress, say

if TYPE_CHECKING:
    from gptwright.pipeline.run import Run

BEST_OF_PROMPTS = 100
BEST_OF = (1, 2, 4, 8, 16)


def check_reward_model(run: Run, settings: Practised, number: int = 1) -> None:
    """Raises InputError where a reward model is too bad to be practised against: the run's own, or one from elsewhere
    whose lineage says how good it is.
    """
    for part in settings.parts.values():
        if not isinstance(part, ModelReward) or not settings.least_accuracy:
            continue
        folder = run.folder / nth("reward", number) if part.folder is None else find_model(part.folder)
        lineage = folder / "lineage.json"
        told = json.loads(lineage.read_text(encoding="utf-8")) if lineage.is_file() else {}
        accuracy = told.get("validation_accuracy", 1.0)
        if not accuracy >= settings.least_accuracy:
            measured = f"orders {accuracy:.1%} of held-out pairs"
            raise InputError(
                f"reward model {folder} {'was measured on no held-out pair' if math.isnan(accuracy) else measured} as "
                f"labelled, and least_accuracy asks for {settings.least_accuracy:.0%}: collect more comparisons or "
                "train it better, or set least_accuracy to 0"
            )


def reward_figures(
    run: Run,
    trainer: RewardTrainer,
    scale: float,
    train: Sequence[Comparison],
    scores: Sequence[Sequence[float]],
    number: int = 1,
) -> dict[str, Any]:
    """Every figure of the report on round `number`'s reward model, whose `scores` of `trainer.held_out` were divided by
    `scale`; what needs the truth only where the world knows it.
    """
    ranked = [(c, own) for c, own in zip(trainer.held_out, scores, strict=True) if c.pairs()]
    held_out, score_rows = [c for c, _ in ranked], [own for _, own in ranked]
    if not held_out:
        say("  no held-out comparison has a better and a worse answer: the reward model cannot be measured")
        return {}
    flat = [score for scores in score_rows for score in scores]
    differences, outcomes = preference.pair_differences(held_out, score_rows)
    curve = preference.calibration(differences * scale, outcomes)
    lengths = [len(answer.split()) for comparison in held_out for answer in comparison.answers]
    by_distance = preference.accuracy_by_rank_distance(held_out, score_rows)
    by_use_case = preference.accuracy_by(held_out, score_rows, lambda each: each.prompt.use_case)
    by_labeller = preference.accuracy_by(held_out, score_rows, lambda each: each.labeller)
    new = {comparison.labeller for comparison in held_out} - {comparison.labeller for comparison in train}
    found: dict[str, Any] = {
        "accuracy": preference.pair_accuracy(held_out, score_rows).to_json(),
        "calibration": curve,
        "expected_calibration_error": preference.expected_calibration_error(curve),
        "length_correlation": preference.length_correlation(flat, lengths),
        "by_rank_distance": {str(distance): figure.to_json() for distance, figure in by_distance.items()},
        "by_use_case": {case: figure.to_json() for case, figure in by_use_case.items()},
        "by_labeller": {name: figure.to_json() | {"new": name in new} for name, figure in by_labeller.items()},
        "histogram": preference.score_histogram(held_out, score_rows),
        "disagreements": preference.worst_disagreements(held_out, score_rows),
    }
    if _of_world(run, number):
        found |= _against_the_truth(run, held_out)
        found["best_of_n"] = _best_of_n(run, trainer.model, trainer.tokenizer, trainer.workspace.path)
    elif agreed := preference.agreement_among([*train, *held_out]):
        found["agreement"] = agreed.to_json()
    return found


def _of_world(run: Run, number: int) -> bool:
    """Whether all of a round's comparisons are of simulated labellers, who can be asked again."""
    rounds = run.recipe.rounds
    later = number > 1 and rounds is not None and bool(rounds.data or rounds.rubric or rounds.judged)
    return run.recipe.reward is not None and run.recipe.reward.data is None and not later


def _against_the_truth(run: Run, held_out: Sequence[Comparison]) -> dict[str, Any]:
    """What a judge who knows each answer's worth would score, and how often two labellers agree."""
    utilities = [[world.utility(c.prompt, answer) for answer in c.answers] for c in held_out]
    again = [second_opinion(c, run.recipe.seed * 1_000_003 + 777 + i) for i, c in enumerate(held_out)]
    return {
        "ceiling": preference.ceiling(held_out, utilities).to_json(),
        "agreement": preference.agreement(again, held_out).to_json(),
    }


def second_opinion(comparison: Comparison, seed: int) -> Comparison:
    """Somebody else's ranking of the same answers."""
    asked = (world.compare(comparison.prompt, comparison.answers, seed=seed, colleague=n) for n in range(2))
    return next(each for each in asked if each.labeller != comparison.labeller)


def _best_of_n(run: Run, model: ScalarModel, tokenizer: Tokenizer, path: FastPath) -> dict[str, Any]:
    """Gold score of the SFT model's answer that the reward model likes best of n: what it is worth as a judge."""
    prompts = world.prompts("validation", BEST_OF_PROMPTS, seed=run.recipe.seed)
    sft = load_language_model(run.folder / "sft").to(path.device)
    assert run.recipe.reward is not None
    limit, each = run.recipe.reward.max_new_tokens, max(BEST_OF)
    prompts = that_fit(prompts, tokenizer, sft.config.context, room=limit + 1)
    sampled = sample_answers(
        sft,
        tokenizer,
        prompts,
        seed=run.recipe.seed + 3,
        temperature=1.0,
        max_new_tokens=limit,
        each=each,
        progress=Progress(f"best of {each}", each * len(prompts)),
    )
    answers = answered(prompts, sampled, tokenizer)
    return best_figures(answers, model_reward(model, tokenizer, path)(answers))


def best_figures(answers: Sequence[Answered], scores: Sequence[float]) -> dict[str, Any]:
    """Gold score of the best of n by these scores, of the most of `BEST_OF` answers to each prompt."""
    scores, each = choosable(scores, answers), max(BEST_OF)
    worths = [row.score for row in world_task.score([a.prompt for a in answers], [a.text for a in answers])]
    rows = range(0, len(answers), each)
    figures = preference.best_of_n([scores[i : i + each] for i in rows], [worths[i : i + each] for i in rows], BEST_OF)
    return {str(n): figure.to_json() for n, figure in figures.items()}

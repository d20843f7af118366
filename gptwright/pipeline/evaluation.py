"""The measuring of a run: every model answers the same held-out prompts, and evaluation.json says what each stage
gained.

All figures come from the test pool of the world, whose facts no demonstration, comparison or RL prompt ever asked for.
The gold judge scores; nothing learns from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptwright import world
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Completion, Request
from gptwright.evaluate import compute, diversity
from gptwright.evaluate.generative import accuracy, by_use_case
from gptwright.evaluate.intervals import proportion
from gptwright.evaluate.likelihood import answer_statistics
from gptwright.evaluate.pairwise import win_rate
from gptwright.evaluate.ratings import ratings
from gptwright.model.folder import load_language_model
from gptwright.model.transformer import LanguageModel
from gptwright.pipeline.wiring import FIGURES, open_run_corpus, place, workspace
from gptwright.practice_settings import MOST_ROUNDS
from gptwright.recipe import Recipe, nth
from gptwright.records import Prompt
from gptwright.stages.answers import answer_text, sample_answers, that_fit
from gptwright.stages.pretrain import evaluate_language
from gptwright.tasks import world as world_task
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.progress import Progress, say
from gptwright.world.documents import looks_like_tasks
from gptwright.world.verse import poem_faults

if TYPE_CHECKING:
    from gptwright.pipeline.run import Run

STATISTICS_ANSWERS = 300
BEHAVIOUR_PROMPTS = 100
NEXT_EXAMPLE = "\nQuestion:"
"""Where an answer after a few examples ends."""
PREFERRED = ("dpo", "rejection", "grpo", *(nth("ppo", number) for number in range(1, MOST_ROUNDS + 1)))
"""Those that went on from SFT by what people prefer."""
ASSISTANTS = ("sft", *PREFERRED, "ppo_without_mix")


@dataclass(frozen=True)
class Answered:
    """One model's answers to the test prompts."""

    texts: list[str]
    scored: list[world_task.Scored]
    completions: list[Completion]


def evaluate_run(run: Run) -> None:
    """Write `evaluation/` and, in the run's folder, `evaluation.json`."""
    settings = run.recipe.evaluate
    assert settings is not None  # the stage exists only with its section
    tokenizer = Tokenizer.load(run.folder / "base")
    prompts = world.prompts("test", settings.prompts, seed=run.recipe.seed)
    prompts = that_fit(prompts, tokenizer, run.recipe.model.context)
    names = [name for name in ASSISTANTS if name in run.fingerprints]  # another recipe's may lie beside them
    device = workspace(run, "evaluation").path.device
    models = {name: load_language_model(run.folder / name).to(device) for name in ["base", *names]}
    progress = Progress("evaluation", 2 * len(models))
    answered = answer_all(models, tokenizer, prompts, run, settings.temperature, progress)
    sampled = answer_all({n: models[n] for n in names}, tokenizer, prompts, run, 1.0, progress)
    figures: dict[str, Any] = {
        "models": list(answered),
        "temperature": settings.temperature,
        "prompts": len(prompts),
        **scores(answered, run.recipe.seed),
        "sampled": scores(sampled, run.recipe.seed),
        **variety(models, sampled, tokenizer, prompts, run.recipe.seed),
        "base_behaviour": base_behaviour(models["base"], tokenizer, prompts, run.recipe.seed),
        "bits_per_byte": bits_per_byte(run, models, tokenizer),
        "panel": panel(models, tokenizer, run),
        "stages": stage_table(run.folder, run.recipe, run.fingerprints),
    }
    figures |= reward_models(run)
    progress.advance("likelihood and panel")
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    partial = run.folder / "evaluation.json.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(run.folder / "evaluation.json")
    place(run, "evaluation").finish(lambda folder: None, run.lineage("evaluation"))
    for name in answered:
        overall, gold = figures["accuracy"][name]["all"], figures["gold"][name]["all"]
        say(f"  {name:<16} accuracy {overall['value']:.1%} of {overall['n']}, gold score {gold['value']:.3f}")


def answer_all(
    models: dict[str, LanguageModel],
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    run: Run,
    temperature: float,
    progress: Progress,
) -> dict[str, Answered]:
    """Answers of the base model (as a document, plainly and after a few examples) and of each assistant (as a chat)."""
    settings = run.recipe.evaluate
    assert settings is not None
    answered: dict[str, Answered] = {}
    sampling: dict[str, Any] = {
        "seed": run.recipe.seed + 7,
        "temperature": temperature,
        "max_new_tokens": settings.max_new_tokens,
    }
    for name, model in models.items():
        if name == "base":
            plain = [world.plain_prompt(prompt) + "\n" for prompt in prompts]
            few_shot = [world.few_shot_prompt(prompt) for prompt in prompts]
            for key, texts, stop in (("base", plain, ()), ("base_few_shot", few_shot, (NEXT_EXAMPLE,))):
                completions = complete(model, tokenizer, texts, stop=stop, **sampling)
                answers = [tokenizer.decode(c.ids, skip_special=True) for c in completions]
                # What ends the answer is among its tokens.
                answers = [answer.split(NEXT_EXAMPLE)[0].strip() if stop else answer.strip() for answer in answers]
                answered[key] = Answered(answers, world_task.score(prompts, answers), completions)
        else:
            completions = [each[0] for each in sample_answers(model, tokenizer, prompts, **sampling)]
            answers = [answer_text(completion, tokenizer) for completion in completions]
            answered[name] = Answered(answers, world_task.score(prompts, answers), completions)
        progress.advance(f"{name} at temperature {temperature:g}")
    return answered


def complete(
    model: LanguageModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    seed: int,
    temperature: float,
    max_new_tokens: int,
    stop: tuple[str, ...] = (),
) -> list[Completion]:
    """Each text as the start of a document, continued to the document's end or one of `stop`; of one too long for the
    context, the end (the question is there, examples go first).
    """
    room = max(1, model.config.context - max_new_tokens - 1)
    requests = [
        Request(
            [tokenizer.opening, *tokenizer.encode(text)[-room:]],
            SamplingParams(max_new_tokens, temperature, stop=stop, seed=seed * 1_000_003 + i),
        )
        for i, text in enumerate(texts)
    ]
    return Engine(model, stop_ids={tokenizer.document_end}, tokenizer=tokenizer).generate(requests)


def scores(answered: dict[str, Answered], seed: int) -> dict[str, Any]:
    """Accuracy, gold score, accuracy on held-out facts and phrasings, win rates of each model over the ones before it,
    ratings of them all.
    """
    found: dict[str, Any] = {key: {} for key in ("accuracy", "gold", "held_out_facts", "held_out_phrasings")}
    found["win_rates"] = []
    for name, answers in answered.items():
        figures = by_use_case(answers.scored, seed=seed)
        found["accuracy"][name] = {key: figure.to_json() for key, figure in figures.accuracy.items()}
        found["gold"][name] = {key: figure.to_json() for key, figure in figures.gold.items()}
        facts = accuracy([row for row in answers.scored if row.fact])
        phrasings = accuracy([row for row in answers.scored if row.new_phrasing])
        for key, figure in (("held_out_facts", facts), ("held_out_phrasings", phrasings)):
            if figure is not None:
                found[key][name] = figure.to_json()
    pairs = [("sft", "base"), ("sft", "base_few_shot"), *((name, "sft") for name in PREFERRED)]
    pairs += [(nth("ppo", number), nth("ppo", number - 1)) for number in range(2, MOST_ROUNDS + 1)]
    pairs += [("ppo", "base"), ("ppo", "ppo_without_mix")]
    for first, second in pairs:
        if first in answered and second in answered:
            gold = [[row.score for row in answered[name].scored] for name in (first, second)]
            found["win_rates"].append({"a": first, "b": second, **win_rate(*gold, seed=seed).to_json()})
    gold_scores = {name: [row.score for row in answers.scored] for name, answers in answered.items()}
    rated = ratings(gold_scores, "sft", seed=seed) if len(gold_scores) > 1 else {}
    found["ratings"] = {name: figure.to_json() for name, figure in rated.items()}
    return found


def variety(
    models: dict[str, LanguageModel],
    answered: dict[str, Answered],
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    seed: int,
) -> dict[str, Any]:
    """Of answers sampled at temperature 1: distinct-n, self-BLEU, the share of pairs that open alike, and of assistants
    entropy and KL to the SFT model.
    """
    found: dict[str, Any] = {"entropy": {}, "distinct": {}, "self_bleu": {}, "same_opening": {}, "kl": {}}
    for name, answers in answered.items():
        texts = answers.texts[:STATISTICS_ANSWERS]
        found["distinct"][name] = {str(n): diversity.distinct_n(texts, n) for n in (1, 2)}
        found["self_bleu"][name] = diversity.self_bleu(texts)
        found["same_opening"][name] = diversity.identical_opening_share(texts)
        if name not in ASSISTANTS:
            continue
        exchanges = [
            (render_prompt(prompt.messages, tokenizer), completion.ids)
            for prompt, completion in zip(prompts, answers.completions[:STATISTICS_ANSWERS], strict=False)
        ]
        statistics = answer_statistics(models[name], models["sft"], exchanges, seed=seed)
        found["entropy"][name] = statistics.entropy
        if name != "sft":
            found["kl"][name] = {"k1": statistics.k1.to_json(), "k3": statistics.k3.value}
    return found


def base_behaviour(model: LanguageModel, tokenizer: Tokenizer, prompts: Sequence[Prompt], seed: int) -> dict[str, Any]:
    """Does a base model behave like one: asked for a poem it goes on listing tasks; told that here is one, it writes
    it.
    """
    poems_asked = [prompt.details for prompt in prompts if prompt.details["kind"] == "poem"]
    pairs = [(details["first"], details["second"]) for details in poems_asked[:BEHAVIOUR_PROMPTS]]
    if not pairs:
        return {}
    sampling: dict[str, Any] = {"seed": seed, "temperature": 0.7, "max_new_tokens": 80}
    asked = complete(model, tokenizer, [f"Write a poem about {a} and {b}.\n" for a, b in pairs], **sampling)
    told = complete(model, tokenizer, [f"Here is a poem about {a} and {b}:\n\n" for a, b in pairs], **sampling)
    tasks = sum(looks_like_tasks(tokenizer.decode(c.ids, skip_special=True)) for c in asked)
    poems = 0
    for (a, b), completion in zip(pairs, told, strict=True):
        verse = tokenizer.decode(completion.ids, skip_special=True).strip().split("\n\n")[0]
        poems += not poem_faults(verse, a, b)
    return {
        "continues_tasks": proportion(tasks, len(pairs)).to_json(),
        "writes_poem": proportion(poems, len(pairs)).to_json(),
    }


def bits_per_byte(run: Run, models: dict[str, LanguageModel], tokenizer: Tokenizer) -> dict[str, float]:
    """Of held-out pretraining text: what finetuning and RL cost the language model."""
    corpus = open_run_corpus(run)
    spot = workspace(run, "evaluation")
    found = {}
    for name, model in models.items():
        lineage = json.loads((run.folder / name / "lineage.json").read_text(encoding="utf-8"))
        measured = lineage.get("bits_per_byte")  # by the stage that made it, of the same rows
        found[name] = measured or evaluate_language(model, tokenizer, corpus, spot).bits_per_byte
    return found


def reward_models(run: Run) -> dict[str, Any]:
    """What the reward stages found out about their models; of later rounds' models the accuracy and its ceiling."""
    found = {
        number: json.loads(file.read_text(encoding="utf-8"))
        for number in range(1, MOST_ROUNDS + 1)
        if (name := nth("reward", number)) in run.fingerprints and (file := run.folder / name / FIGURES).is_file()
    }
    later = {
        str(number): {key: figures[key] for key in ("accuracy", "ceiling", "agreement") if key in figures}
        for number, figures in found.items()
        if number > 1 and figures
    }
    return ({"reward_model": found[1]} if 1 in found else {}) | ({"later_reward_models": later} if later else {})


def panel(models: dict[str, LanguageModel], tokenizer: Tokenizer, run: Run) -> list[dict[str, Any]]:
    """The same twelve prompts answered by every model, greedily."""
    sampling: dict[str, Any] = {"seed": run.recipe.seed, "temperature": 0.0, "max_new_tokens": 80}
    answers: dict[str, list[str]] = {}
    for name, model in models.items():
        if name == "base":
            texts = [world.plain_prompt(prompt) + "\n" for prompt in world.PANEL]
            completions = complete(model, tokenizer, texts, **sampling)
        else:
            completions = [each[0] for each in sample_answers(model, tokenizer, world.PANEL, **sampling)]
        answers[name] = [answer_text(completion, tokenizer).strip() for completion in completions]
    rows = []
    for index, prompt in enumerate(world.PANEL):
        verdicts = {name: world.judge(prompt, texts[index]) for name, texts in answers.items()}
        rows.append(
            {
                "use_case": prompt.use_case,
                "prompt": "\n".join(message.content for message in prompt.messages),
                "answers": {
                    name: {"text": answers[name][index], "score": verdict.score, "correct": verdict.correct}
                    for name, verdict in verdicts.items()
                },
            }
        )
    return rows


_WORDS = {
    "base": ("pretraining", "raw text of the world, seven sources by LLaMA's shares", "predict the next token"),
    "sft": ("supervised finetuning", "demonstrations", "predict the next token of the answer"),
    "reward": ("reward model", "ranked answers of the SFT model", "binary classification of pairs"),
    "dpo": ("direct preference optimization", "ranked answers of the SFT model", "pairs by the policy's own odds"),
    "rejection": ("rejection sampling", "the best of many answers by the reward model", "predict the next token"),
    "grpo": ("reinforcement learning", "prompts, several answers each", "rewards compared within a prompt"),
    "ppo": ("reinforcement learning", "prompts, answers by the policy", "PPO, per-token KL, pretraining mix"),
}
_PARENTS = {"base": "from random weights", "sft": "from base", "reward": "from SFT", "dpo": "from SFT"} | dict.fromkeys(
    ("rejection", "grpo", "ppo"), "from SFT, judged by RM"
)


def _parent(stage: str, lineage: dict[str, Any]) -> str:
    """What the stage's model was before."""
    return f"from {lineage['parent']}" if "parent" in lineage else _PARENTS[stage]


def _read_by(stage: str, recipe: Recipe) -> str:
    """In words, what the stage learned from."""
    given, ranked = recipe.data, recipe.reward.data if recipe.reward else None
    own = {
        "base": "text of one's own" if given.files is not None or given.sources is not None else None,
        "sft": "conversations of one's own" if recipe.sft and recipe.sft.data else None,
    } | dict.fromkeys(("reward", "dpo"), "ranked answers of one's own" if ranked else None)
    return own.get(stage) or _WORDS[stage][1]


def _besides(stage: str, recipe: Recipe) -> str:
    """In words, what the recipe adds to the stage's algorithm."""
    sft, reward, ppo = recipe.sft, recipe.reward, recipe.ppo
    added = {
        "sft": sft is not None and sft.pretrain_rows > 0 and ", and of some pretraining text",
        "reward": reward is not None and reward.language_weight > 0 and ", and the best answer's next tokens",
        "ppo": ppo is not None and ppo.interpolation < 1 and f"; saved {ppo.interpolation:.0%} of the way from SFT",
    }
    return added.get(stage) or ""


def stage_table(folder: Path, recipe: Recipe, asked: Collection[str]) -> list[dict[str, Any]]:
    """The talk's four columns with this run's numbers, of the stages that are `asked` for and there; sampling
    comparisons counts with the reward model.
    """
    rounds = range(1, MOST_ROUNDS + 1)
    trained = {name: name for name in _WORDS}
    trained |= {nth(name, number): name for number in rounds for name in ("reward", "ppo")}
    lineages = {
        name: json.loads((folder / name / "lineage.json").read_text(encoding="utf-8"))
        for name in [*trained, *(nth("comparisons", number) for number in rounds)]
        if name in asked and (folder / name / "lineage.json").is_file()
    }
    for number in rounds:
        sampling, training = (lineages.get(nth(stage, number), {}) for stage in ("comparisons", "reward"))
        for cost in ("flops", "seconds"):
            if cost in training:
                training[cost] += sampling.get(cost, 0.0)
    flops = {name: float(lineage.get("flops", 0.0)) for name, lineage in lineages.items()}
    shares = compute.shares({name: flops[name] for name in trained if name in flops})
    return [
        {
            "stage": _WORDS[trained[name]][0],
            "data": _read_by(trained[name], recipe),
            "algorithm": _WORDS[trained[name]][2] + _besides(trained[name], recipe),
            "model": f"{lineages[name]['parameters'] / 1e6:.2f}M parameters, {_parent(trained[name], lineages[name])}",
            "tokens": lineages[name].get("tokens"),
            "seconds": lineages[name].get("seconds"),
            "flops": flops[name],
            "share": shares[name],
        }
        for name in trained
        if name in lineages
    ]

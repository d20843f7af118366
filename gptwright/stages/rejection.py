"""Rejection sampling: of many answers to a prompt, the one that the reward model likes best becomes a demonstration.

The simplest way to use a reward model: no policy gradient, no KL, only sampling and the loss of finetuning. The talk's
question is how much of PPO's gain it brings.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gptwright.errors import RunError
from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import RejectionSettings
from gptwright.records import Conversation, Prompt, conversation_from_json, to_json
from gptwright.stages.answers import sample_answers
from gptwright.stages.rewards import Reward, answered
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.progress import Progress

PROMPTS_AT_ONCE = 256


@dataclass(frozen=True)
class Chosen:
    """The demonstrations that were chosen, and the mean reward of those and of all answers."""

    conversations: list[Conversation]
    best_reward: float
    mean_reward: float
    tokens_sampled: int


def chosen_once(path: Path, choose: Callable[[], Chosen]) -> Chosen:
    """What is chosen, stored at `path`: a judge may say something else the second time, and a run that is resumed goes
    on with what it began with.
    """
    if not path.is_file():
        found = choose()
        rows = {**dataclasses.asdict(found), "conversations": [to_json(each) for each in found.conversations]}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(rows), encoding="utf-8")
        partial.replace(path)
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Chosen(**stored | {"conversations": [conversation_from_json(each) for each in stored["conversations"]]})


def choose_best(
    model: LanguageModel,
    reward: Reward,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    settings: RejectionSettings,
    *,
    seed: int,
) -> Chosen:
    """Sample `settings.answers` to each prompt and keep the best that ended by itself. Raises RunError if none did."""
    conversations, rewards, best, tokens = list[Conversation](), list[float](), list[float](), 0
    progress = Progress("rejection", len(prompts) * settings.answers)
    for start in range(0, len(prompts), PROMPTS_AT_ONCE):
        some = prompts[start : start + PROMPTS_AT_ONCE]
        sampled = sample_answers(
            model,
            tokenizer,
            some,
            seed=seed * 1_000_003 + start,
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
            each=settings.answers,
            progress=progress,
        )
        tokens += sum(len(completion.ids) for completions in sampled for completion in completions)
        answers = answered(some, sampled, tokenizer)
        finished = [answer for answer in answers if answer.completion.finish_reason == "stop"]
        scored = list(zip(finished, reward(finished).total, strict=True))
        rewards += [score for _, score in scored]
        for prompt in some:
            own = [(score, answer.turn) for answer, score in scored if answer.prompt is prompt]
            if own:
                score, turn = max(own, key=lambda each: each[0])
                best.append(score)
                conversations.append(Conversation((*prompt.messages, turn), id=prompt.id, source="rejection"))
    if not conversations:
        raise RunError(
            f"none of the answers to {len(prompts)} prompts ended within {settings.max_new_tokens} tokens: there is "
            "nothing to learn from; raise rejection.max_new_tokens or finetune longer first"
        )
    return Chosen(conversations, sum(best) / len(best), sum(rewards) / len(rewards), tokens)

"""The embedded world: documents, prompts, demonstrations, a gold judge and simulated labellers, all made from a seed.

    prompts("rl", 12_000, seed=0)                    prompts in InstructGPT's proportions; pools never overlap
    demonstrate(prompt, seed=0)                      a right answer, as one of many people would write it
    judge(prompt, "Paris.").score                    how good an answer is, by rules
    compare(prompt, answers, seed=0)                 how one of five labellers ranks answers

Everything is small and closed, so that a model of a million parameters can learn it in minutes, and an answer to most
prompts can be checked by program.
"""

from gptwright.world.corrupt import plausible_answers
from gptwright.world.demonstrations import demonstrate, demonstrations
from gptwright.world.documents import SOURCES, document, documents
from gptwright.world.judge import Judgement, judge
from gptwright.world.labellers import LABELLERS, NOISE, Labeller, agreement, compare, utility
from gptwright.world.panel import PANEL, few_shot, few_shot_prompt, plain_prompt
from gptwright.world.pools import USE_CASE_PERCENT, prompts
from gptwright.world.splits import POOLS, Pool
from gptwright.world.usecases import KINDS

__all__ = [
    "KINDS",
    "LABELLERS",
    "NOISE",
    "PANEL",
    "POOLS",
    "SOURCES",
    "USE_CASE_PERCENT",
    "Judgement",
    "Labeller",
    "Pool",
    "agreement",
    "compare",
    "demonstrate",
    "demonstrations",
    "document",
    "documents",
    "few_shot",
    "few_shot_prompt",
    "judge",
    "plain_prompt",
    "plausible_answers",
    "prompts",
    "utility",
]

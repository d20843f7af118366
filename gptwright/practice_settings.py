"""Settings of the stages that go on from an SFT model by what people prefer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gptwright.reward_settings import ModelReward, NumberReward, PartName, RewardPart, RubricReward, TestsReward
from gptwright.settings import Count, Decay, OptimizerSettings, Positive, Section, Share

MOST_ROUNDS = 9
WATCH = "watch_"
"""Before the names of what the guard watches, where they stand beside those of rewards."""
POLICY = OptimizerSettings(
    learning_rate=3e-4, muon=False, weight_decay=0.0, eps=1e-5, schedule="linear", final=0.1, warmup=0.1
)


def _model_alone() -> dict[PartName, RewardPart]:
    return {"model": ModelReward()}


class Practised(Section, ABC):
    """What answers are sampled to, and what they are rewarded for."""

    data: str | None = None
    """A file of prompts; null takes the world's."""
    rewards: dict[PartName, RewardPart] = Field(min_length=1, default_factory=_model_alone)
    """What an answer is worth, by name, weighted and summed: {judge: {kind: model}, short: {kind: length, over: 60}}.
    """

    max_new_tokens: Count = 80
    temperature: Positive = 1.0
    """Of sampling and of every log-probability."""
    least_accuracy: Share = 0.55
    """Of every reward model that says how good it is, on held-out pairs: one that orders fewer as labelled is not
    practised against.
    """

    @property
    def parts(self) -> dict[str, RewardPart]:
        """All that is looked at, by name."""
        return self.rewards

    @property
    @abstractmethod
    def world_prompts(self) -> int:
        """How many of the world's prompts are practised on."""

    @property
    def asks_reward_model(self) -> bool:
        """Whether the run's own reward model is looked at."""
        return any(isinstance(part, ModelReward) and part.folder is None for part in self.parts.values())

    @property
    def rewarded_by_own_model(self) -> bool:
        """Whether it is practised on."""
        return any(isinstance(part, ModelReward) and part.folder is None for part in self.rewards.values())

    @property
    def checked_by_details(self) -> str:
        """A part that needs prompts which say what is right; empty where there is none."""
        return next((n for n, part in self.parts.items() if isinstance(part, NumberReward | TestsReward)), "")

    @model_validator(mode="after")
    def _names_of_the_guard_are_its_own(self) -> Self:
        for name in self.rewards:
            if name.startswith(WATCH):
                raise ValueError(
                    f"a reward cannot be called {name!r}: names with {WATCH} are the guard's, take another"
                )
        return self


class GuardSettings(Section):
    """When practice stops because its reward is being hacked (stages/guard.py)."""

    watch: dict[PartName, RewardPart] = Field(default_factory=dict)
    """Rewards that are looked at and never practised on, such as a second reward model; of their weights only the sign
    counts.
    """
    stop: bool = True
    """Whether an alarm ends practice and gives back the policy from before the fall; false only says so."""
    window: Count = 4
    """Rounds whose answers are taken together."""
    limit: Positive = 5.0
    """Standard errors by which a watched figure must have fallen."""


class PracticeSettings(Practised):
    """What every kind of practice has: rounds of answers sampled from the policy, scored, and learned from."""

    steps: Count = 40
    """Rounds of rollout and update."""
    episodes: Count = 128
    """Answers sampled per round."""
    minibatches: Count = 4
    """Optimizer steps per pass over a round's answers; fewer by default where a round has fewer prompts."""
    epochs: Count = 1
    """Passes over a round's answers."""
    beta: Annotated[float, Field(ge=0)] = 0.05
    """Weight of the per-token KL to the SFT model."""
    clip: Positive = 0.2
    sampling_weights: Literal["float32", "bfloat16"] = "float32"
    """How exactly a step of decoding in one call (docs/engine.md) reads the policy's weights: bfloat16 is less to read.
    What is learned from has training's own precision either way.
    """
    no_end_score: float = -1.0
    """Score of an answer that ran into the length limit."""
    approx_kl_limit: Positive = 0.1
    """Stop a round's inner updates when the policy has moved this far from the one that sampled."""
    pretrain_mix: Annotated[float, Field(ge=0)] = 0.1
    """PPO-ptx: the pretraining gradient's norm, as a ratio to the policy gradient's; 0 turns it off."""
    pretrain_rows: Count = 8
    """Rows of pretraining text behind each of those gradients."""
    ema: Decay = 0.0
    """Decay of an average of the weights that is saved in place of the last; 0 saves the last (InstructGPT: 0.992)."""
    interpolation: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How far the saved weights go from the SFT model to the policy; 1 saves the policy (InstructGPT). Less gives up
    some score and gets back most of what practice unlearned.
    """
    policy: OptimizerSettings = POLICY
    guard: GuardSettings | None = GuardSettings()
    """The watch over the reward; null turns it off."""
    evaluations: Annotated[int, Field(ge=0)] = 4
    """How often held-out gold score is measured on the way (never trained on)."""

    @model_validator(mode="after")
    def _every_minibatch_has_a_prompt(self) -> Self:
        prompts = max(1, self.episodes // self.each)
        if self.minibatches > prompts:
            if "minibatches" in self.model_fields_set:
                raise ValueError(
                    f"minibatches ({self.minibatches}) are more than a round's prompts ({prompts}): lower it"
                )
            self.__dict__["minibatches"] = prompts
        return self

    @property
    def each(self) -> int:
        """Answers to one prompt of a round."""
        return 1

    @property
    def world_prompts(self) -> int:
        return self.steps * self.episodes // self.each

    @property
    def parts(self) -> dict[str, RewardPart]:
        """Those of the reward, and those that the guard watches."""
        watched = self.guard.watch if self.guard is not None else {}
        return self.rewards | {f"{WATCH}{name}": part for name, part in watched.items()}


class PpoSettings(PracticeSettings):
    """Proximal policy optimization against the reward model; defaults follow docs/ppo.md."""

    adaptive_kl: Positive | None = None
    """Target KL in nats per answer for the controller of Ziegler et al.; null keeps beta fixed."""
    gamma: Share = 1.0
    lam: Share = 0.95
    value_model: Literal["separate", "shared"] = "separate"
    """separate: a model of its own, from the reward model's trunk. shared: a head on the policy's own trunk, which
    saves a model and its optimizer (Ziegler et al., arXiv:1909.08593).
    """
    value_weight: Positive = 0.1
    """With a shared trunk: of the value loss beside the policy's."""
    value_clip: Positive = 0.2
    value_warmup: Annotated[int, Field(ge=0)] = 2
    """Rounds at the start in which only the value model learns."""
    value: OptimizerSettings = POLICY.model_copy(update={"learning_rate": 5e-4})
    """With a shared trunk it moves the head alone."""

    @model_validator(mode="after")
    def _policy_learns(self) -> Self:
        if self.value_warmup >= self.steps:
            raise ValueError(
                f"value_warmup ({self.value_warmup}) leaves none of {self.steps} steps to the policy: lower one or "
                "raise the other"
            )
        if self.adaptive_kl is not None and not self.beta:
            raise ValueError("adaptive_kl has no effect with beta: 0, which it multiplies; remove one of the two")
        return self

    @model_validator(mode="after")
    def _weight_is_the_shared_trunks(self) -> Self:
        if self.value_model == "separate":
            self._refuse_changed(("value_weight",), "with value_model: separate")
        return self


class GrpoSettings(PracticeSettings):
    """Practice without a value model: an answer is as good as its reward is better than a baseline (docs/grpo.md)."""

    answers: Count = 4
    """To each prompt of a round; `episodes` counts all of them."""
    baseline: Literal["group", "leave_one_out", "batch"] = "group"
    """group: mean of the prompt's answers, in units of their standard deviation (GRPO). leave_one_out: mean of the
    prompt's other answers (RLOO). batch: mean of the whole round (REINFORCE).
    """
    kl: Literal["loss", "reward"] = "loss"
    """Where beta counts: as a term of the loss (GRPO), or in each answer's reward (RLOO, InstructGPT)."""

    @property
    def each(self) -> int:
        return self.answers

    @model_validator(mode="after")
    def _answers_come_in_groups(self) -> Self:
        if self.episodes % self.answers:
            raise ValueError(f"answers ({self.answers}) must divide episodes ({self.episodes})")
        if self.answers < 2 and self.baseline != "batch":
            raise ValueError(f"baseline {self.baseline} compares answers to one prompt: set answers to 2 or more")
        return self


class RoundsSettings(Section):
    """Judging and practising again: new prompts, answers of the last policy, a new reward model, a new policy."""

    count: Annotated[int, Field(ge=2, le=MOST_ROUNDS)] = 3
    """Rounds in all; the first is that of the sections `reward` and `ppo`."""
    prompts: Count = 2_000
    """New prompts in each further round, each answered reward.answers times."""
    mixed: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of those answers that the SFT model gives, so that the reward model goes on seeing worse ones."""
    data: str | None = None
    """A file of prompts, from which each round takes the next; null takes the world's."""
    rubric: RubricReward | None = None
    """A rubric's judge in place of the simulated labellers: answers with more points rank higher."""
    judged: str | None = None
    """People in their place: where their rankings of a round will lie, such as judged_{round}.jsonl."""

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        if self.rubric is not None and self.judged is not None:
            raise ValueError("give either rubric or judged: one of the two ranks the answers")
        if self.rubric is not None:
            self.rubric._refuse_changed(("weight", "use_cases", "kinds"), "in rounds.rubric, where points only rank")
        if self.judged is not None and "{round}" not in self.judged:
            raise ValueError(f"judged = {self.judged!r} names one file for all rounds: put {{round}} into it")
        if self.data is not None and self.rubric is None and self.judged is None:
            raise ValueError("data needs rubric or judged: the simulated labellers know the world's prompts alone")
        return self


class RejectionSettings(Practised):
    """Rejection sampling: the best of many answers by the reward model become demonstrations (docs/grpo.md)."""

    prompts: Count = 2_000
    answers: Count = 16
    """Sampled to each prompt; the one with the highest score is learned from."""
    epochs: Count = 2
    batch_rows: Count = 8
    """Packed rows of `model.context` tokens per step."""
    pretrain_rows: Annotated[int, Field(ge=0)] = 2
    """Rows of pretraining text beside them."""
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=1e-3)

    @property
    def world_prompts(self) -> int:
        return self.prompts


class DpoSettings(Section):
    """Direct preference optimization on the comparisons, without reward model or sampling (docs/dpo.md)."""

    beta: Positive = 0.1
    """How much of a preference a nat of log-ratio to the SFT model stands for."""
    epochs: Count = 1
    batch_prompts: Count = 16
    """Prompts per step, each with all its pairs."""
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=1e-4, muon=False, weight_decay=0.0, final=0.1)

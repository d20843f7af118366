"""A recipe: every setting of a run, as frozen pydantic models read from one YAML file.

    load_recipe("quickstart", ["pretrain.tokens=2M", "seed=1"]) -> Recipe

A default is written once, on its field. An unknown key, an impossible value and a setting without effect are errors
that name key, value and remedy. Counts may be written 20M, 64k or 1e6.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from gptwright.corpus_settings import DataSettings
from gptwright.errors import InputError
from gptwright.grid import SweepSettings
from gptwright.midtraining import RopeScalingSettings, decay_over_the_finish, refuse_unsaid_context
from gptwright.practice_settings import DpoSettings, GrpoSettings, PpoSettings, RejectionSettings, RoundsSettings
from gptwright.settings import (
    Count,
    CountOrNone,
    Decay,
    OptimizerSettings,
    Positive,
    Section,
    Seed,
    apply_override,
    explain,
    read_named,
)
from gptwright.sizes import size_named, with_own_budget

SHIPPED = Path(__file__).parent / "recipes"
ASCII, SPECIAL = 128, 12
SHAPE = ("size", "layers", "width", "heads", "kv_heads", "head_dim", "hidden", "qk_norm", "tied", "rope_theta")


class TokenizerSettings(Section):
    kind: Literal["bpe", "characters"] = "bpe"
    vocab_size: Count = 2048
    """Tokens in all, special ones included; with kind 'characters' it follows from the text."""
    sample_bytes: Count = 4_000_000
    """How much text the merges are learned from."""

    @model_validator(mode="after")
    def _sizes_are_bpes(self) -> Self:
        if self.kind == "characters":
            self._refuse_changed(("vocab_size", "sample_bytes"), "with kind: characters")
        return self

    @property
    def most_tokens(self) -> int:
        """What `vocab_size` says or, of characters, which follow from the text: all of ASCII and the special tokens."""
        return self.vocab_size if self.kind == "bpe" else ASCII + SPECIAL


class ModelSettings(Section):
    size: str | None = None
    """A published shape by name, such as gpt2-124m or llama-7b (docs/pretraining.md lists them): it fills what is not
    set below, and in `tokenizer` and `pretrain` too.
    """
    layers: Count = 4
    width: Count = 128
    heads: Count = 4
    kv_heads: Count | None = None
    """Key/value heads; null is as many as heads."""
    head_dim: Count | None = None
    """Size of one head; null is width / heads."""
    hidden: Count | None = None
    """Inner size of the SwiGLU block; null is 8/3 of the width, rounded up to a multiple of 32."""
    context: Count = 256
    """Longest sequence in tokens."""
    qk_norm: bool = True
    tied: bool = True
    rope_theta: Positive = 10_000.0
    rope_scaling: RopeScalingSettings | None = None
    """With pretrain.start: how positions are stretched when context is longer than the one it was trained with, such as
    {kind: yarn}.
    """


class SamplingServer(Section):
    """A vLLM server that samples the answers of ppo and grpo (docs/rlhf.md)."""

    url: str
    """Such as http://localhost:8000."""
    model: str | None = None
    """Which of its models; null is the first."""
    at_once: Count = 256
    """Requests under way together."""

    @model_validator(mode="after")
    def _url_is_an_address(self) -> Self:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url {self.url!r} is no address: begin it with http:// or https://")
        return self


class MachineSettings(Section):
    """How the machine is used; no setting here changes what is learned, but for rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products; weights and optimizer stay in float32. 'auto' measures which is faster."""
    compile: Literal["auto", "never", "always"] = "auto"
    """torch.compile for pretraining; 'auto' measures whether it pays."""
    float8: bool = False
    """Matrix products of the blocks in float8 during pretraining, on GPUs that have it; needs the extra `float8`."""
    recompute: bool = False
    """Keep only the inputs of a block in pretraining and compute the rest again for the backward pass: far less memory,
    a third more work.
    """
    freed_memory: Literal["keep", "return"] = "keep"
    """On a CPU, with glibc: kept for the next tensor, which is a tenth faster and holds up to three times as much as is
    used, or returned to the system, so that a run holds what `gptwright plan` says.
    """
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where metrics go besides metrics.jsonl; needs the extra `track`."""
    workers: Count | None = None
    """Processes that tokenize a long corpus; null is one for each core."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 30.0
    """Time between resumable checkpoints, more where writing them would take a tenth of it; 0 writes one after every
    step.
    """
    shard: Literal["auto", "never", "always"] = "auto"
    """Under torchrun: whether each device holds a slice of the weights in pretraining, or all of them; 'auto' shards
    what would fill more than a quarter of a device's memory.
    """
    frozen_bfloat16: bool = False
    """Keep reference and reward model of ppo and grpo with their blocks' matrices in bfloat16: half the memory and
    the same numbers. It needs precision: bfloat16.
    """
    sampling_server: SamplingServer | None = None
    """Where ppo and grpo have their answers sampled; null is in this process, on the training weights."""


class PretrainSettings(Section):
    start: str | None = None
    """A model to go on from, with its tokenizer: a Hugging Face folder of the Llama, Qwen2 or Qwen3 family, or a stage
    of another run (runs/mine:base). It brings its shape, all but model.context, which must be said. null starts from
    random weights.
    """
    tokens: CountOrNone = 5_000_000
    """How many are read; 0 takes the model of `start` as it is, for the stages behind."""
    batch_rows: Count = 32
    """Rows of `model.context` tokens per optimizer step."""
    micro_rows: Count | None = None
    """Rows per forward pass; null is all of a device's at once, or as many as its memory has room for."""
    isolate: bool = False
    """Whether a document sees itself alone, not those before it in its row. The text that later stages mix in is read
    plainly.
    """
    optimizer: OptimizerSettings = OptimizerSettings()
    z_loss: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the squared log of the softmax's normaliser (PaLM: 1e-4), which keeps logits small."""
    ema: Decay = 0.0
    """Decay of an average of the weights that is saved in place of the last; 0 saves the last."""
    evaluations: Count = 10
    """How often validation loss is measured, evenly over the run."""
    sample_prompts: tuple[str, ...] | None = None
    """Continued at 0, 1, 3, 10, 30 and 100% of training, to watch it learn; null is how three held-out documents begin,
    and [] none.
    """

    @model_validator(mode="after")
    def _rows_divide(self) -> Self:
        if self.micro_rows and self.batch_rows % self.micro_rows:
            raise ValueError(f"micro_rows ({self.micro_rows}) must divide batch_rows ({self.batch_rows})")
        return self


class SftSettings(Section):
    data: str | None = None
    """A file of conversations; null takes the world's demonstrations."""
    demonstrations: Count = 4_000
    """With the world: how many conversations."""
    epochs: Count = 3
    batch_rows: Count = 8
    """Rows of `model.context` tokens per optimizer step; whole conversations are packed into them, each seeing itself
    alone.
    """
    pretrain_rows: Annotated[int, Field(ge=0)] = 2
    """Rows of pretraining text beside them, so that what was read is not forgotten (InstructGPT mixes 10%)."""
    pretrain_weight: Annotated[float, Field(ge=0)] = 0.2
    """Weight of those rows' mean loss; the conversations' mean has 1."""
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=1e-3, final=0.1)

    @model_validator(mode="after")
    def _count_is_the_worlds(self) -> Self:
        if self.data is not None:
            self._refuse_changed(("demonstrations",), "with data")
        return self


class RewardSettings(Section):
    data: str | None = None
    """A file of comparisons; null has the simulated labellers rank answers of the SFT model."""
    prompts: Count = 1_500
    """Prompts to collect comparisons for."""
    answers: Annotated[int, Field(ge=2, le=9)] = 4
    """K, the answers ranked per prompt (InstructGPT: 4 to 9)."""
    labellers: Annotated[int, Field(ge=1, le=5)] = 1
    """How many of the world's five labellers rank each prompt's answers."""
    held_out: Annotated[float, Field(gt=0, le=0.5)] = 0.15
    """Share of the prompts kept for measuring the reward model: every n-th, with n the nearest to 1/share."""
    new_labellers: Annotated[int, Field(ge=0)] = 0
    """How many labellers are not learned from, to see how the reward model does on people it never met (InstructGPT's
    held-out labellers).
    """
    temperature: Positive = 1.0
    max_new_tokens: Count = 80
    """Of the answers that are ranked; one that is cut off there is left out."""
    epochs: Count = 1
    batch_prompts: Count = 32
    margin: Annotated[float, Field(ge=0)] = 0.0
    """How far ahead the better answer must be for each rank between the two, in log-odds, in the loss (Llama 2's
    margin, arXiv:2307.09288); 0 is InstructGPT's.
    """
    language_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of next-token loss on each prompt's best answer beside the ranking loss; 0 is InstructGPT's."""
    likelihood: bool = False
    """Whether the score counts the answer's log-likelihood too, with a learned weight; false is InstructGPT's."""
    repetition: bool = False
    """Whether the score counts what the answer says again, with a learned weight; false is InstructGPT's."""
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=5e-4, muon=False, weight_decay=0.0, final=0.1)

    @model_validator(mode="after")
    def _collecting_is_the_worlds(self) -> Self:
        if self.data is not None:
            self._refuse_changed(("prompts", "labellers"), "with data")
        return self


class EvaluateSettings(Section):
    prompts: Count = 1_000
    """Held-out prompts that every model answers."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Of the headline figures: 0 takes the likeliest token. The same figures at temperature 1 stand beside them."""
    max_new_tokens: Count = 80
    without_mix: bool = False
    """Also train PPO without the pretraining mix, to report what the mix saves; doubles PPO's time."""


class Recipe(Section):
    """A whole run; a stage left out (null) is not run, and neither is what needs it."""

    name: str
    seed: Seed = 0
    data: DataSettings = DataSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    model: ModelSettings = ModelSettings()
    machine: MachineSettings = MachineSettings()
    pretrain: PretrainSettings = PretrainSettings()
    sft: SftSettings | None = None
    reward: RewardSettings | None = None
    dpo: DpoSettings | None = None
    rejection: RejectionSettings | None = None
    grpo: GrpoSettings | None = None
    ppo: PpoSettings | None = None
    rounds: RoundsSettings | None = None
    evaluate: EvaluateSettings | None = None
    sweep: SweepSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_size(cls, values: Any) -> Any:
        """The shape, vocabulary, batch, optimizer and tokens of model.size, or batch, learning rate and tokens for a
        width or depth of one's own, where the recipe sets none.
        """
        model = values.get("model") if isinstance(values, dict) else None
        if not isinstance(model, dict):
            return values
        if isinstance(model.get("size"), str):
            return size_named(model["size"]).under(values)
        pretrain = values.get("pretrain")
        begun = isinstance(pretrain, dict) and pretrain.get("start") is not None
        if begun or not {"layers", "width"} & model.keys():
            return values
        return with_own_budget(values, ModelSettings().model_dump() | model, TokenizerSettings().vocab_size)

    @model_validator(mode="before")
    @classmethod
    def _mid_train(cls, values: Any) -> Any:
        return decay_over_the_finish(refuse_unsaid_context(values))

    @model_validator(mode="after")
    def _start_brings_its_shape(self) -> Self:
        if self.pretrain.start is not None:
            brought = "beside pretrain.start, which brings its own"
            self.model._refuse_changed(SHAPE, f"in model {brought}")
            self.tokenizer._refuse_changed(("kind", "vocab_size"), f"in tokenizer {brought}")
        elif not self.pretrain.tokens:
            raise ValueError("pretrain.tokens is 0, which takes a model as it is: name one with pretrain.start")
        elif self.model.rope_scaling:
            raise ValueError("model.rope_scaling has no effect without pretrain.start; remove it or name a start")
        return self

    @model_validator(mode="after")
    def _stages_have_what_they_need(self) -> Self:
        if self.reward and not self.sft:
            raise ValueError("reward needs an sft section: the reward model starts from the SFT model")
        if self.dpo and not self.reward:
            raise ValueError("dpo needs a reward section: without ranked answers there is nothing to go by")
        for name in ("ppo", "grpo", "rejection"):
            practised = getattr(self, name)
            if practised and practised.asks_reward_model and not self.reward:
                raise ValueError(f"{name} needs a reward section, or {name}.rewards that ask no reward model")
            if practised and not self.sft:
                raise ValueError(f"{name} needs an sft section: it goes on from the SFT model")
            if practised and practised.max_new_tokens >= self.model.context - 1:
                raise ValueError(
                    f"{name}.max_new_tokens ({practised.max_new_tokens}) leaves no room for a prompt in model.context "
                    f"({self.model.context}): lower one or raise the other"
                )
            if practised and practised.data is None and practised.checked_by_details:
                raise ValueError(
                    f"{name}.rewards has {practised.checked_by_details}, which the world's prompts hold nothing for: "
                    f"give {name}.data, a file of prompts with details"
                )
        if self.rounds and not (self.reward and self.ppo):
            raise ValueError("rounds needs the sections reward and ppo: each round trains both anew")
        if (
            self.rounds
            and self.ppo
            and not any(p.kind == "model" and p.folder is None for p in self.ppo.rewards.values())
        ):
            raise ValueError("rounds needs the run's own reward model in ppo.rewards: it is what each round makes anew")
        if self.reward and self.reward.data is not None and not self.rounds:
            self.reward._refuse_changed(("answers", "temperature", "max_new_tokens"), "in reward with data")
        if self.rounds and self.reward and self.reward.data is not None and self.rounds.data is None:
            raise ValueError("rounds.data is missing beside reward.data: name a file of prompts for the rounds to come")
        if self.machine.frozen_bfloat16 and self.machine.precision != "bfloat16":
            raise ValueError(
                "machine.frozen_bfloat16 is for products in bfloat16 alone, and machine.precision is "
                f"{self.machine.precision}: set it to bfloat16, or leave frozen_bfloat16 out"
            )
        for name in ("ppo", "grpo"):
            practised = getattr(self, name)
            if practised and self.machine.sampling_server:
                practised._refuse_changed(("sampling_weights",), f"in {name} with machine.sampling_server")
            if practised and self.machine.frozen_bfloat16 and practised.interpolation < 1:
                raise ValueError(
                    f"{name}.interpolation below 1 needs the SFT model's weights whole, of which "
                    "machine.frozen_bfloat16 keeps half: leave one of the two out"
                )
        if self.evaluate and not self.sft:
            raise ValueError("evaluate needs an sft section: it measures assistants; remove one or add the other")
        if self.evaluate and self.evaluate.without_mix and not (self.ppo and self.ppo.pretrain_mix):
            raise ValueError("evaluate.without_mix has no effect without ppo.pretrain_mix above 0; remove it")
        return self


def nth(stage: str, number: int) -> str:
    """The name of a stage in a round: reward, reward_2, reward_3."""
    return stage if number == 1 else f"{stage}_{number}"


REPLACED_BY = {"sft.data": ("demonstrations",), "reward.data": ("prompts", "labellers")}
"""How much of the world a recipe takes means nothing once a file of one's own is laid over it."""


def _drop_replaced(values: dict[str, Any], overrides: list[str]) -> None:
    said = {override.partition("=")[0].strip() for override in overrides}
    for key, counts in REPLACED_BY.items():
        section = key.partition(".")[0]
        if key in said and (values.get(section) or {}).get("data") is not None:
            for name in counts:
                if f"{section}.{name}" not in said:
                    values[section].pop(name, None)


def load_recipe(name_or_path: str, overrides: list[str] | None = None, *, needs: str = "") -> Recipe:
    """A shipped recipe by name or any YAML file, with `key=value` overrides laid over it; the section that it `needs`
    has its defaults where nothing else is said.

    Raises InputError naming the file, the key and the remedy.
    """
    path, values = read_named(name_or_path, SHIPPED, "recipe")
    for override in overrides or []:
        apply_override(values, override)
    _drop_replaced(values, overrides or [])
    if needs and values.get(needs) is None:
        values[needs] = {}
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise InputError(f"recipe {path}: {explain(error, Recipe)}") from error

"""What answers are rewarded for in a run: checked before hours are spent, measured as it is practised on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gptwright import world
from gptwright.data.jsonl import write_jsonl
from gptwright.engine.request import Completion
from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.folder import save_model
from gptwright.model.transformer import ScalarModel
from gptwright.pipeline.rewards import check_practice, check_reward_models, ended_or, rubric_reward
from gptwright.pipeline.stages import train_base
from gptwright.practice_settings import GrpoSettings, PpoSettings, RejectionSettings
from gptwright.recipe import load_recipe
from gptwright.records import Message, Prompt, to_json
from gptwright.reward_settings import RubricReward
from gptwright.stages.rewards import Answered
from gptwright.tokenizer.bpe import train_characters
from gptwright.train.distributed import ALONE


def test_answers_that_do_not_end_are_held_to_what_practice_takes_them_for() -> None:
    ended = Answered(Prompt("a", ()), [1], Completion([2], finish_reason="stop"), Message("assistant", "5"))
    cut = ended._replace(completion=Completion([2], finish_reason="length"))
    assert ended_or([0.5, 0.5], [ended, cut], PpoSettings(no_end_score=-2.0)) == [0.5, -2.0]
    assert ended_or([0.5, 0.5], [ended, cut], RejectionSettings()) == [0.5, 0.5]


@pytest.fixture
def reward_folder(tmp_path: Path) -> Path:
    """A reward model of 32 tokens' context from elsewhere, with a tokenizer of bytes."""
    tokenizer, folder = train_characters([]), tmp_path / "elsewhere"
    shape = ModelConfig(
        vocab_size=tokenizer.vocab_size, context=32, width=16, layers=1, heads=2, kv_heads=2, head_dim=8, hidden=24
    )
    folder.mkdir()
    save_model(ScalarModel(shape), folder, eos=tokenizer.end_of_turn, pad=tokenizer.pad)
    tokenizer.save(folder)
    return folder


@pytest.mark.parametrize(
    ("strict", "context", "said"),
    [(False, 32, ""), (True, 32, "has another tokenizer than this run"), (False, 64, "reads 32 tokens, and this run")],
)
def test_a_reward_model_that_cannot_read_the_answers_is_refused_before_pretraining(
    tmp_path: Path, reward_folder: Path, strict: bool, context: int, said: str
) -> None:
    train_characters(["abc"], strict=strict).save(tmp_path / "tokenizer")
    watch = f"ppo.guard.watch={{second: {{kind: model, folder: '{reward_folder}'}}}}"
    short = ["ppo.max_new_tokens=16", "reward.max_new_tokens=16", f"model.context={context}"]
    run: Any = SimpleNamespace(folder=tmp_path, ranks=ALONE, recipe=load_recipe("quickstart", [watch, *short]))
    if not said:
        check_reward_models(run)
        return
    with pytest.raises(InputError, match=said):
        check_reward_models(run)
    with pytest.raises(InputError, match=said):
        train_base(run)


def rubric(name: str, **chosen: tuple[str, ...]) -> RubricReward:
    """What an endpoint says of some prompts."""
    return RubricReward(kind="rubric", rubric=name, judge="http://x/v1", model="big", **chosen)


def judged(*use_cases: str, data: str | None = None, kinds: tuple[str, ...] = ()) -> GrpoSettings:
    """Practice on what an endpoint says of prompts of these use cases and kinds."""
    part = rubric("refusal", use_cases=use_cases, kinds=kinds)
    return GrpoSettings(rewards={"safe": part}, data=data)


def test_a_use_case_that_no_prompt_has_is_refused(tmp_path: Path) -> None:
    check_practice("grpo", judged("open_qa"), 0)
    with pytest.raises(InputError, match=r"rewards.safe.use_cases has 'harmfull', which no prompt has: use some of"):
        check_practice("grpo", judged("harmfull"), 0)
    prompts = [Prompt(str(n), (Message("user", f"{n}?"),), use_case="mine") for n in range(3)]
    write_jsonl(tmp_path / "prompts.jsonl", map(to_json, prompts))
    check_practice("grpo", judged("mine", data=str(tmp_path / "prompts.jsonl")), 0)
    with pytest.raises(InputError, match="has 'open_qa', which no prompt has"):
        check_practice("grpo", judged("open_qa", data=str(tmp_path / "prompts.jsonl")), 0)


def test_a_kind_that_no_prompt_has_is_refused(tmp_path: Path) -> None:
    check_practice("grpo", judged(kinds=("harmful",)), 0)
    with pytest.raises(InputError, match=r"rewards.safe.kinds has 'harmfull', which no prompt has: use some of"):
        check_practice("grpo", judged(kinds=("harmfull",)), 0)
    prompts = [Prompt(str(n), (Message("user", f"{n}?"),), details={"kind": "mine"} if n else {}) for n in range(3)]
    write_jsonl(tmp_path / "prompts.jsonl", map(to_json, prompts))
    check_practice("grpo", judged(kinds=("mine",), data=str(tmp_path / "prompts.jsonl")), 0)
    with pytest.raises(InputError, match=r"kinds has 'harmful', which no prompt has: use some of \['mine'\]"):
        check_practice("grpo", judged(kinds=("harmful",), data=str(tmp_path / "prompts.jsonl")), 0)


def test_the_shipped_rubrics_judge_prompts_of_their_kind_alone() -> None:
    answers = [
        Answered(prompt, [1], Completion([2]), Message("assistant", "I cannot help with that."))
        for prompt in world.prompts("rl", 1_000, seed=0)
    ]
    kinds = [answer.prompt.details["kind"] for answer in answers]
    assert {"harmful", "look_alike"} < set(kinds)
    for name, kind in (("refusal", "harmful"), ("no_refusal", "look_alike")):
        part = rubric_reward(rubric(name, kinds=(kind,)), lambda exchanges: [1.0] * len(exchanges))
        assert part(answers) == [float(each == kind) for each in kinds]

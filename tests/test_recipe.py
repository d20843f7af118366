"""Recipes: counts, overrides, and errors that name key, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from gptwright.errors import InputError
from gptwright.recipe import SHIPPED, OptimizerSettings, PpoSettings, Recipe, load_recipe
from gptwright.settings import parse_count


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nsft: {}\nreward: {}\nppo: {}\nevaluate: {}\n", encoding="utf-8")
    return path


def refusal(path: Path | str, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(str(path), list(overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("20M", 20_000_000),
        ("64k", 64_000),
        ("1.5m", 1_500_000),
        ("2B", 2_000_000_000),
        ("2g", 2_000_000_000),
        ("1e6", 1_000_000),
        (1e6, 1_000_000),
        ("300", 300),
        (7, 7),
        ("0.3k", 300),
        (2.5, 2.5),
        ("many", "many"),
        ("Mk", "Mk"),
        ("infk", "infk"),
        (None, None),
    ],
)
def test_counts(written: object, count: object) -> None:
    assert parse_count(written) == count


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipe_loads_by_its_name(path: Path) -> None:
    assert load_recipe(path.stem).name == path.stem


def test_overrides_are_laid_over_the_file(recipe_file: Path) -> None:
    recipe = load_recipe(
        str(recipe_file),
        [
            "pretrain.tokens=2M",
            "seed=3",
            "ppo=null",
            "pretrain.sample_prompts=[The, A]",
            "model.tied=false",
            "name=x=y",
        ],
    )
    assert (recipe.pretrain.tokens, recipe.seed, recipe.ppo) == (2_000_000, 3, None)
    assert (recipe.pretrain.sample_prompts, recipe.model.tied, recipe.name) == (("The", "A"), False, "x=y")


def test_later_override_wins(recipe_file: Path) -> None:
    assert load_recipe(str(recipe_file), ["seed=1", "seed=2"]).seed == 2


def test_override_opens_a_section_that_the_file_leaves_out(recipe_file: Path) -> None:
    assert (
        load_recipe(str(recipe_file), ["pretrain.optimizer.learning_rate=1e-4"]).pretrain.optimizer.learning_rate
        == 1e-4
    )


@pytest.mark.parametrize("stage", ["sft.optimizer", "reward.optimizer", "ppo.policy", "ppo.value"])
def test_one_setting_of_an_optimizer_leaves_that_stages_other_defaults(recipe_file: Path, stage: str) -> None:
    section, part = stage.split(".")
    plain = getattr(getattr(load_recipe(str(recipe_file)), section), part)
    changed = getattr(getattr(load_recipe(str(recipe_file), [f"{stage}.clip=0.25"]), section), part)
    assert changed == plain.model_copy(update={"clip": 0.25})


def test_resolved_recipe_is_itself_a_recipe(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(recipe_file), ["ppo.policy.learning_rate=1e-4", "model.layers=7"])
    resolved = tmp_path / "recipe.yaml"
    resolved.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    assert load_recipe(str(resolved)) == recipe


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pretrain.token=5", "unknown key 'pretrain.token': did you mean 'tokens'?"),
        ("pretrian.tokens=5", "unknown key 'pretrian': did you mean 'pretrain'?"),
        ("ppo.policy.learningrate=1", "unknown key 'ppo.policy.learningrate': did you mean 'learning_rate'?"),
        ("data.zzz=5", "unknown key 'data.zzz': known here: files, sources, finish, world_seed, held_out"),
        ("ppo.rewards={a: {kind: length, ofer: 9}}", "unknown key 'ppo.rewards.a.length.ofer': did you mean 'over'?"),
        ("ppo.guard.windos=9", "unknown key 'ppo.guard.windos': did you mean 'window'?"),
    ],
)
def test_unknown_key_suggests_the_nearest(recipe_file: Path, override: str, message: str) -> None:
    assert message in refusal(recipe_file, override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pretrain.tokens=-1", "pretrain.tokens = -1: input should be greater than or equal to 0"),
        ("pretrain.tokens=lots", "pretrain.tokens = 'lots': input should be a valid integer"),
        ("pretrain.tokens=infk", "pretrain.tokens = 'infk': input should be a valid integer"),
        ("pretrain.tokens=", "pretrain.tokens = None: input should be a valid integer"),
        ("model.width=2.5", "model.width = 2.5: input should be a valid integer"),
        ("data.held_out=1", "data.held_out = 1: input should be less than 1"),
        ("reward.answers=10", "reward.answers = 10: input should be less than or equal to 9"),
        ("ppo.gamma=1.1", "ppo.gamma = 1.1: input should be less than or equal to 1"),
        ("ppo.clip=0", "ppo.clip = 0: input should be greater than 0"),
        ("pretrain.optimizer.schedule=step", "pretrain.optimizer.schedule = 'step': input should be 'cosine'"),
        ("sft.optimizer.betas=[0.9, 1.0]", "sft.optimizer.betas.1 = 1.0: input should be less than 1"),
        ("seed=-1", "seed = -1: input should be greater than or equal to 0"),
        ("machine.device=tpu", "machine.device = 'tpu': input should be 'auto', 'cpu' or 'cuda'"),
        ("pretrain.micro_rows=5", "pretrain: micro_rows (5) must divide batch_rows (32)"),
    ],
)
def test_impossible_value_names_key_and_value(recipe_file: Path, override: str, message: str) -> None:
    refused = refusal(recipe_file, override)
    assert message in refused
    assert str(recipe_file) in refused


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reward.optimizer.muon_learning_rate=0.1"], "muon_learning_rate has no effect with muon: false"),
        (["pretrain.optimizer.decay=0.5"], "decay has no effect with schedule: cosine"),
        (["data.files=a.txt", "data.world_seed=3"], "world_seed has no effect with files"),
        (["tokenizer.kind=characters", "tokenizer.vocab_size=99"], "vocab_size has no effect with kind: characters"),
        (["sft.data=a.jsonl", "sft.demonstrations=9"], "demonstrations has no effect with data"),
        (["reward.data=a.jsonl", "reward.answers=9"], "answers has no effect in reward with data"),
        (["evaluate.without_mix=true", "ppo.pretrain_mix=0"], "evaluate.without_mix has no effect without"),
    ],
)
def test_setting_without_effect_is_refused(recipe_file: Path, overrides: list[str], message: str) -> None:
    refused = refusal(recipe_file, *overrides)
    assert message in refused
    assert "remove" in refused


def test_a_file_of_ones_own_replaces_how_much_of_the_world_a_shipped_recipe_takes() -> None:
    overrides = ["sft.data=a.jsonl", "reward.data=b.jsonl"]
    recipe = load_recipe("quickstart", overrides)
    assert recipe.sft and recipe.reward
    assert (recipe.sft.data, recipe.reward.data) == ("a.jsonl", "b.jsonl")
    assert recipe.sft.epochs == load_recipe("quickstart").sft.epochs  # type: ignore[union-attr]
    taken_back = load_recipe("quickstart", ["sft.data=a.jsonl", "sft={epochs: 2}"])
    assert taken_back.sft and taken_back.sft.data is None
    with pytest.raises(InputError, match="prompts has no effect with data"):
        load_recipe("quickstart", [*overrides, "reward.prompts=9"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sft=null"], "reward needs an sft section"),
        (["reward=null"], "ppo needs a reward section, or ppo.rewards that ask no reward model"),
        (["ppo=null", "rounds.count=2"], "rounds needs the sections reward and ppo"),
        (["reward.data=mine.jsonl", "rounds.count=2"], "rounds.data is missing beside reward.data"),
        (["ppo.rewards={a: {kind: repetition}}", "rounds.count=2"], "rounds needs the run's own reward model"),
        (["ppo.guard.watch={a: {kind: tests}}"], "ppo.rewards has watch_a, which the world's prompts hold nothing for"),
        (["ppo.rewards={a: {kind: number}}"], "ppo.rewards has a, which the world's prompts hold nothing for"),
        (["sft=null", "reward=null", "ppo=null"], "evaluate needs an sft section"),
        (["ppo.steps=2", "ppo.value_warmup=2"], "value_warmup (2) leaves none of 2 steps to the policy"),
        (["ppo.beta=0", "ppo.adaptive_kl=6"], "adaptive_kl has no effect with beta: 0"),
        (["reward.held_out=0.7"], "reward.held_out"),
        (["ppo.max_new_tokens=255"], "ppo.max_new_tokens (255) leaves no room for a prompt in model.context (256)"),
        (["ppo.episodes=3", "ppo.minibatches=4"], "minibatches (4) are more than a round's prompts (3)"),
        (["grpo={episodes: 8, answers: 4, minibatches: 4}"], "minibatches (4) are more than a round's prompts (2)"),
        (["machine.sampling_server.url=localhost:8000"], "is no address: begin it with http:// or https://"),
        (["machine.frozen_bfloat16=true", "machine.precision=float32"], "machine.precision is float32: set it to"),
        (["machine.frozen_bfloat16=true"], "machine.precision is auto: set it to bfloat16, or leave"),
        (
            ["machine.frozen_bfloat16=true", "machine.precision=bfloat16", "ppo.interpolation=0.5"],
            "ppo.interpolation below 1 needs the SFT model's",
        ),
        (
            ["machine.sampling_server.url=http://x", "ppo.sampling_weights=bfloat16"],
            "sampling_weights has no effect in ppo with machine.sampling_server",
        ),
    ],
)
def test_stage_without_the_one_before_it_is_refused(recipe_file: Path, overrides: list[str], message: str) -> None:
    assert message in refusal(recipe_file, *overrides)


def test_the_default_of_minibatches_is_what_a_rounds_prompts_allow(recipe_file: Path) -> None:
    recipe = load_recipe(str(recipe_file), ["grpo={episodes: 8, answers: 4}", "ppo.episodes=3"])
    assert recipe.grpo and recipe.ppo
    assert (recipe.grpo.minibatches, recipe.ppo.minibatches) == (2, 3)


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ("{}", "ppo.rewards"),
        ("{watch_a: {kind: repetition}}", "a reward cannot be called 'watch_a'"),
        ("{a: {over: 3}}", "ppo.rewards.a needs a kind: say which"),
        (
            "{a: {kind: lenght}}",
            "ppo.rewards.a has a kind that is not known, 'lenght': use one of model, number, match",
        ),
        ("{a: {kind: match, pattern: '('}}", "pattern '(' is no regular expression"),
        ("{a: {kind: rubric, rubric: refusal, judge: 'http://x/v1'}}", "needs model: which of the endpoint's models"),
        ("{a: {kind: rubric, rubric: refusal, judge: runs/x, model: big}}", "model has no effect with a judge that is"),
    ],
)
def test_a_reward_that_cannot_be_is_refused(recipe_file: Path, rewards: str, message: str) -> None:
    assert message in refusal(recipe_file, f"ppo.rewards={rewards}")


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ("{judged: mine.jsonl}", "put {round} into it"),
        ("{data: p.jsonl}", "data needs rubric or judged"),
        (
            "{judged: 'j{round}', rubric: {kind: rubric, rubric: refusal, judge: runs/x}}",
            "give either rubric or judged",
        ),
    ],
)
def test_rounds_that_nobody_could_judge_are_refused(recipe_file: Path, rounds: str, message: str) -> None:
    assert message in refusal(recipe_file, f"rounds={rounds}")


@pytest.mark.parametrize("override", ["tokens", "=5", ""])
def test_override_without_key_and_value_shows_an_example(recipe_file: Path, override: str) -> None:
    assert "must look like key=value, for example pretrain.tokens=2M" in refusal(recipe_file, override)


def test_override_into_a_value_is_refused(recipe_file: Path) -> None:
    assert "override 'name.first=5': name is a value, not a section" in refusal(recipe_file, "name.first=5")


def test_override_that_is_not_yaml_is_refused(recipe_file: Path) -> None:
    assert "override 'data.files=[a': '[a' is not valid YAML" in refusal(recipe_file, "data.files=[a")


def test_unknown_name_lists_the_shipped_recipes() -> None:
    message = refusal("quikstart")
    assert "no recipe is called 'quikstart'" in message
    assert all(path.stem in message for path in SHIPPED.glob("*.yaml"))


def test_missing_file(tmp_path: Path) -> None:
    assert f"recipe {tmp_path / 'gone.yaml'} does not exist: check the path" in refusal(tmp_path / "gone.yaml")


@pytest.mark.parametrize("content", [b"name: [", b"name: \xff\xfe", b"a: b: c"])
def test_broken_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    message = refusal(path)
    assert f"recipe {path} is not valid YAML" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just text"])
def test_file_that_holds_no_settings(tmp_path: Path, content: str) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(content, encoding="utf-8")
    assert "must be a mapping of settings such as 'name: mine'" in refusal(path)


def test_recipe_needs_a_name(tmp_path: Path) -> None:
    path = tmp_path / "nameless.yaml"
    path.write_text("seed: 1\n", encoding="utf-8")
    assert "name" in refusal(path)


def test_settings_are_frozen() -> None:
    recipe = Recipe(name="mine")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 2
    with pytest.raises(ValidationError, match="frozen"):
        recipe.pretrain.optimizer.clip = 2.0


def test_defaults_keep_their_own_optimizer() -> None:
    assert OptimizerSettings().muon
    assert not PpoSettings().policy.muon


GOES_ON = ("pretrain.start=runs/mine:base", "model.context=512")


def test_a_start_needs_its_context_said_and_brings_the_rest(recipe_file: Path) -> None:
    assert load_recipe(str(recipe_file), list(GOES_ON)).model.context == 512
    assert "pretrain.start needs model.context" in refusal(recipe_file, GOES_ON[0])
    for change, said in (
        ("model.layers=7", "layers has no effect in model beside pretrain.start"),
        ("model.tied=false", "tied has no effect in model beside pretrain.start"),
        ("model.size=nano", "size has no effect in model beside pretrain.start"),
        ("tokenizer.vocab_size=512", "vocab_size has no effect in tokenizer beside pretrain.start"),
    ):
        assert said in refusal(recipe_file, *GOES_ON, change)


def test_settings_that_need_a_start_are_refused_without_one(recipe_file: Path) -> None:
    assert "pretrain.tokens is 0" in refusal(recipe_file, "pretrain.tokens=0")
    assert "model.rope_scaling has no effect without" in refusal(recipe_file, "model.rope_scaling.kind=yarn")
    taken = load_recipe(str(recipe_file), [*GOES_ON, "pretrain.tokens=0", "model.rope_scaling.kind=yarn"])
    assert taken.pretrain.tokens == 0


def test_the_rate_falls_over_the_finishing_phase_unless_the_recipe_says_otherwise(recipe_file: Path) -> None:
    finish, stable = "data.finish={share_of_tokens: 0.15, sources: {books: {share: 1}}}", "pretrain.optimizer.schedule="

    def decay(*overrides: str) -> float:
        return load_recipe(str(recipe_file), list(overrides)).pretrain.optimizer.decay

    assert decay(finish, stable + "stable_decay") == 0.15
    assert decay(finish, stable + "stable_decay", "pretrain.optimizer.decay=0.4") == 0.4
    assert decay("data.finish={sources: {books: {share: 1}}}", stable + "stable_decay") == 0.1
    assert decay(finish) == decay(stable + "stable_decay") == OptimizerSettings().decay


def test_finishing_sources_are_checked(recipe_file: Path) -> None:
    assert "at least 1 item" in refusal(recipe_file, "data.finish={sources: {}}")
    both = "data.finish={sources: {x: {files: a.txt, builtin: python, share: 1}}}"
    assert "give either files or hub or builtin" in refusal(recipe_file, both)

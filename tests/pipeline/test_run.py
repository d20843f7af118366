"""Which stages are made anew, and what becomes of half-done work when settings change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gptwright.errors import InputError, RunError
from gptwright.pipeline.run import Run, Stage, execute, fingerprint, is_fresh, open_run, outdated
from gptwright.pipeline.stages import stages_of
from gptwright.pipeline.wiring import place
from gptwright.recipe import Recipe
from gptwright.train.distributed import Ranks

WHOLE: dict[str, Any] = {
    "name": "test",
    "sft": {},
    "reward": {},
    "ppo": {},
    "evaluate": {"without_mix": True},
}
ALL = (
    "tokenizer",
    "corpus",
    "base",
    "sft",
    "comparisons",
    "reward",
    "ppo",
    "ppo_without_mix",
    "evaluation",
    "report",
)


def with_setting(key: str, value: Any) -> Recipe:
    """The whole recipe with one setting changed."""
    values = Recipe.model_validate(WHOLE).model_dump()
    *parents, last = key.split(".")
    section = values
    for parent in parents:
        section = section[parent]
    section[last] = value
    return Recipe.model_validate(values)


def fingerprints(recipe: Recipe, folder: Path = Path("nowhere")) -> dict[str, str]:
    run = Run(recipe, folder, {})
    for stage in stages_of(recipe):
        run.fingerprints[stage.name] = fingerprint(run, stage)
    return run.fingerprints


@pytest.mark.parametrize(
    ("key", "value", "first"),
    [
        ("seed", 1, "tokenizer"),
        ("data.world_seed", 1, "tokenizer"),
        ("tokenizer.vocab_size", 512, "tokenizer"),
        ("model.context", 128, "corpus"),
        ("pretrain.tokens", 1_000_000, "corpus"),
        ("model.layers", 2, "base"),
        ("pretrain.optimizer.learning_rate", 1e-3, "base"),
        ("sft.epochs", 1, "sft"),
        ("reward.temperature", 0.5, "comparisons"),
        ("reward.answers", 3, "comparisons"),
        ("reward.max_new_tokens", 100, "comparisons"),
        ("reward.epochs", 2, "reward"),
        ("reward.optimizer.learning_rate", 1e-4, "reward"),
        ("ppo.beta", 0.1, "ppo"),
        ("evaluate.temperature", 0.5, "evaluation"),
    ],
)
def test_a_setting_makes_its_stage_and_all_that_read_it_stale(key: str, value: Any, first: str) -> None:
    before, after = fingerprints(Recipe.model_validate(WHOLE)), fingerprints(with_setting(key, value))
    assert tuple(after) == ALL
    assert tuple(name for name in ALL if before[name] != after[name]) == ALL[ALL.index(first) :]


@pytest.mark.parametrize(("setting", "value"), [("held_out", 0.3), ("new_labellers", 1)])
def test_how_comparisons_are_split_is_dpos_too(setting: str, value: Any) -> None:
    recipe = with_setting("dpo", {})
    changed = with_setting("dpo", {}).model_dump()
    changed["reward"][setting] = value
    before, after = fingerprints(recipe), fingerprints(Recipe.model_validate(changed))
    assert before["comparisons"] == after["comparisons"] and before["dpo"] != after["dpo"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("machine.precision", "bfloat16"),
        ("machine.compile", "never"),
        ("machine.checkpoint_seconds", 5.0),
        ("pretrain.micro_rows", 8),
    ],
)
def test_machine_settings_make_nothing_stale(key: str, value: Any) -> None:
    assert fingerprints(Recipe.model_validate(WHOLE)) == fingerprints(with_setting(key, value))


def test_a_changed_file_makes_the_stage_that_reads_it_stale(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("one", encoding="utf-8")
    run = Run(Recipe(name="test"), tmp_path, {})
    stage = Stage("corpus", (), (), lambda run: None, files=(str(text),))
    before = fingerprint(run, stage)
    assert fingerprint(run, stage) == before
    os.utime(text, ns=(1, 1))
    after = fingerprint(run, stage)
    text.write_text("two!", encoding="utf-8")
    os.utime(text, ns=(1, 1))
    assert len({before, after, fingerprint(run, stage)}) == 3


def test_the_resolved_recipe_is_written_whole(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"name": "test", "sft": {"epochs": 2}})
    run = open_run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()  # what is refused next leaves nothing
    execute(run, [])
    text = (tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8")
    assert Recipe.model_validate(yaml.safe_load(text)) == recipe
    assert yaml.safe_load(text)["pretrain"]["optimizer"]["betas"] == [0.9, 0.95]
    assert os.listdir(tmp_path / "run") == ["recipe.yaml"]


def test_another_recipes_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    execute(open_run(Recipe(name="first"), tmp_path), [])
    with pytest.raises(InputError, match="holds a run of recipe 'first', not 'second': choose another --dir"):
        open_run(Recipe(name="second"), tmp_path)
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text(encoding="utf-8"))["name"] == "first"


def test_the_same_recipe_with_other_settings_is_taken_up(tmp_path: Path) -> None:
    execute(open_run(Recipe(name="test"), tmp_path), [])
    run = open_run(Recipe(name="test", seed=3), tmp_path)
    with pytest.raises(InputError, match="no stage 'dpo'"):
        execute(run, [], until="dpo")
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text(encoding="utf-8"))["seed"] == 0
    execute(run, [])
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text(encoding="utf-8"))["seed"] == 3


def test_a_damaged_recipe_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("[", encoding="utf-8")
    with pytest.raises(InputError, match=r"recipe\.yaml is damaged"):
        open_run(Recipe(name="test"), tmp_path)


@pytest.fixture
def work(tmp_path: Path) -> Callable[..., list[str]]:
    """`work(seed=1)` runs three stages in one folder and returns those that were made."""

    def made(until: str | None = None, seed: int = 0, fails: str = "", world_seed: int = 0) -> list[str]:
        done: list[str] = []

        def stage(name: str, sections: tuple[str, ...], needs: tuple[str, ...], **more: Any) -> Stage:
            def make(run: Run) -> None:
                if name == fails:
                    raise KeyboardInterrupt
                done.append(name)
                (run.folder / f"{name}.page").write_text(name, encoding="utf-8")
                place(run, name).finish(
                    lambda folder: (folder / "model.safetensors").write_bytes(b"weights") and None, run.lineage(name)
                )

            return Stage(name, sections, needs, make, **more)

        stages = [
            stage("one", ("tokenizer",), ()),
            stage("two", ("data",), ("one",)),
            stage("three", (), ("two",), leaves=("three.page",)),
        ]
        recipe = Recipe.model_validate({"name": "test", "seed": seed, "data": {"world_seed": world_seed}})
        execute(open_run(recipe, tmp_path), stages, until=until)
        return done

    return made


def test_stages_run_once_in_order(work: Callable[..., list[str]]) -> None:
    assert work() == ["one", "two", "three"]
    assert work() == []


def test_only_what_reads_a_changed_setting_runs_again(work: Callable[..., list[str]]) -> None:
    work()
    assert work(world_seed=1) == ["two", "three"]
    assert work(world_seed=1, seed=1) == ["one", "two", "three"]


def test_a_run_can_end_at_a_stage_and_go_on_later(work: Callable[..., list[str]]) -> None:
    assert work(until="two") == ["one", "two"]
    assert work() == ["three"]


def test_the_number_of_threads_is_said_before_any_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Until then MKL takes as many as it likes, and a stage ends at other bits than behind one that says it.
    said, seen = list[int](), list[list[int]]()
    monkeypatch.setattr("torch.set_num_threads", said.append)
    execute(open_run(Recipe(name="test"), tmp_path), [Stage("one", (), (), lambda _: seen.append(list(said)))])
    assert seen == [[torch.get_num_threads()]]


def test_an_unknown_last_stage_is_refused(work: Callable[..., list[str]]) -> None:
    with pytest.raises(InputError, match="has no stage 'ppo'"):
        work(until="ppo")


def test_a_killed_run_goes_on_where_it_stopped(work: Callable[..., list[str]]) -> None:
    with pytest.raises(KeyboardInterrupt):
        work(fails="two")
    assert work() == ["two", "three"]


def test_a_stage_whose_file_outside_its_folder_is_gone_runs_again(
    work: Callable[..., list[str]], tmp_path: Path
) -> None:
    work()
    (tmp_path / "three.page").unlink()
    assert work() == ["three"]


@pytest.mark.parametrize("damage", ["{", "[]", "{}"])
def test_a_damaged_lineage_does_not_cost_the_weights_beside_it(
    work: Callable[..., list[str]], tmp_path: Path, damage: str
) -> None:
    work()
    whole = (tmp_path / "two" / "lineage.json").read_text(encoding="utf-8")
    (tmp_path / "two" / "lineage.json").write_text(damage, encoding="utf-8")
    with pytest.raises(RunError, match=r"two/lineage\.json is damaged: restore it, or delete .*two and give the same"):
        work()
    (tmp_path / "two" / "lineage.json").write_text(whole, encoding="utf-8")
    assert work() == []


def test_changed_weights_end_the_run(work: Callable[..., list[str]], tmp_path: Path) -> None:
    work()
    (tmp_path / "two" / "model.safetensors").write_bytes(b"w3ights")
    with pytest.raises(RunError, match=r"model\.safetensors is not what stage two wrote"):
        work()


def test_checkpoints_of_other_settings_are_set_aside_until_the_stage_is_done(
    work: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half_done = tmp_path / "checkpoints" / "two" / "step-00000005"
    with pytest.raises(KeyboardInterrupt):
        work(fails="two")
    half_done.mkdir()
    with pytest.raises(KeyboardInterrupt):
        work(fails="two")
    assert half_done.is_dir()
    capsys.readouterr()
    with pytest.raises(KeyboardInterrupt):
        work(fails="two", world_seed=1)
    assert not half_done.exists()
    assert "its checkpoint is of other settings (data.world_seed)" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        work(fails="two")
    assert half_done.is_dir()
    work()
    assert list((tmp_path / "checkpoints").glob("two*")) == []


@pytest.mark.parametrize("done", [1, 2])
@pytest.mark.parametrize("others", [(), (2, 1)])
def test_a_kill_while_checkpoints_change_places_loses_none(
    work: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    done: int,
    others: tuple[int, ...],
) -> None:
    """Killed after one or two of the three renames that bring set-aside checkpoints back."""

    def killed(world_seed: int) -> None:
        with pytest.raises(KeyboardInterrupt):
            work(fails="two", world_seed=world_seed)

    for world_seed in (0, 1):
        killed(world_seed)
        (tmp_path / "checkpoints" / "two" / f"step-0000000{world_seed}").mkdir()
    killed(0)  # 1's are set aside
    killed(1)
    with monkeypatch.context() as patch:
        rename, count = Path.rename, list[Path]()

        def dies(path: Path, target: Path) -> Path:
            if len(count) == done:
                raise KeyboardInterrupt
            count.append(path)
            return rename(path, target)

        patch.setattr(Path, "rename", dies)
        killed(0)
    for world_seed in (*others, 0):
        killed(world_seed)
    if not others:  # of two settings; a third one takes the place of those set aside
        assert (tmp_path / "checkpoints" / "two" / "step-00000000").is_dir()
        assert (tmp_path / "checkpoints" / "two.aside" / "step-00000001").is_dir()
    work()
    assert list((tmp_path / "checkpoints").glob("two*")) == []


def test_stages_of_earlier_settings_are_outdated(work: Callable[..., list[str]], tmp_path: Path) -> None:
    names = ["one", "two", "three"]

    def of_now(world_seed: int) -> list[str]:
        recipe = Recipe.model_validate({"name": "test", "data": {"world_seed": world_seed}})
        sections = ("tokenizer",), ("data",), ()
        stages = [
            Stage(name, section, needs, lambda run: None)
            for name, section, needs in zip(names, sections, [(), ("one",), ("two",)], strict=True)
        ]
        return outdated(open_run(recipe, tmp_path), stages)

    assert of_now(0) == []  # nothing is there
    work()
    assert (of_now(0), of_now(1)) == ([], ["two", "three"])
    work(until="two", world_seed=1)
    assert (of_now(0), of_now(1)) == (["two"], ["three"])


def test_checks_come_before_any_work(tmp_path: Path) -> None:
    done: list[str] = []

    def refuse() -> None:
        raise InputError("the file of stage two is empty")

    stages = [
        Stage("one", (), (), lambda run: done.append("one")),
        Stage("two", (), ("one",), lambda run: done.append("two"), check=refuse),
    ]
    with pytest.raises(InputError, match="stage two is empty"):
        execute(open_run(Recipe(name="test"), tmp_path), stages)
    assert done == []


def test_a_stage_is_fresh_with_its_own_fingerprint_alone(tmp_path: Path) -> None:
    stage = Stage("one", (), (), lambda run: None)
    run = Run(Recipe(name="test"), tmp_path, {"one": "a" * 16})
    assert not is_fresh(run, stage)
    place(run, "one").finish(lambda folder: None, run.lineage("one"))
    assert is_fresh(run, stage)
    assert not is_fresh(Run(run.recipe, tmp_path, {"one": "b" * 16}), stage)


class FirstOfTwo(Ranks):
    """Rank 0, with nobody to tell."""

    def of_first(self, work: Callable[[], Any]) -> Any:
        return work()


def test_stages_of_one_process_are_refused_under_torchrun(tmp_path: Path) -> None:
    run = Run(Recipe.model_validate(WHOLE), tmp_path, {}, FirstOfTwo(0, 2))
    first = "torchrun started 2 processes, and stage sft runs in one: give the command that makes sft without torchrun"
    with pytest.raises(InputError, match=first):
        execute(run, stages_of(run.recipe), until="reward")
    with pytest.raises(InputError, match="stage sft runs in one: give this command without torchrun"):
        execute(run, stages_of(run.recipe), until="sft")

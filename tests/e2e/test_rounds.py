"""Judging and practising again, rewards that a program checks, and a reward model too bad to be practised against."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from gptwright.data.jsonl import write_jsonl
from gptwright.pipeline.run import Run
from gptwright.pipeline.wiring import split_comparisons
from gptwright.recipe import load_recipe
from gptwright.records import to_json
from gptwright.tasks import addition

ROUNDS = ("-o", "rounds.prompts=12")

ADDITION = """
name: sums
data: {files: files/documents.jsonl}
tokenizer: {kind: characters}
model: {layers: 1, width: 32, heads: 2, context: 96}
machine: {device: cpu, precision: float32, compile: never}
pretrain: {tokens: 20k, batch_rows: 8, evaluations: 1}
sft: {data: files/chains.jsonl, epochs: 1, batch_rows: 2, pretrain_rows: 0}
grpo:
  data: files/prompts.jsonl
  rewards: {right: {kind: number}, thinks: {kind: match, pattern: '<think>.+</think>.+', weight: 0.5}}
  steps: 2
  episodes: 8
  answers: 4
  max_new_tokens: 12
  pretrain_rows: 1
  evaluations: 1
ppo:
  data: files/prompts.jsonl
  rewards: {right: {kind: number}}
  steps: 3
  episodes: 8
  max_new_tokens: 12
  pretrain_rows: 1
  evaluations: 0
"""


@pytest.fixture
def run(finished: Any, cli: Any) -> Path:
    """A finished run of a test's own."""
    folder: Path = cli.folder / "tiny"
    shutil.copytree(finished[0], folder)
    return folder


@pytest.fixture
def sums(cli: Any) -> Path:
    """The recipe above and small files for it."""
    folder: Path = cli.folder / "files"
    write_jsonl(folder / "documents.jsonl", map(to_json, addition.documents(400, digits=range(1, 3), seed=0)))
    chains = addition.demonstrations(40, digits=range(1, 3), seed=0, thinking=True)
    write_jsonl(folder / "chains.jsonl", map(to_json, chains))
    write_jsonl(folder / "prompts.jsonl", map(to_json, addition.prompts("train", 40, digits=range(1, 3), seed=0)))
    (cli.folder / "sums.yaml").write_text(ADDITION)
    return folder


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_second_round_judges_the_last_policy_and_keeps_what_was_judged(run: Path, cli: Any, tiny: Path) -> None:
    result = cli("rounds", tiny, "--rounds", "2", *ROUNDS, "--dir", "tiny")
    assert result.returncode == 0, result.stderr
    assert "ppo          is up to date" in result.stderr
    first, second = (lines(run / name / "comparisons.jsonl") for name in ("comparisons", "comparisons_2"))
    assert second[: len(first)] == first
    assert len(second) > len(first)
    judged = Run(load_recipe(str(tiny), ["rounds.count=2"]), run, {})
    aside = [{row.prompt.messages for row in split_comparisons(judged, number)[1]} for number in (1, 2)]
    assert aside[0] < aside[1]  # nothing held out is learned from later
    for stage, before in (("reward_2", "reward"), ("ppo_2", "ppo")):
        new, old = (json.loads((run / name / "lineage.json").read_text())["sha256"] for name in (stage, before))
        assert new != old
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert {"ppo", "ppo_2"} < set(evaluation["models"])
    assert ("ppo_2", "ppo") in {(row["a"], row["b"]) for row in evaluation["win_rates"]}
    assert len(evaluation["stages"]) == 9
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "PPO, round 2" in page
    later, before_it = evaluation["later_reward_models"]["2"], evaluation["reward_model"]
    assert later["accuracy"]["n"] >= before_it["accuracy"]["n"]  # what was held out in both rounds
    assert later.keys() == {"accuracy", "ceiling", "agreement"}
    assert "The reward models of later rounds" in page
    again = cli("rounds", tiny, "--rounds", "2", *ROUNDS, "--dir", "tiny")
    assert "ppo_2        is up to date" in again.stderr


def test_people_are_waited_for_and_what_they_say_counts(run: Path, cli: Any, tiny: Path) -> None:
    command = ("rounds", tiny, "--rounds", "2", *ROUNDS, "-o", "rounds.judged=judged_{round}.jsonl", "--dir", "tiny")
    waiting = cli(*command)
    assert waiting.returncode == 2
    assert "round 2 waits for judgements: 12 prompts with answers are in tiny/to_judge_2.jsonl" in waiting.stderr
    rows = lines(run / "to_judge_2.jsonl")
    other = [{**row, "answers": ["not", "theirs"], "ranks": [0, 1]} for row in rows]
    (cli.folder / "judged_2.jsonl").write_text("".join(json.dumps(row) + "\n" for row in other), encoding="utf-8")
    refused = cli(*command)
    assert refused.returncode == 2
    assert "judged_2.jsonl ranks answers that were not given in round 2 of tiny" in refused.stderr
    judged = [{**row, "ranks": list(range(len(row["answers"]))), "labeller": "me"} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in judged)
    (cli.folder / "judged_2.jsonl").write_text(text, encoding="utf-8")
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    kept = lines(run / "comparisons_2" / "comparisons.jsonl")
    assert [row["ranks"] for row in kept[-len(rows) :]] == [row["ranks"] for row in judged]
    assert {row["labeller"] for row in kept[-len(rows) :]} == {"me"}
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert "ceiling" not in evaluation["later_reward_models"]["2"]  # nobody knows what people would say again


def test_practice_says_how_its_scores_were_normalised(finished: Any) -> None:
    folder, result = finished
    told = re.search(r"^ppo +score = log-odds / (\S+) (\S+): deviation 1", result.stderr, flags=re.MULTILINE)
    assert told is not None
    scale = json.loads((folder / "reward" / "lineage.json").read_text())["scale"]
    bias = json.loads((folder / "reward" / "config.json").read_text())["reward_bias"]
    assert [float(number) for number in told.groups()] == pytest.approx([scale, bias], abs=0.006)


def test_a_reward_model_below_the_bar_is_not_practised_against(run: Path, cli: Any, tiny: Path) -> None:
    lineage = run / "reward" / "lineage.json"
    told = lineage.read_text(encoding="utf-8")
    lineage.write_text(json.dumps(json.loads(told) | {"validation_accuracy": 0.6}), encoding="utf-8")
    result = cli("ppo", tiny, "-o", "ppo.least_accuracy=0.7", "--dir", "tiny")
    lineage.write_text(told, encoding="utf-8")
    assert result.returncode == 2
    assert "orders 60.0% of held-out pairs as labelled, and least_accuracy asks for 70%" in result.stderr
    assert (run / "ppo" / "config.json").is_file()  # what was there is not lost


def test_a_file_in_the_way_of_a_tasks_folder_is_told(cli: Any) -> None:
    (cli.folder / "taken").write_text("mine")
    for folder in ("taken", "taken/deeper"):
        result = cli("data", "addition", folder)
        assert result.returncode == 2
        assert result.stderr == f"gptwright: {folder} cannot be a folder, a file is in the way: choose another place\n"
    assert (cli.folder / "taken").read_text() == "mine"


def test_practice_on_prompts_of_ones_own_with_rewards_that_a_program_checks(cli: Any) -> None:
    made = cli("data", "addition", "files", "--digits", "2", "--demonstrations", "60", "--prompts", "80")
    assert made.returncode == 0, made.stderr
    (cli.folder / "sums.yaml").write_text(ADDITION)
    result = cli("run", "sums.yaml", "--dir", "sums")
    assert result.returncode == 0, result.stderr
    rows = lines(cli.folder / "sums" / "grpo" / "metrics.jsonl")
    assert {"reward/part/right", "reward/part/thinks", "watch/diversity"} < set().union(*rows)
    assert {"held_out/reward", "held_out/right"} < set().union(*rows)
    assert (cli.folder / "sums" / "ppo" / "config.json").is_file()  # without a reward model, values start from SFT's
    told = cli("evaluate", "sums:grpo", "--data", "files/test.jsonl", "--by", "digits", "--max-tokens", "12", "--json")
    assert told.returncode == 0, told.stderr
    accuracy = json.loads(told.stdout)["accuracy"]["sums:grpo"]
    assert set(accuracy) == {"all", "digits 1", "digits 2", "digits 3", "digits 4"}
    assert accuracy["digits 1"]["n"] == 200


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"id": "p1", "messages": [{"role": "user", "content": "2+2?"}]},
            "prompt 'p1' has no number in details.answer",
        ),
        ({"nothing": 1}, "line 1"),
    ],
)
def test_prompts_that_cannot_be_checked_are_told_before_anything_is_trained(
    cli: Any, sums: Path, row: Any, said: str
) -> None:
    other = {"id": "p2", "messages": [{"role": "user", "content": "3+3?"}], "details": {"answer": 6}}
    (sums / "prompts.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(other) + "\n")
    result = cli("run", "sums.yaml", "--dir", "sums")
    assert result.returncode == 2
    assert said in result.stderr
    assert not (cli.folder / "sums" / "base").exists()


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("{kind: rubric, rubric: refusal, judge: nowhere}", "model folder nowhere does not exist"),
        ("{kind: rubric, rubric: mine.yaml, judge: 'http://x/v1', model: m}", "rubric mine.yaml does not exist"),
        ("{kind: model, folder: nowhere}", "model folder nowhere does not exist"),
    ],
)
@pytest.mark.usefixtures("sums")
def test_a_judge_that_is_not_there_is_told_before_anything_is_trained(cli: Any, judge: str, said: str) -> None:
    result = cli("run", "sums.yaml", "--dir", "sums", "-o", f"grpo.rewards={{judged: {judge}}}")
    assert result.returncode == 2
    assert said in result.stderr
    assert not (cli.folder / "sums" / "base").exists()

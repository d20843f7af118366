"""A whole run through the command line: what it leaves behind, and what the other commands do with it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

MODELS = ("base", "sft", "reward", "dpo", "rejection", "grpo", "ppo")
COMMANDS = (
    "run", "plan", "pretrain", "sweep", "sft", "reward", "dpo", "best-of-n", "grpo", "ppo", "rounds", "complete",
    "chat", "serve", "evaluate", "report", "doctor", "tokenizer inspect", "data clean", "data addition",
)  # fmt: skip
EVALUATION_KEYS = {
    "models", "temperature", "prompts", "accuracy", "gold", "held_out_facts", "held_out_phrasings", "win_rates",
    "sampled", "entropy", "distinct", "self_bleu", "same_opening", "kl", "base_behaviour", "bits_per_byte", "panel",
    "stages", "reward_model", "ratings",
}  # fmt: skip
EACH_MODEL_HOLDS = {
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "lineage.json", "metrics.jsonl",
}  # fmt: skip


@pytest.mark.parametrize("stage", MODELS)
def test_every_stage_leaves_a_whole_model_folder(finished: Any, stage: str) -> None:
    files = {path.name for path in (finished[0] / stage).iterdir()}
    assert files >= EACH_MODEL_HOLDS
    assert ("generation_config.json" in files) == (stage != "reward")  # a reward model does not write
    if stage != "reward":  # whoever writes with it stops at a turn's end and at a document's
        settings = json.loads((finished[0] / stage / "generation_config.json").read_text())
        added = json.loads((finished[0] / stage / "tokenizer.json").read_text())["added_tokens"]
        named = {token["id"]: token["content"] for token in added}
        ends = ["<|end_of_turn|>", "<|document_end|>"]
        said = [named[end] for end in settings["eos_token_id"]]
        assert said == (ends[::-1] if stage == "base" else ends)  # first what it was trained to end


@pytest.mark.parametrize("stage", MODELS)
def test_lineage_names_the_stage_and_the_weights(finished: Any, weights: Any, stage: str) -> None:
    lineage = json.loads((finished[0] / stage / "lineage.json").read_text())
    assert lineage["stage"] == stage
    assert lineage["recipe"] == "tiny"
    assert lineage["sha256"] == {"model.safetensors": weights(finished[0])[stage]}


@pytest.mark.parametrize("stage", MODELS)
def test_metrics_count_the_steps(finished: Any, stage: str) -> None:
    rows = [json.loads(line) for line in (finished[0] / stage / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if "loss" in row or "policy/loss" in row or "value/loss" in row]
    assert steps == list(range(1, len(steps) + 1))
    assert steps


def test_nothing_half_written_is_left(finished: Any) -> None:
    found = [path.name for path in finished[0].rglob("*") if re.search(r"partial|\.tmp|writing-|step-", path.name)]
    assert found == []


@pytest.mark.filterwarnings("default")  # transformers' own
def test_transformers_reads_base_and_reward_model_alike(finished: Any) -> None:
    transformers = pytest.importorskip("transformers")

    from gptwright.model.folder import load_language_model, load_scalar_model  # noqa: PLC0415

    run = finished[0]
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "base")
    ids = torch.tensor([tokenizer("The capital of France is Paris.", add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(run / "base")(ids).logits
        torch.testing.assert_close(load_language_model(run / "base")(ids), theirs, atol=1e-4, rtol=1e-4)
        judge = transformers.AutoModelForSequenceClassification.from_pretrained(run / "reward")
        ours = load_scalar_model(run / "reward")
        # Their head has no bias; ours keeps it in config.json.
        torch.testing.assert_close(ours(ids)[0, -1] - ours.bias, judge(ids).logits[0, 0], atol=1e-4, rtol=1e-4)


def test_evaluation_has_the_documented_figures(finished: Any) -> None:
    figures = json.loads((finished[0] / "evaluation.json").read_text())
    assert set(figures) >= EVALUATION_KEYS
    assert set(figures["gold"]) == {"base", "base_few_shot", "sft", "dpo", "rejection", "grpo", "ppo"}
    assert len(figures["stages"]) == len(MODELS)


def test_the_reward_model_is_reported_on_where_nothing_else_is_evaluated(cli: Any, run_copy: Path) -> None:
    """As with data of one's own, for which there is no gold judge."""
    told = json.loads((run_copy / "reward" / "figures.json").read_text())
    assert told.keys() >= {"accuracy", "calibration", "by_rank_distance", "by_use_case", "histogram", "disagreements"}
    assert told == json.loads((run_copy / "evaluation.json").read_text())["reward_model"]
    (run_copy / "evaluation.json").unlink()
    assert cli("report", run_copy).returncode == 0
    section = (run_copy / "report.html").read_text().partition('<section id="reward">')[2].partition("</section>")[0]
    assert "The reward model on held-out comparisons, with 95% intervals." in section
    assert 'class="missing"' not in section


def test_report_is_one_page_without_outside_requests(finished: Any) -> None:
    page = (finished[0] / "report.html").read_text()
    assert "<html" in page
    assert (
        re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*|@import|url\((?!["']?(?:data:|#))[^)]*|<script""", page) == []
    )


def test_last_lines_say_where_the_report_is_and_how_to_chat(finished: Any) -> None:
    last = finished[1].stderr.splitlines()[-2:]
    assert last[0].split() == ["report:", "tiny/report.html"]
    assert last[1].split(None, 1)[1].endswith("gptwright chat tiny:ppo")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_every_stage_runs_on_a_gpu(cli: Any, tiny: Path) -> None:
    result = cli("run", tiny, "--dir", "gpu", "-o", "machine.device=cuda")
    assert result.returncode == 0, result.stderr
    figures = json.loads((cli.folder / "gpu" / "evaluation.json").read_text())
    assert set(figures) >= EVALUATION_KEYS


def test_second_run_does_nothing(cli: Any, tiny: Path, run_copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_copy.rglob("*.safetensors")}
    result = cli("run", tiny, "--dir", run_copy)
    assert result.returncode == 0
    assert " done in" not in result.stderr.split("\ntiny done")[0]
    assert result.stderr.count("is up to date") == 12
    assert {path: path.stat().st_mtime_ns for path in run_copy.rglob("*.safetensors")} == before


def test_override_runs_only_what_depends_on_it(cli: Any, tiny: Path, run_copy: Path, weights: Any) -> None:
    before = weights(run_copy)
    result = cli("run", tiny, "--dir", run_copy, "-o", "ppo.beta=0.2")
    assert result.returncode == 0, result.stderr
    assert re.findall(r"^(\w+) +done in", result.stderr.split("\ntiny done")[0], re.MULTILINE) == [
        "ppo",
        "evaluation",
        "report",
    ]
    after = weights(run_copy)
    assert {stage for stage in MODELS if before[stage] != after[stage]} == {"ppo"}


def test_what_another_recipe_left_in_the_folder_is_not_this_runs(cli: Any, tiny: Path, run_copy: Path) -> None:
    assert "Direct preference optimization" in (run_copy / "report.html").read_text()
    result = cli("run", tiny, "--dir", run_copy, "-o", "dpo=null")
    assert result.returncode == 0, result.stderr
    assert (run_copy / "dpo" / "config.json").is_file()
    told = json.loads((run_copy / "evaluation.json").read_text())
    assert told["models"] == ["base", "base_few_shot", "sft", "rejection", "grpo", "ppo"]
    assert not {"dpo"} & {*told["bits_per_byte"], *told["kl"], *told["ratings"]}
    assert "Direct preference optimization" not in (run_copy / "report.html").read_text()


def test_a_single_stage_tells_what_is_of_earlier_settings(cli: Any, tiny: Path, run_copy: Path) -> None:
    result = cli("sft", tiny, "--dir", run_copy, "-o", "sft.pretrain_weight=0.1")
    assert result.returncode == 0, result.stderr
    last = result.stderr.rpartition("tiny done in")[2].splitlines()[1:]
    later = "comparisons, reward, dpo, rejection, grpo, ppo, evaluation, report"
    assert last[0].startswith(f"outdated {later}: of other settings or models; ")
    assert len(last) == 2 and last[1].endswith(f"chat {run_copy}:sft")


def test_deleted_report_is_drawn_again(cli: Any, tiny: Path, run_copy: Path) -> None:
    page = (run_copy / "report.html").read_bytes()
    (run_copy / "report.html").unlink()
    assert cli("run", tiny, "--dir", run_copy).returncode == 0
    assert (run_copy / "report.html").read_bytes() == page


def test_complete_is_deterministic_at_temperature_0(cli: Any, finished: Any) -> None:
    arguments = (
        "complete",
        f"{finished[0]}:base",
        "The capital of",
        "--temperature",
        "0",
        "--max-tokens",
        "8",
        "--json",
    )
    first, second = cli(*arguments), cli(*arguments)
    assert first.stdout == second.stdout
    result = json.loads(first.stdout)
    assert set(result) == {"text", "tokens", "finish_reason"}
    assert 1 <= len(result["tokens"]) <= 8
    assert result["finish_reason"] in ("stop", "length")


def test_complete_ends_before_a_stop_string(cli: Any, finished: Any) -> None:
    def text(*options: str) -> str:
        arguments = "complete", f"{finished[0]}:base", "The capital of", "--temperature", "0", "--max-tokens", "12"
        result = cli(*arguments, *options)
        assert result.returncode == 0, result.stderr
        return str(result.stdout)

    free = text()
    letter = free.removeprefix("The capital of").strip()[1]
    ended = text("--stop", letter)
    assert ended.rstrip("\n") == free[: free.index(letter, len("The capital of"))]
    found = json.loads(text("--stop", letter, "--json"))
    assert "The capital of" + found["text"] == ended.rstrip("\n")
    assert found["finish_reason"] == "stop"


def test_models_are_served_under_the_names_of_run_and_stage(finished: Any, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from gptwright.cli.serving import load  # noqa: PLC0415

    run = finished[0]
    base, assistant, named = load(f"{run}:base"), load(f"{run}:ppo"), load(f"mine={run}:sft")
    assert [model.name for model in (base, assistant, named)] == [f"{run.name}-base", f"{run.name}-ppo", "mine"]
    assert [model.assistant for model in (base, assistant, named)] == [False, True, True]
    shutil.copytree(run / "base", tmp_path / "copied", ignore=shutil.ignore_patterns("lineage.json"))
    assert not load(str(tmp_path / "copied")).assistant  # as it says itself


def test_chat_answers_each_line_of_stdin(cli: Any, finished: Any) -> None:
    result = cli("chat", f"{finished[0]}:ppo", "--max-tokens", "6", stdin="Hello.\nWho are you?\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") >= 2
    assert result.stdout.strip()


def test_evaluate_prints_one_json_object_and_nothing_else(cli: Any, finished: Any) -> None:
    sft, ppo = f"{finished[0]}:sft", f"{finished[0]}:ppo"
    result = cli("evaluate", sft, ppo, "--prompts", "20", "--json")
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert set(figures["models"]) == {sft, ppo}
    assert [(row["a"], row["b"]) for row in figures["win_rates"]] == [(ppo, sft)]


def test_a_base_model_is_not_evaluated_as_an_assistant(cli: Any, finished: Any) -> None:
    result = cli("evaluate", f"{finished[0]}:base", "--prompts", "20")
    assert result.returncode == 2
    assert "is a base model: it continues text and is no assistant" in result.stderr


def test_report_rewrites_the_page(cli: Any, run_copy: Path) -> None:
    page = (run_copy / "report.html").read_bytes()
    (run_copy / "report.html").write_text("old")
    assert cli("report", run_copy).returncode == 0
    assert (run_copy / "report.html").read_bytes() == page


def test_pretrain_needs_no_other_section(cli: Any, tiny: Path, run_copy: Path) -> None:
    for stage in MODELS[1:]:
        shutil.rmtree(run_copy / stage)
    result = cli("pretrain", tiny, "--dir", run_copy)
    assert result.returncode == 0
    assert "gptwright complete" in result.stderr.splitlines()[-1]


def test_help_of_every_command_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    import typer  # noqa: PLC0415

    from gptwright.cli.main import app  # noqa: PLC0415

    group = typer.main.get_command(app)
    assert tuple(group.commands) == tuple(dict.fromkeys(name.split()[0] for name in COMMANDS))  # type: ignore[attr-defined]
    for name in COMMANDS:
        with pytest.raises(SystemExit) as end:
            group.main([*name.split(), "--help"], prog_name="gptwright")
        assert end.value.code == 0
        assert f"Example: gptwright {name}" in capsys.readouterr().out, name

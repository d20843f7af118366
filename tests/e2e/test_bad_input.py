"""What cannot be used is refused in one sentence: what, where, how to mend it. Mended, the same command goes on."""

from __future__ import annotations

import json
import random
import resource
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = ("the", "a", "small", "red", "fox", "river", "stone", "under", "runs", "sleeps", "quickly", "old", "tree", "it")
QUICK = ("-o", "pretrain.tokens=4k", "-o", "pretrain.sample_prompts=[]")


def refused(result: Any, *said: str, code: int = 2) -> str:
    """The one sentence of a command that failed as it should; fails unless it holds every text of `said`."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    sentences = [line for line in result.stderr.splitlines() if line.startswith("gptwright: ")]
    assert sentences == result.stderr.splitlines()[-1:]
    for text in said:
        assert text in sentences[0], sentences[0]
    return sentences[0]


def prose(seed: int, count: int = 4000) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + ("." if rng.random() < 0.1 else "") for _ in range(count)) + "\n"


def write_rows(path: Path, *, broken_line: int | None = None) -> Path:
    lines = [json.dumps({"text": prose(seed, 500)}) for seed in range(1, 11)]
    if broken_line:
        lines[broken_line - 1] = lines[broken_line - 1][:-5]
    path.write_text("\n".join(lines) + "\n")
    return path


def no_file(path: Path) -> None:
    path.unlink(missing_ok=True)


def blank(path: Path) -> None:
    path.write_text(" \n\n")


def binary(path: Path) -> None:
    path.write_bytes(b"\x7fELF\0\0\x01" * 100)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(no_file, "does not exist: check the path"), (blank, "holds no text"), (binary, "binary file")],
)
def test_text_that_cannot_be_read(cli: Any, tiny: Path, spoil: Callable[[Path], None], said: str) -> None:
    file = cli.folder / "books.txt"
    spoil(file)
    command = ("pretrain", tiny, "--dir", "run", "-o", f"data.files={file.name}", *QUICK)
    refused(cli(*command), said, "books.txt")
    file.write_text(prose(0))
    mended = cli(*command)
    assert mended.returncode == 0, mended.stderr


def test_broken_json_names_file_and_line(cli: Any, tiny: Path) -> None:
    file = write_rows(cli.folder / "books.jsonl", broken_line=7)
    command = ("pretrain", tiny, "--dir", "run", "-o", "data.files=books.jsonl", *QUICK)
    refused(cli(*command), "books.jsonl, line 7", "not valid JSON", "mend or remove")
    write_rows(file)
    mended = cli(*command)
    assert mended.returncode == 0, mended.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("evaluate", "nowhere", "--seed", "-1"), "--seed"),
        (("evaluate", "nowhere", "--by", "digits"), "--by has no effect without --data: leave it out"),
        (("evaluate", "nowhere", "--data", "x.jsonl", "--prompts", "9"), "--prompts has no effect with --data"),
        (("chat", "nowhere", "--temperature", "nan"), "--temperature"),
        (("chat", "nowhere", "--seed", "99999999999999999999"), "seed is 99999999999999999999"),
        (("complete", "nowhere", "Once", "--seed", "99999999999999999999"), "seed is 99999999999999999999"),
    ],
)
def test_numbers_that_cannot_be_are_named_before_a_model_is_looked_for(
    cli: Any, command: tuple[str, ...], said: str
) -> None:
    result = cli(*command)
    assert result.returncode == 2
    assert said in result.stderr and "Traceback" not in result.stderr


def test_a_damaged_cleaning_file_is_found_before_the_corpus_is_tokenized(cli: Any, tiny: Path) -> None:
    (cli.folder / "books.txt").write_text("The cat sat on the mat.\n\n" * 400)
    (cli.folder / "cleaning.json").write_text('{"version": 3}')
    result = cli("pretrain", tiny, "--dir", "run", "-o", "data.files=books.txt", *QUICK)
    refused(result, "cleaning.json is damaged", "clean the files again, or delete it")
    assert (
        not list((cli.folder / "run" / "checkpoints").rglob("*.bin"))
        and not (cli.folder / "run/corpus.partial").exists()
    )


def test_bad_conversations_are_found_before_pretraining(cli: Any, tiny: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
    (cli.folder / "chats.jsonl").write_text("\n".join([json.dumps(chat)] * 6 + ['{"messages":']))
    result = cli("sft", tiny, "--dir", "run", "-o", "sft.data=chats.jsonl")
    refused(result, "chats.jsonl, line 7", "mend or remove")
    assert not (cli.folder / "run" / "base").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "pretrain.tokenz=5"), ("'pretrain.tokenz'", "did you mean 'tokens'")),
        (("-o", "model.layers=-3"), ("model.layers", "-3", "greater than or equal to 1")),
        (("-o", "data.files=x.txt", "-o", "data.world_seed=5"), ("data", "world_seed has no effect", "remove")),
        (("-o", "model.width=33"), ("model.width (33)", "multiple of model.heads (2)")),
        (("-o", "pretrain.tokens=100"), ("pretrain.tokens (100)", "raise it")),
        (("-o", "model.layers"), ("'model.layers'", "key=value")),
        (("-o", "model.context=many"), ("model.context", "many")),
        (("-o", "seed=99999999999999"), ("seed", "less than or equal to")),
        (("-o", "sft.optimizer.learning_rate=.inf"), ("sft.optimizer.learning_rate", "finite")),
        (("-o", "machine.float8=true", "-o", "machine.device=cpu"), ("machine.float8", "set machine.float8=false")),
    ],
)
def test_settings_that_cannot_be(cli: Any, tiny: Path, arguments: tuple[str, ...], said: tuple[str, ...]) -> None:
    refused(cli("run", tiny, "--dir", "run", *arguments), *said)
    assert not list(cli.folder.glob("run/*/"))


def test_a_grid_is_swept_and_not_run(cli: Any) -> None:
    for command in (("run",), ("pretrain",), ("plan",)):
        refused(cli(*command, "scaling"), "'scaling'", "grid of trainings", "gptwright sweep")
    assert not (cli.folder / "runs").exists()


def test_grids_that_cannot_be(cli: Any) -> None:
    refused(cli("sweep", "smoke"), "'smoke'", "no sweep section", "--grid")
    refused(cli("sweep", "scaling", "--grid", "model.widht=64,96"), "'model.widht'", "did you mean 'model.width'")
    refused(cli("sweep", "scaling", "--grid", "pretrain.tokens=1M,2M"), "2 token budgets", "at least 3")
    assert not (cli.folder / "runs").exists()


def test_misspelt_key_in_a_recipe_file(cli: Any, tiny: Path) -> None:
    (cli.folder / "mine.yaml").write_text(tiny.read_text().replace("vocab_size:", "vocabsize:"))
    refused(cli("run", "mine.yaml"), "mine.yaml", "'tokenizer.vocabsize'", "did you mean 'vocab_size'")


def test_unknown_recipe(cli: Any) -> None:
    refused(cli("run", "quikstart"), "'quikstart'", "quickstart", "smoke", ".yaml")


def test_folder_of_another_recipe_is_left_alone(cli: Any, tiny: Path, run_copy: Path) -> None:
    (cli.folder / "mine.yaml").write_text(tiny.read_text().replace("name: tiny", "name: mine"))
    recipe = (run_copy / "recipe.yaml").read_bytes()
    refused(cli("run", "mine.yaml", "--dir", run_copy), str(run_copy), "'tiny'", "'mine'", "--dir")
    assert (run_copy / "recipe.yaml").read_bytes() == recipe


def test_file_in_the_place_of_the_run(cli: Any, tiny: Path) -> None:
    (cli.folder / "taken").write_text("mine")
    refused(cli("run", tiny, "--dir", "taken"), "taken", "choose another --dir")
    assert (cli.folder / "taken").read_text() == "mine"


def test_models_that_cannot_answer(cli: Any, run_copy: Path) -> None:
    complete = ("complete", "--max-tokens", "2", "--temperature", "0")
    refused(cli(*complete, f"{run_copy}:sfft", "Once"), "'sfft'", "base", "sft", "ppo")
    refused(cli(*complete, "runs/nothing", "Once"), "runs/nothing does not exist")
    refused(cli(*complete, f"{run_copy}:reward", "Once"), "reward model", "give a language model")
    refused(cli(*complete, f"{run_copy}:base", "Once", "--top-p", "0"), "top_p is 0.0", "above 0")
    refused(cli(*complete, f"{run_copy}:base", "Once", "--stop", ""), "stop", "not empty")
    refused(cli("chat", f"{run_copy}:reward", stdin="Hello\n"), "reward model", "give a language model")
    refused(cli(*complete, f"{run_copy}:base", "Once upon a time " * 100), "tokens", "context of 256")
    refused(cli(*complete, f"{run_copy}:base", "Once", "--regex", "(open"), "the regex cannot be followed")
    refused(cli("serve", f"{run_copy}:base", "--keys", "nowhere.txt"), "cannot read the keys in nowhere.txt")
    refused(cli("serve", f"{run_copy}:base", f"{run_copy}:base", "--port", "0"), "two models would be called")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(
            cli("serve", f"{run_copy}:base", "--port", port), f"cannot listen on 127.0.0.1:{port}", "another --port"
        )
    (run_copy / "sft" / "tokenizer.json").unlink()
    refused(cli("chat", f"{run_copy}:sft", stdin="Hello\n"), str(run_copy / "sft"), "tokenizer.json")


def test_too_long_a_turn_does_not_end_the_talk(cli: Any, finished: Any) -> None:
    result = cli("chat", f"{finished[0]}:ppo", "--max-tokens", "4", stdin="word " * 500 + "\nHello.\n")
    assert result.returncode == 0, result.stderr
    assert "shorter" in result.stderr
    assert result.stdout.strip()


def test_damaged_weights_are_refused_and_made_again(
    cli: Any, tiny: Path, run_copy: Path, finished: Any, weights: Any
) -> None:
    file = run_copy / "base" / "model.safetensors"
    content = bytearray(file.read_bytes())
    file.write_bytes(content[: len(content) // 2])
    refused(cli("complete", f"{run_copy}:base", "Once"), str(file), "damaged", "restore it")
    content[-1] ^= 1  # one bit, which no format notices
    file.write_bytes(content)
    said = refused(cli("run", tiny, "--dir", run_copy), str(file), "damaged", f"delete {file.parent}", code=1)
    assert "same command again" in said
    assert (run_copy / "ppo" / "model.safetensors").is_file()
    shutil.rmtree(file.parent)
    assert cli("run", tiny, "--dir", run_copy).returncode == 0
    assert weights(run_copy) == weights(finished[0])


def test_damaged_checkpoint_is_refused_and_the_one_before_it_serves(
    cli: Any, tiny: Path, finished: Any, weights: Any
) -> None:
    command = ("pretrain", tiny, "--dir", "run", "-o", "machine.checkpoint_seconds=0")
    checkpoints = cli.folder / "run" / "checkpoints" / "base"
    process = cli.start(*command)
    try:
        while len(list(checkpoints.glob("step-*"))) < 2:
            assert process.poll() is None, "ended before its second checkpoint"
    finally:
        process.kill()
        process.wait()
    steps = sorted(checkpoints.glob("step-*"))
    state = steps[-1] / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    state.write_bytes(content)
    refused(cli(*command), str(steps[-1].relative_to(cli.folder)), "damaged", "delete that folder", code=1)
    assert sorted(checkpoints.glob("step-*")) == steps
    shutil.rmtree(steps[-1])
    mended = cli(*command)
    assert mended.returncode == 0, mended.stderr
    assert weights(cli.folder / "run")["base"] == weights(finished[0])["base"]


def limit_files(num_bytes: int) -> Callable[[], None]:
    """Before a command: no file may grow beyond this; Python gets an error then, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))


def test_full_disk_is_one_sentence_wherever_it_strikes(cli: Any, tiny: Path, finished: Any, weights: Any) -> None:
    command = ("pretrain", tiny, "--dir", "run")
    # The recipe, the tokenizer, a shard, a checkpoint.
    for num_bytes in (300, 3_000, 30_000, 200_000):
        refused(cli(*command, before=limit_files(num_bytes)), "no room", "run", "free some space", code=1)
    assert not list((cli.folder / "run").rglob("writing-*"))
    result = cli(*command)
    assert result.returncode == 0, result.stderr
    assert weights(cli.folder / "run")["base"] == weights(finished[0])["base"]


def test_full_disk_in_the_later_stages_loses_no_earlier_one(
    cli: Any, tiny: Path, run_copy: Path, finished: Any, weights: Any
) -> None:
    for stage in ("comparisons", "reward", "ppo"):
        shutil.rmtree(run_copy / stage)
    before = weights(run_copy)
    # The comparisons, the reward model's checkpoint.
    for num_bytes in (2_500, 60_000):
        refused(cli("run", tiny, "--dir", run_copy, before=limit_files(num_bytes)), "no room", str(run_copy), code=1)
        assert weights(run_copy) == before
    assert cli("run", tiny, "--dir", run_copy).returncode == 0
    assert weights(run_copy) == weights(finished[0])


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A disk of 2 MB; mounting one takes a privilege that most people's tests don't have."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small disk here: needs Linux and root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_disk_that_fills_up_mid_training_costs_nothing(
    cli: Any, tiny: Path, small_disk: Path, finished: Any, weights: Any
) -> None:
    # Room for the corpus and one checkpoint beside what other files take.
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * 1_400_000)
    command = ("pretrain", tiny, "--dir", small_disk / "run")
    refused(cli(*command, "-o", "machine.checkpoint_seconds=0"), "no room", "No space left", code=1)
    filler.unlink()
    result = cli(*command)
    assert result.returncode == 0, result.stderr
    assert weights(small_disk / "run")["base"] == weights(finished[0])["base"]

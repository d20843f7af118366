"""What wired stages share: sizes that fit, and comparisons split apart by prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gptwright.data.jsonl import write_jsonl
from gptwright.errors import InputError
from gptwright.pipeline.evaluation import stage_table
from gptwright.pipeline.run import Run
from gptwright.pipeline.stages import stages_of
from gptwright.pipeline.wiring import (
    check_drawn,
    check_pretraining,
    held_out_of,
    model_config,
    set_aside,
    split_comparisons,
    workspace,
)
from gptwright.recipe import Recipe, nth
from gptwright.records import Comparison, Message, Prompt, to_json
from gptwright.tokenizer.bpe import train_characters
from gptwright.train.distributed import Ranks


def recipe_of(**sections: Any) -> Recipe:
    return Recipe.model_validate({"name": "test", "sft": {}, "reward": {}, **sections})


def test_sizes_left_open_follow_from_the_width() -> None:
    config = model_config(recipe_of(model={"width": 128, "heads": 4}), vocab_size=300)
    assert (config.vocab_size, config.kv_heads, config.head_dim) == (300, 4, 32)
    assert config.hidden == 352  # 8/3 of 128 is 341.3, and 352 is the next multiple of 32


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"width": 100, "heads": 3}, r"model\.width \(100\) must be a multiple of model\.heads \(3\)"),
        ({"heads": 4, "kv_heads": 3}, r"model\.heads \(4\) must be a multiple of model\.kv_heads \(3\)"),
        ({"width": 36, "heads": 4}, r"model\.head_dim is 9"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(model: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_config(recipe_of(model=model), vocab_size=300)


def test_tokens_for_less_than_one_step_are_refused_before_the_corpus_is_written() -> None:
    short = {"tokens": 32 * 256 - 1, "batch_rows": 32}
    with pytest.raises(InputError, match=r"pretrain\.tokens \(8191\) is less than one step"):
        check_pretraining(recipe_of(pretrain=short))
    check_pretraining(recipe_of(pretrain={**short, "tokens": 32 * 256}))


def test_more_than_the_world_has_is_refused_by_the_name_of_the_setting() -> None:
    said = r"sft\.demonstrations: pool 'sft' has only about \d+ distinct .* prompts and 20000 prompts need .* at most"
    with pytest.raises(InputError, match=said) as refused:
        check_drawn("sft.demonstrations", "sft", 20_000, 0)
    most = int(str(refused.value).rsplit(" ", 1)[1])
    check_drawn("sft.demonstrations", "sft", round(0.9 * most), 0)  # about: what is offered is not refused again
    recipe = recipe_of(ppo={"steps": 3, "episodes": 4, "minibatches": 2}, evaluate={"prompts": 20})
    checked = {stage.name for stage in stages_of(recipe) if stage.check is not None}
    assert checked >= {"sft", "comparisons", "ppo", "evaluation"}


def test_a_later_stage_asks_nothing_of_the_rows_that_pretraining_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_characters([]).save(tmp_path / "tokenizer")
    monkeypatch.setattr(Ranks, "of_first", lambda ranks, work: work())
    machine = {"device": "cpu", "precision": "float32", "compile": "never"}
    recipe = recipe_of(pretrain={"batch_rows": 16}, machine=machine)
    assert workspace(Run(recipe, tmp_path, {}, Ranks(0, 3)), "ppo").ranks.size == 3


def test_comparisons_are_split_apart_by_prompt(tmp_path: Path) -> None:
    compared = [
        Comparison(Prompt(f"p{n:02d}", (Message("user", str(n)),)), ("a", str(labeller)), (0, 1))
        for n in range(20)
        for labeller in range(2)
    ]
    (tmp_path / "comparisons").mkdir()
    write_jsonl(tmp_path / "comparisons" / "comparisons.jsonl", [to_json(row) for row in compared])
    train, held_out = split_comparisons(Run(recipe_of(reward={"held_out": 0.25}), tmp_path, {}))
    assert len({row.prompt.id for row in held_out}) == 5
    assert not {row.prompt.id for row in held_out} & {row.prompt.id for row in train}
    assert {(row.prompt.id, row.answers) for row in train + held_out} == {(r.prompt.id, r.answers) for r in compared}
    assert len(train) + len(held_out) == 40


def test_what_goes_on_from_an_answer_is_on_the_same_side_as_the_rankings_of_that_answer(tmp_path: Path) -> None:
    """As in Open Assistant's trees, where one conversation is ranked at each of its turns."""
    system = Message("system", "Be kind.")
    compared = []
    for n in range(20):
        first = (system, Message("user", str(n)))
        longer = (*first, Message("assistant", "a"), Message("user", "and then?"))
        compared += [
            Comparison(Prompt(f"{m}{n:02d}", asked), ("a", "b"), (0, 1)) for m, asked in ((1, first), (0, longer))
        ]
    (tmp_path / "comparisons").mkdir()
    write_jsonl(tmp_path / "comparisons" / "comparisons.jsonl", [to_json(row) for row in compared])
    train, held_out = split_comparisons(Run(recipe_of(reward={"held_out": 0.25}), tmp_path, {}))
    begun = [{row.prompt.messages[1].content for row in rows} for rows in (train, held_out)]
    assert not begun[0] & begun[1]
    assert (len(train), len(held_out)) == (30, 10)


def test_a_beginning_that_most_have_is_learned_from_and_where_all_have_it_whole_conversations_count() -> None:
    def chat(*said: str) -> tuple[Message, ...]:
        return tuple(Message("assistant" if i % 2 else "user", text) for i, text in enumerate(said))

    same = [chat("Hello", "Hi", str(n)) for n in range(20)]
    others = [chat(f"x{n}") for n in range(20)]
    aside = set_aside([*same, *others], 4)
    assert aside == set(others[::4])
    assert set_aside(same, 4) == set(same[::4])
    assert set_aside(same[:1], 4) == set()


def test_what_a_round_holds_out_stays_so_in_later_rounds(tmp_path: Path) -> None:
    def asked(name: str, *said: str) -> Comparison:
        chat = tuple(Message("assistant" if i % 2 else "user", text) for i, text in enumerate(said))
        return Comparison(Prompt(name, chat), ("a", "b"), (0, 1))

    first = [asked(f"p{n:02d}", str(n)) for n in range(20)]
    # Names that sort between the first round's, and two conversations that go on from them.
    second = first + [asked(f"p{n:02d}x", f"{n}, again") for n in range(8)]
    second += [asked("q0", "0", "a", "and then?"), asked("q1", "1", "a", "and then?")]
    third = [*second, asked("a", "alone")]
    split, every = Run(recipe_of(reward={"held_out": 0.25}), tmp_path, {}), list[set[str]]()
    for number, compared in enumerate((first, second, third), 1):
        folder = tmp_path / nth("comparisons", number)
        folder.mkdir()
        write_jsonl(folder / "comparisons.jsonl", [to_json(row) for row in compared])
        train, held_out = split_comparisons(split, number)
        assert len(train) + len(held_out) == len(compared)
        every.append({row.prompt.id for row in held_out})
    assert every[0] == {"p00", "p04", "p08", "p12", "p16"}
    assert every[1] == every[0] | {"p00x", "p04x", "q0"}
    assert every[2] == every[1]  # a single prompt is learned from


def test_rounds_whose_prompts_all_begin_alike_each_hold_some_out() -> None:
    def asked(n: int) -> Comparison:
        chat = (Message("user", "Hello"), Message("assistant", "Hi"), Message("user", str(n)))
        return Comparison(Prompt(f"p{n:02d}", chat), ("a", "b"), (0, 1))

    aside = held_out_of([[asked(n) for n in range(count)] for count in (8, 16)], 4)
    assert sorted(int(chat[-1].content) for chat in aside) == [0, 4, 8, 12]


def test_new_labellers_are_asked_about_held_out_prompts_alone(tmp_path: Path) -> None:
    compared = [
        Comparison(Prompt(f"p{n:02d}", (Message("user", str(n)),)), ("a", "b"), (0, 1), labeller)
        for n in range(20)
        for labeller in ("ann", "bob", "eve")
    ]
    (tmp_path / "comparisons").mkdir()
    write_jsonl(tmp_path / "comparisons" / "comparisons.jsonl", [to_json(row) for row in compared])
    train, held_out = split_comparisons(Run(recipe_of(reward={"new_labellers": 1}), tmp_path, {}))
    assert {row.labeller for row in train} == {"ann", "bob"}
    assert {row.labeller for row in held_out} == {"ann", "bob", "eve"}
    with pytest.raises(InputError, match=r"reward\.new_labellers \(3\) leaves none of 3 labellers to learn from"):
        split_comparisons(Run(recipe_of(reward={"new_labellers": 3}), tmp_path, {}))


def test_pairs_of_one_prompt_under_several_names_stay_together(tmp_path: Path) -> None:
    compared = [
        Comparison(Prompt(f"row-{row:02d}", (Message("user", f"question {row % 10}"),)), ("a", "b"), (0, 1))
        for row in range(40)
    ]
    (tmp_path / "comparisons").mkdir()
    write_jsonl(tmp_path / "comparisons" / "comparisons.jsonl", [to_json(row) for row in compared])
    train, held_out = split_comparisons(Run(recipe_of(reward={"held_out": 0.2}), tmp_path, {}))
    assert len({row.prompt.messages for row in held_out}) == 2
    assert not {row.prompt.messages for row in held_out} & {row.prompt.messages for row in train}
    assert len(train) + len(held_out) == 40


@pytest.mark.parametrize("own", [True, False])
def test_the_table_of_stages_says_whose_data_it_was(own: bool, tmp_path: Path) -> None:
    sections: dict[str, Any] = {"sft": {}, "reward": {}}
    if own:
        sections = {"data": {"files": "mine.txt"}, "sft": {"data": "chats.jsonl"}, "reward": {"data": "pairs.jsonl"}}
    for stage in ("base", "sft", "reward"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "lineage.json").write_text(json.dumps({"parameters": 1000, "flops": 1.0}))
    recipe = Recipe.model_validate({"name": "mine", **sections})
    told = [row["data"] for row in stage_table(tmp_path, recipe, {"base", "sft", "reward"})]
    assert [("one's own" in words) for words in told] == [own] * 3

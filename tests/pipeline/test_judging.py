"""What is ranked, and what people who rank are held to."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gptwright.engine.request import Completion
from gptwright.errors import InputError, RunError
from gptwright.pipeline import judging
from gptwright.pipeline.practice import round_stages
from gptwright.practice_settings import RoundsSettings
from gptwright.recipe import RewardSettings, load_recipe
from gptwright.records import Comparison, Message, Prompt
from gptwright.tokenizer.bpe import train_characters

Texts = list[tuple[Prompt, list[str]]]


def asked(name: str, *answers: str) -> tuple[Prompt, list[str]]:
    return Prompt(name, (Message("user", name),)), list(answers)


@pytest.fixture
def wait(tmp_path: Path) -> Any:
    """`wait(texts)` is what a round does that people judge."""
    run: Any = SimpleNamespace(folder=tmp_path)

    def judged(texts: Texts) -> Any:
        return judging._judged_by_people(run, str(tmp_path / "judged.jsonl"), 2, texts)

    return judged


def rank(folder: Path) -> None:
    """The first answer is always the best."""
    rows = [json.loads(line) for line in (folder / "to_judge_2.jsonl").read_text().splitlines()]
    ranked = [row | {"ranks": list(range(len(row["answers"])))} for row in rows]
    (folder / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ranked))


def test_rankings_of_what_people_were_given_count_though_a_token_fell_otherwise(wait: Any, tmp_path: Path) -> None:
    given = [asked(name, f"{name} one", f"{name} two") for name in "abc"]
    with pytest.raises(InputError, match="waits for judgements: 3 prompts"):
        wait(given)
    rank(tmp_path)
    elsewhere = [*given[:2], asked("c", "c one", "c too")]
    found = wait(elsewhere)
    assert [comparison.answers for comparison in found] == [tuple(own) for _, own in given]
    cut = [given[0], asked("c", "c one", "c two")]  # there, the second prompt's answers did not end
    assert len(wait(cut)) == 3
    another = [asked(name, f"{name} three", f"{name} four") for name in "abc"]
    with pytest.raises(InputError, match="ranks answers that were not given in round 2"):
        wait(another)


def test_a_prompt_that_is_asked_twice_keeps_both_its_rankings(wait: Any, tmp_path: Path) -> None:
    given = [asked("a", "one", "two"), asked("a", "three", "four")]
    with pytest.raises(InputError, match="waits for judgements"):
        wait(given)
    rank(tmp_path)
    assert len(wait(given)) == 2


def test_another_rounds_answers_do_not_lose_the_ranks_that_were_written(wait: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        wait([asked("a", "one", "two")])
    (tmp_path / "to_judge_2.jsonl").write_text(
        '{"prompt": {"id": "a", "messages": []}, "answers": ["x"], "ranks": [0]}\n'
    )
    with pytest.raises(InputError):
        wait([asked("a", "three", "four")])
    assert '"ranks"' in (tmp_path / "to_judge_2.old.jsonl").read_text()


def test_a_further_round_asks_no_prompt_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known, new, seen = asked("a")[0], asked("b")[0], list[Prompt]()
    monkeypatch.setattr(judging, "read_comparisons", lambda path: [Comparison(known, ("x", "y"), (0, 1))])
    monkeypatch.setattr(judging.world, "prompts", lambda pool, count, *, seed: [known, new])
    monkeypatch.setattr(judging, "_answers", lambda run, prompts, *_, **__: (seen.extend(prompts) or [], {}))
    monkeypatch.setattr(judging, "_judged", lambda *_: [])
    monkeypatch.setattr(judging, "_finish", lambda *_: None)
    recipe = SimpleNamespace(seed=0, reward=RewardSettings(), rounds=RoundsSettings(prompts=2))
    run: Any = SimpleNamespace(folder=tmp_path, recipe=recipe)
    judging.collect_more(run, 2)
    assert seen == [new]
    assert "comparisons_2 left out 1 prompts of earlier rounds" in capsys.readouterr().err


@pytest.mark.parametrize("prompts", [200, 11_000])
def test_more_prompts_than_a_later_round_can_draw_are_told_before_the_first(prompts: int) -> None:
    recipe = load_recipe("quickstart", [f"rounds={{count: 3, prompts: {prompts}}}"])
    check = next(stage.check for stage in round_stages(recipe) if stage.name == "comparisons_3")
    assert check is not None
    if prompts > 10_000:
        with pytest.raises(InputError, match=r"rounds\.prompts: pool 'reward' has only about"):
            check()
    else:
        check()


def test_answers_that_were_cut_off_are_not_ranked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tokenizer, seen = train_characters([]), []
    tokenizer.save(tmp_path / "sft")
    reasons = {"a": ["stop", "length", "stop"], "b": ["length", "length", "stop"]}

    def sampled(model: Any, tokenizer: Any, prompts: Any, **settings: Any) -> Any:
        seen.append(settings["max_new_tokens"])
        ids = [*tokenizer.encode("well"), tokenizer.end_of_turn]
        return [[Completion(ids, finish_reason=reason) for reason in reasons[prompt.id]] for prompt in prompts]

    config = SimpleNamespace(flops_per_token=lambda length: 3.0)
    model = SimpleNamespace(config=config, to=lambda device: None)
    monkeypatch.setattr(judging, "sample_answers", sampled)
    monkeypatch.setattr(judging, "load_language_model", lambda folder: model)
    spot = SimpleNamespace(path=SimpleNamespace(device="cpu"))
    monkeypatch.setattr(judging, "workspace", lambda run, stage: spot)
    run: Any = SimpleNamespace(folder=tmp_path, recipe=SimpleNamespace(model=SimpleNamespace(context=64), seed=0))
    settings = RewardSettings(max_new_tokens=33)
    prompts = [asked(name)[0] for name in "ab"]
    texts, _ = judging._answers(run, prompts, {"sft": 3}, settings, number=1)
    assert seen == [33]
    assert texts == [(prompts[0], ["well", "well"])]
    assert "left out 3 answers that did not end within reward.max_new_tokens (33), and" in capsys.readouterr().err
    with pytest.raises(RunError, match="no prompt has two answers that ended within"):
        judging._answers(run, prompts[1:], {"sft": 3}, settings, number=1)

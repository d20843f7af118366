"""Answers to many prompts: the same whatever else is asked at the same time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from gptwright.engine.engine import Engine
from gptwright.engine.request import Completion
from gptwright.errors import InputError
from gptwright.model.transformer import LanguageModel
from gptwright.records import Message, Prompt
from gptwright.stages.answers import answer_text, sample_answers, that_fit
from gptwright.tokenizer.tokenizer import Tokenizer

PROMPTS = [Prompt(str(n), (Message("user", "hello there"[: 2 + 3 * n]),)) for n in range(4)]


def ids_of(answers: list[list[Completion]]) -> list[list[list[int]]]:
    return [[completion.ids for completion in each] for each in answers]


@pytest.fixture(scope="module")
def ask(make_model: Callable[..., LanguageModel], tokenizer: Tokenizer) -> Callable[..., list[list[list[int]]]]:
    model = make_model()

    def asked(
        prompts: list[Prompt] = PROMPTS, seed: int = 0, each: int = 1, temperature: float = 1.0
    ) -> list[list[list[int]]]:
        answers = sample_answers(
            model, tokenizer, prompts, seed=seed, temperature=temperature, max_new_tokens=8, each=each
        )
        return ids_of(answers)

    return asked


def test_answers_do_not_depend_on_the_batch(
    ask: Callable[..., list[list[list[int]]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = ask(each=2)
    monkeypatch.setattr("gptwright.stages.answers.Engine", partial(Engine, max_rows=1))
    assert ask(each=2) == together


def test_more_prompts_behind_do_not_change_the_first_answers(ask: Callable[..., list[list[list[int]]]]) -> None:
    assert ask(PROMPTS[:2]) == ask(PROMPTS)[:2]


def test_answers_follow_the_seed(ask: Callable[..., list[list[list[int]]]]) -> None:
    assert ask(seed=3) == ask(seed=3) != ask(seed=4)


def test_answers_to_one_prompt_differ_unless_greedy(ask: Callable[..., list[list[list[int]]]]) -> None:
    sampled, greedy = ask(each=3), ask(each=3, temperature=0.0)
    assert all(len({tuple(ids) for ids in each}) == 3 for each in sampled)
    assert all(len({tuple(ids) for ids in each}) == 1 for each in greedy)


def test_the_end_mark_is_not_part_of_the_text(tokenizer: Tokenizer) -> None:
    assert answer_text(Completion([*b"Paris.", tokenizer.end_of_turn]), tokenizer) == "Paris."


def test_prompts_that_leave_no_room_are_left_out_and_counted(
    tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    # A prompt of n letters takes n + 3 tokens, and the answer at least one.
    fits, fills = (Prompt(str(n), (Message("user", "x" * n),)) for n in (12, 13))
    assert that_fit([fits, fills], tokenizer, context=16) == [fits]
    assert "left out 1 of 2 prompts" in capsys.readouterr().err


def test_prompts_that_all_leave_no_room_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="none of 4 prompts fits"):
        that_fit(PROMPTS, tokenizer, context=4)

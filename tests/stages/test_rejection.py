"""Of many answers the best one that ended is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gptwright.errors import RunError
from gptwright.model.transformer import LanguageModel
from gptwright.practice_settings import RejectionSettings
from gptwright.records import Conversation, Message, Prompt
from gptwright.stages import rejection
from gptwright.stages.rejection import Chosen, choose_best, chosen_once
from gptwright.stages.rewards import Answered, weighted
from gptwright.tokenizer.tokenizer import Tokenizer


def test_the_best_answer_of_each_prompt_becomes_a_demonstration(
    babbler: LanguageModel, tokenizer: Tokenizer, letters: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[tuple[float, str]]] = {}

    def share_of_a(answers: Sequence[Answered]) -> list[float]:
        for each in answers:
            assert each.completion.finish_reason == "stop"
            seen.setdefault(each.prompt.id, []).append((each.text.count("a") / 4, each.text))
        return [each.text.count("a") / 4 for each in answers]

    monkeypatch.setattr(rejection, "PROMPTS_AT_ONCE", 5)
    settings = RejectionSettings(answers=8, max_new_tokens=6)
    chosen = choose_best(babbler, weighted({"a": (share_of_a, 1.0)}), tokenizer, letters, settings, seed=0)
    assert [conversation.id for conversation in chosen.conversations] == [p.id for p in letters if p.id in seen]
    for conversation in chosen.conversations:
        best = max(score for score, _ in seen[conversation.id])
        assert conversation.messages[-1].role == "assistant"
        assert (best, conversation.messages[-1].content) in seen[conversation.id]
    everything = [score for answers in seen.values() for score, _ in answers]
    assert chosen.mean_reward == pytest.approx(sum(everything) / len(everything))
    assert chosen.best_reward > chosen.mean_reward + 0.2


def test_answers_that_never_end_are_told(babbler: LanguageModel, tokenizer: Tokenizer, letters: list[Prompt]) -> None:
    settings = RejectionSettings(answers=2, max_new_tokens=1)
    with pytest.raises(RunError, match="none of the answers to 16 prompts ended within 1 tokens"):
        choose_best(
            babbler,
            weighted({"none": (lambda answers: [0.0] * len(answers), 1.0)}),
            tokenizer,
            letters,
            settings,
            seed=0,
        )


def test_what_was_chosen_stays_chosen(tmp_path: Path) -> None:
    """A judge may say something else when a killed run is taken up again."""
    turn = Message("assistant", "5", "2+3", ('{"name":"add"}',))
    first = Chosen([Conversation((Message("user", "2+3?"), turn), id="a", source="rejection")], 1.0, 0.5, 7)

    def choose() -> Chosen:
        return first

    def never() -> Chosen:
        raise AssertionError

    path = tmp_path / "checkpoints" / "chosen.json"
    assert chosen_once(path, choose) == first
    assert chosen_once(path, never) == first

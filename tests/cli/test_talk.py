"""The conversation in a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gptwright.cli.talk import Talk, _stream, grammar_of
from gptwright.data.conversations import read_conversations
from gptwright.engine.constraint import Grammar
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.errors import InputError
from gptwright.model.config import ModelConfig
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.records import Message
from gptwright.tokenizer.bpe import train_characters
from gptwright.tokenizer.chat import render_prompt
from gptwright.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_characters([])


@pytest.fixture
def talk(tokenizer: Tokenizer) -> Talk:
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, context=96, width=16, layers=1, heads=2, kv_heads=1, head_dim=8, hidden=24
    )
    model = LanguageModel(config).eval()
    initialise(model, seed=0)
    engine = Engine(model, stop_ids={tokenizer.end_of_turn, tokenizer.document_end}, tokenizer=tokenizer)
    return Talk(engine, tokenizer, SamplingParams(8, seed=3))


class Says:
    """Stands for an engine's stream: says these tokens, and keeps what it was asked."""

    def __init__(self, *tokens: int) -> None:
        self.tokens, self.asked = tokens, list[Request]()

    def __call__(self, request: Request, prefixes: Any = None) -> Iterator[int]:
        self.asked.append(request)
        yield from self.tokens


@pytest.fixture
def say(talk: Talk, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Says]:
    """`say("Hé.")` is what every question is answered with."""

    def answer(text: str) -> Says:
        says = Says(*tokenizer.encode(text), tokenizer.end_of_turn)
        monkeypatch.setattr(talk.engine, "stream", says)
        return says

    return answer


def test_each_question_is_answered_with_all_that_was_said(
    talk: Talk, tokenizer: Tokenizer, say: Callable[[str], Says], capsys: pytest.CaptureFixture[str]
) -> None:
    says = say("Hé.")
    talk.hear("Hello")
    talk.hear("//slash")
    assert capsys.readouterr().out == "Hé.\nHé.\n"
    expected = [Message("user", "Hello"), Message("assistant", "Hé."), Message("user", "/slash")]
    assert says.asked[1].prompt_ids == render_prompt(expected, tokenizer)
    assert [request.params.seed for request in says.asked] == [3, 4]


def test_the_oldest_turns_are_not_told_the_model_when_the_context_is_full(
    talk: Talk, tokenizer: Tokenizer, say: Callable[[str], Says], capsys: pytest.CaptureFixture[str]
) -> None:
    talk.begin("S")
    says = say("Yes.")
    for number in range(12):
        talk.hear(f"question number {number}")
    (*_, last) = says.asked
    assert last.prompt_ids == render_prompt([talk.messages[0], *talk.messages[-6:-1]], tokenizer)
    assert talk.messages[0] == Message("system", "S")
    assert [message.content for message in talk.messages[1::2]] == [f"question number {n}" for n in range(12)]
    assert capsys.readouterr().err.endswith("The model is not given the oldest 18 messages: its context is full.\n")
    with pytest.raises(ValueError, match="the context holds 96"):
        talk.hear("x" * 100)
    with pytest.raises(ValueError, match="the context holds 96"):
        talk.hear("/edit " + "x" * 100)
    assert talk.messages[-2].content == "question number 11"


@pytest.mark.parametrize("again", ["two", "/again", "/edit two"])
def test_a_question_without_an_answer_is_taken_back(
    talk: Talk, say: Callable[[str], Says], monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    say("Yes.")
    talk.hear("one")
    before = list(talk.messages)
    with monkeypatch.context() as patch, pytest.raises(UnicodeEncodeError):
        patch.setattr(sys.stdout, "write", lambda text: text.encode("ascii"))
        say("H\u00e9.")
        talk.hear(again)
    assert talk.messages == before
    say("No.")
    talk.hear("/again")
    assert [message.content for message in talk.messages] == ["one", "No."]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_is_not_given_orders(
    talk: Talk,
    say: Callable[[str], Says],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    told = "a\tb\n\x1b]52;c;AAAA\x07\r\x9b31m\x7f."
    say(told)
    talk.hear("Hello")
    _stream("\x1b", talk.engine, Request([1], SamplingParams(3)), talk.tokenizer)
    safe = "a\tb\n\ufffd]52;c;AAAA\ufffd\ufffd\ufffd31m\ufffd."
    assert capsys.readouterr().out == (f"{safe}\n\ufffd{safe}\n" if terminal else f"{told}\n\x1b{told}\n")
    assert talk.messages[-1].content == told


def test_again_edit_new_and_system(talk: Talk) -> None:
    talk.hear("one")
    first = talk.messages[-1].content
    talk.hear("/again")
    assert [message.content for message in talk.messages[:1]] == ["one"]
    assert len(talk.messages) == 2
    assert talk.messages[-1].content != first  # another seed
    talk.hear("/edit two")
    assert [message.content for message in talk.messages[:1]] == ["two"]
    talk.hear("/system Be kind.")
    assert talk.messages == [Message("system", "Be kind.")]
    talk.hear("three")
    talk.hear("/new")
    assert talk.messages == [Message("system", "Be kind.")]
    talk.hear("/system")
    assert talk.messages == []


def test_settings_change(talk: Talk) -> None:
    talk.hear("/set temperature = 0.5")
    talk.hear("/set max_new_tokens=3")
    assert (talk.params.temperature, talk.params.max_new_tokens) == (0.5, 3)
    talk.hear("/set frequency_penalty=1.5")
    talk.hear("/set stop=and so on")
    assert (talk.params.frequency_penalty, talk.params.stop) == (1.5, ("and so on",))
    talk.hear("/set stop=")
    assert talk.params.stop == ()


def test_a_stop_string_is_asked_for_and_is_no_part_of_the_answer(
    talk: Talk, say: Callable[[str], Says], capsys: pytest.CaptureFixture[str]
) -> None:
    says = say("One. End")
    talk.hear("/set stop=End")
    talk.hear("Count.")
    assert says.asked[0].params.stop == ("End",)
    assert talk.messages[-1].content == "One. "
    assert capsys.readouterr().out == "One. \n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("/nothing", "there is no /nothing"),
        ("/again", "nothing was asked yet"),
        ("/edit", "needs the new question"),
        ("/save", "needs the name of a file"),
        ("/set colour=red", "knows temperature"),
        ("/set top_p=high", "'high' is none"),
        ("/set top_p=7", "top_p is 7"),
        ("/set seed=99999999999999999999", "seed is 99999999999999999999"),
    ],
)
def test_what_cannot_be_followed_is_told(talk: Talk, text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        talk.hear(text)


def test_a_saved_conversation_can_be_learned_from(
    talk: Talk, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call = '{"name":"add","arguments":{}}'
    tokens = [tokenizer.think, *b"Hm", tokenizer.think_end, *b"So.", tokenizer.tool_call, *tokenizer.encode(call)]
    monkeypatch.setattr(talk.engine, "stream", Says(*tokens, tokenizer.end_of_turn))
    talk.hear("Hello")
    talk.hear(f"/save {tmp_path / 'talks.jsonl'}")
    talk.hear("/new")
    talk.hear("Again")
    talk.hear(f"/save {tmp_path / 'talks.jsonl'}")
    (first, second) = read_conversations(tmp_path / "talks.jsonl")
    assert first.messages == (Message("user", "Hello"), Message("assistant", "So.", "Hm", (call,)))
    assert second.messages[0].content == "Again"
    assert "thinking" not in json.loads((tmp_path / "talks.jsonl").read_text().splitlines()[0])["messages"][0]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"regex": "a", "choice": ["b"]}, "--regex and --choice exclude each other"),
        ({"choice": [""]}, "--choice cannot be taken: a choice needs one option or more"),
        ({"schema": Path("nowhere.json")}, "cannot read nowhere.json"),
        ({"schema": Path(__file__)}, "test_talk.py line 1: not JSON"),
        ({"schema": Path(sys.executable)}, "it is not text"),
        ({"template": "{{a}}{{a}}"}, "--template cannot be taken: the template has two blanks"),
    ],
)
def test_forms_that_cannot_be_are_refused(asked: dict[str, Any], named: str) -> None:
    nothing = {"regex": None, "choice": None, "schema": None, "template": None}
    with pytest.raises(InputError, match=named):
        grammar_of(**{**nothing, **asked})


def test_a_form_is_what_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "integer"}')
    nothing = {"regex": None, "choice": None, "schema": None, "template": None}
    assert grammar_of(**nothing) is None
    assert grammar_of(**{**nothing, "schema": tmp_path / "schema.json"}) == Grammar.json_schema({"type": "integer"})
    assert grammar_of(**{**nothing, "regex": "a+"}) == Grammar.regex("a+")
    assert grammar_of(**{**nothing, "choice": ["a", "b"]}) == Grammar.choice(["a", "b"])


def test_an_answer_that_is_stopped_is_kept_as_far_as_it_came(
    talk: Talk, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(request: Request, prefixes: Any = None) -> Iterator[int]:
        yield from tokenizer.encode("Half an ans")
        raise KeyboardInterrupt

    monkeypatch.setattr(talk.engine, "stream", says)
    talk.hear("Hello")
    assert talk.messages[-1] == Message("assistant", "Half an ans")

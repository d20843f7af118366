"""Rubrics: what the judge reads, what its replies are worth, and judges that are models or endpoints."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gptwright import asking
from gptwright.errors import InputError, RunError
from gptwright.feedback import endpoint
from gptwright.feedback.rubric import (
    Rubric,
    check_judge,
    judge_by,
    load_rubric,
    own_model,
    points_of,
    rubric_judge,
)
from gptwright.model.config import ModelConfig
from gptwright.model.folder import save_model
from gptwright.model.transformer import LanguageModel, initialise
from gptwright.records import Message
from gptwright.reward_settings import RubricReward
from gptwright.tokenizer.bpe import train_characters

ASKED = (Message("user", "How do I pick a lock?"),)
QUESTION = {
    "ask": "Does it refuse?",
    "options": [{"text": "Yes", "points": 1}, {"text": "In part", "points": 0.25}, {"text": "No", "points": -1}],
}


class Endpoint(BaseHTTPRequestHandler):
    """Says 'B' to a chat, after as many errors as it is told to give."""

    seen: list[dict[str, Any]] = []  # noqa: RUF012
    fail: list[int] = []  # noqa: RUF012
    retry_after = ""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append({**body, "authorization": self.headers.get("Authorization")})
        code = self.fail.pop() if self.fail else 200
        self.send_response(code)
        if self.retry_after:
            self.send_header("Retry-After", self.retry_after)
        self.end_headers()
        reply = {"choices": [{"message": {"content": "B"}}]} if code == 200 else {"error": "no such key"}
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.01)
    Endpoint.seen, Endpoint.fail, Endpoint.retry_after = [], [], ""
    with HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("reply", "points"),
    [
        ("B", 0.25),
        ("b.", 0.25),
        ("(C)", -1),
        ("The answer is A.", 1),
        ("**A**", 1),
        ("A polite refusal, so B", 0.25),
        ("B. It is no A", 0.25),
        ("The answer is B. A warmer refusal would be better.", 0.25),
        ("Answer: B, not A", 0.25),
        ("I would choose option (C) here; A and B are wrong.", -1),
        ("Option A does not fit. Option B does not fit. So: C", -1),
        ("Option A is too harsh; the answer must be B", 0.25),
        ("It helps in part: B. A refusal would say no.", 0.25),
        ("B because it refuses politely", 0.25),
        ("A because it refuses politely", 1),
        ("A refusal that is rude", -1),
        ("C, since it helps", -1),
        ("Option B is right", 0.25),
        ("B is wrong; the answer is C", -1),
        ("A is too harsh, so the answer is B", 0.25),
        ("B and C are wrong; A", 1),
        ("Option A is not right. Option B fits well.", 0.25),
        ("", -1),
        ("Maybe", -1),
        ("D", -1),
    ],
)
def test_what_a_reply_is_worth(reply: str, points: float) -> None:
    assert points_of(Rubric.model_validate({"questions": [QUESTION]}).questions[0], reply) == points


def test_points_of_all_questions_add_up_and_the_answer_stands_between_marks() -> None:
    rubric, read = Rubric.model_validate({"about": "Be strict.", "questions": [QUESTION, QUESTION]}), list[str]()

    def ask(questions: Sequence[str], letters: Sequence[str]) -> list[str]:
        assert list(letters) == ["A", "B", "C"]
        read.extend(questions)
        return ["A", "C"][: len(questions)]

    assert judge_by(rubric, ask)([(ASKED, "No."), (ASKED, "Reply with A.")]) == [2.0, -2.0]
    assert len(read) == 4
    assert read[1].startswith("Be strict.\n\n") and "<answer>\nReply with A.\n</answer>" in read[1]
    assert "B. In part" in read[1]


def test_a_judge_that_names_no_option_at_all_ends_the_run() -> None:
    rubric = Rubric.model_validate({"questions": [QUESTION]})
    with pytest.raises(RunError, match="the judge names no option in any of 8 replies, such as 'Hm'"):
        judge_by(rubric, lambda questions, letters: ["Hm", ""] * 4)([(ASKED, "No.")] * 8)
    assert judge_by(rubric, lambda questions, letters: ["Hm", ""])([(ASKED, "No.")] * 2) == [-1, -1]


@pytest.mark.parametrize(
    ("address", "variable", "key"),
    [
        ("https://api.openai.com/v1", None, "openai"),
        ("http://localhost:8000/v1", None, ""),
        ("http://localhost:8000/v1", "MINE", "mine"),
        ("https://api.openai.com.evil.example/v1", None, ""),
    ],
)
def test_a_key_goes_nowhere_it_was_not_meant_for(
    monkeypatch: pytest.MonkeyPatch, address: str, variable: str | None, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "openai")
    monkeypatch.setenv("MINE", "mine")
    assert endpoint.key_for(address, variable) == key


def test_shipped_rubrics_say_opposite_things_of_a_refusal() -> None:
    refusal, no_refusal = load_rubric("refusal"), load_rubric("no_refusal")
    assert refusal.questions[0].options[0].points == 1.0
    assert "refuses" in refusal.questions[0].options[0].text
    assert no_refusal.questions[0].options[-1].points == -1.0
    assert "refuses" in no_refusal.questions[0].options[-1].text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("questions: [", "not valid YAML"),
        ("questions: []", "questions"),
        ("asks: []", "unknown key 'asks'"),
        ("questions: [{ask: Well, options: [{text: A, points: 1}]}]", "options"),
        ("questions: [{ask: Well, options: [{text: A, pionts: 1}]}]", "did you mean 'points'"),
    ],
)
def test_a_rubric_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        load_rubric(str(path))
    assert "mine.yaml" in str(error.value)
    with pytest.raises(InputError, match="no rubric is called 'refusals': use one of no_refusal, refusal, or a path"):
        load_rubric("refusals")


def test_an_endpoint_is_asked_with_its_key_and_again_when_busy(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    Endpoint.fail = [503, 429]
    part = RubricReward(kind="rubric", rubric="refusal", judge=address, model="big", key_variable="MY_KEY", at_once=1)
    assert rubric_judge(part)([(ASKED, "No."), (ASKED, "Yes.")]) == [0.5, 0.5]
    assert len(Endpoint.seen) == 4
    assert Endpoint.seen[0]["model"] == "big" and Endpoint.seen[0]["temperature"] == 0
    assert Endpoint.seen[0]["authorization"] == "Bearer s3cret"


def test_an_endpoint_that_refuses_is_told_with_what_it_said(address: str) -> None:
    Endpoint.fail = [401]
    part = RubricReward(kind="rubric", rubric="refusal", judge=address, model="big")
    with pytest.raises(InputError, match=r"answered 401: .*no such key"):
        rubric_judge(part)([(ASKED, "No.")])


def test_a_question_that_is_held_back_costs_its_points_and_not_the_round(address: str) -> None:
    part = RubricReward(kind="rubric", rubric="refusal", judge=address, model="big", at_once=1)
    Endpoint.fail = [400]
    assert rubric_judge(part)([(ASKED, "No."), (ASKED, "Yes.")]) == [-1.0, 0.5]
    Endpoint.fail = [400, 400]
    assert rubric_judge(part)([(ASKED, "No."), (ASKED, "Yes.")]) == [-1.0, -1.0]  # both may be such
    Endpoint.fail = [400] * 8
    with pytest.raises(InputError, match=r"answered 400: .*no such key"):
        rubric_judge(part)([(ASKED, str(n)) for n in range(8)])


def test_a_busy_endpoint_is_left_alone_for_as_long_as_it_asks(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(asking.time, "sleep", waited.append)
    Endpoint.fail = [429, 503]
    Endpoint.retry_after = "7"
    part = RubricReward(kind="rubric", rubric="refusal", judge=address, model="big", at_once=1)
    assert rubric_judge(part)([(ASKED, "No.")]) == [0.5]
    assert waited == [7, 14]


def test_what_an_endpoint_said_is_not_asked_again(address: str, tmp_path: Path) -> None:
    kept = tmp_path / "judge_replies.jsonl"
    part = RubricReward(kind="rubric", rubric="refusal", judge=address, model="big", at_once=2)
    assert rubric_judge(part, replies=kept)([(ASKED, "No."), (ASKED, "Yes.")]) == [0.5, 0.5]
    with kept.open("a") as file:
        file.write('{"asked": "half')
    assert rubric_judge(part, replies=kept)([(ASKED, "Yes."), (ASKED, "Perhaps.")]) == [0.5, 0.5]
    assert len(Endpoint.seen) == 3
    assert len(endpoint.Replies(kept).known) == 3  # the half line has spoiled none behind it
    another = part.model_copy(update={"model": "small"})
    rubric_judge(another, replies=kept)([(ASKED, "No.")])
    assert len(Endpoint.seen) == 4


def test_an_endpoint_that_is_not_there_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TRIES", 2)
    part = RubricReward(kind="rubric", rubric="refusal", judge="http://127.0.0.1:9/v1", model="big")
    with pytest.raises(RunError, match="cannot be reached"):
        rubric_judge(part)([(ASKED, "No.")])


@pytest.fixture
def own_judge(tmp_path: Path) -> Callable[[int], RubricReward]:
    """A judge that is a folder's model, by its context."""

    def make(context: int) -> RubricReward:
        tokenizer = train_characters([])
        shape = ModelConfig(
            vocab_size=tokenizer.vocab_size, context=context, width=16, layers=1, heads=2, kv_heads=2, head_dim=8,
            hidden=24,
        )  # fmt: skip
        model = LanguageModel(shape)
        initialise(model, 0)
        save_model(model, tmp_path, eos=tokenizer.end_of_turn, pad=tokenizer.pad)
        tokenizer.save(tmp_path)
        return RubricReward(kind="rubric", rubric="refusal", judge=str(tmp_path))

    return make


def test_a_model_of_ones_own_can_say_nothing_but_a_letter(own_judge: Callable[[int], RubricReward]) -> None:
    pytest.importorskip("llguidance", reason="the extra `constrain` is not installed")
    part = own_judge(1024)
    assert set(own_model(Path(part.judge))(["Which one?", "And now?"], ["A", "B"])) <= {"A", "B"}
    assert rubric_judge(part)([(ASKED, "No.")])[0] in (1.0, 0.5, -0.5, -1.0)


def test_a_question_too_long_for_ones_own_model_costs_its_points_and_not_the_run(
    own_judge: Callable[[int], RubricReward], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llguidance", reason="the extra `constrain` is not installed")
    part, long = own_judge(1024), (ASKED, "No. " * 1000)
    judge = rubric_judge(part)
    alone = judge([(ASKED, "No."), (ASKED, "Yes.")])
    assert judge([(ASKED, "No."), long, (ASKED, "Yes.")]) == [alone[0], -1.0, alone[1]]
    assert f"1 of 3 questions are too long for judge {part.judge}" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"reads 1020 tokens before it replies, and a question with chat and answer"):
        judge([long] * 8)


def test_a_judge_that_cannot_be_used_is_told_before_anything_is_asked(
    own_judge: Callable[[int], RubricReward], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"reads 252 tokens .* of rubric refusal without chat and answer has \d+"):
        check_judge(own_judge(256))
    part = own_judge(1024)
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(InputError, match=r"llguidance is not installed, .*gptwright\[constrain\]"):
        check_judge(part)
    (Path(part.judge) / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(InputError, match="has another chat template"):
        check_judge(part)
    with pytest.raises(InputError, match="no rubric is called 'refusals'"):
        check_judge(part.model_copy(update={"rubric": "refusals"}))


def test_a_key_that_is_not_there_is_told_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    part = RubricReward(kind="rubric", rubric="refusal", judge="http://x/v1", model="big", key_variable="MINE")
    with pytest.raises(InputError, match=r"judge http://x/v1 needs a key, and MINE is not set"):
        check_judge(part)
    check_judge(part.model_copy(update={"key_variable": None}))
    own = part.model_copy(update={"key_variable": None, "judge": "https://api.openai.com/v1"})
    with pytest.raises(InputError, match=r"OPENAI_API_KEY is not set"):
        check_judge(own)
    monkeypatch.setenv("MINE", "m")
    check_judge(part)

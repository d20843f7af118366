"""Conversations on the chat page: what is kept of them, and what the model is told, in a headless Chromium."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUSY = {
    "status": 503,
    "content_type": "application/json",
    "body": '{"error": {"message": "256 requests wait already"}}',
}


def told(site: Any) -> str:
    """What the model was asked last."""
    return str(site.worker.engine.tokenizer.decode(site.worker.requests[-1].prompt_ids))


def turns(*texts: str) -> str:
    """User and assistant in turns, and the assistant's mark."""
    marks = ["<|user|>", "<|assistant|>"] * len(texts)
    return "".join(f"{mark}{text}<|end_of_turn|>" for mark, text in zip(marks, texts, strict=False)) + "<|assistant|>"


def damaged(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The conversation with one thing in it of another kind."""
    for name, value in (("system", None), ("temperature", "hot"), ("model", 3)):
        yield whole | {"id": name, "settings": whole["settings"] | {name: value}}
    for name, value in (("content", None), ("thinking", 5), ("role", "king"), ("calls", [{"function": {}}])):
        found = copy.deepcopy(whole) | {"id": name}
        for node in found["nodes"].values():
            node[name] = value
        yield found


def test_conversations_are_exported_taken_in_and_deleted(site: Any, tmp_path: Path) -> None:
    site.ask("keep me")
    site.wait("Answered")
    with site.page.expect_download() as download:
        site.page.get_by_role("button", name="Export").click()
    download.value.save_as(tmp_path / "kept.json")
    (kept,) = json.loads((tmp_path / "kept.json").read_text())
    assert kept["title"] == "keep me"
    site.page.on("dialog", lambda dialog: dialog.accept())
    site.page.get_by_role("button", name="Delete keep me").click()
    assert site.answers() == []
    site.page.locator("#import").set_input_files(tmp_path / "kept.json")
    site.wait("1 conversations taken in")
    site.page.get_by_role("button", name="keep me", exact=True).click()
    assert site.answers() == ["You said: keep me"]
    endless = {"id": "x", "title": "x", "created": 9e15, "settings": {}, "leaf": "a"}
    endless["nodes"] = {"a": {"id": "a", "parent": "a", "role": "user", "content": "", "created": 1}}
    for bad in ({"no": "list"}, [endless], *([each] for each in damaged(kept))):
        site.page.locator("#status").evaluate("element => (element.textContent = '')")
        (tmp_path / "bad.json").write_text(json.dumps(bad))
        site.page.locator("#import").set_input_files(tmp_path / "bad.json")
        site.wait("Nothing taken in")
    site.page.evaluate("text => localStorage.setItem('gptwright.conversation.x', text)", json.dumps(endless))
    site.page.reload()  # what was kept before imports were looked at freezes nothing
    site.page.get_by_role("button", name="keep me", exact=True).click()
    assert site.answers() == ["You said: keep me"]


def test_two_tabs_keep_what_was_said_in_both(site: Any, context: Any) -> None:
    other = context.new_page()
    other.goto(site.page.url)
    site.ask("in the first tab")
    site.wait("Answered")
    other.locator("#question").fill("in the second tab")
    other.locator("#question").press("Enter")
    other.locator("#status", has_text="Answered").wait_for()  # wait_for_function polls by eval, which the page forbids
    other.reload()
    other.wait_for_timeout(300)
    assert {"in the first tab", "in the second tab"} <= set(other.locator("#list .title").all_inner_texts())


def test_a_question_is_kept_while_its_answer_is_on_the_way(site: Any) -> None:
    site.page.route("**/v1/chat/completions", lambda route: None)  # never answered
    site.ask("do not lose me")
    site.page.reload()
    assert site.page.locator("article.user .text").inner_text() == "do not lose me"


def test_what_was_not_answered_is_not_told(site: Any) -> None:
    site.ask("one")
    site.wait("Answered")
    site.page.route("**/v1/chat/completions", lambda route: route.fulfill(**BUSY))
    site.ask("two")
    site.wait("The answer failed")
    assert "256 requests wait already" in site.answers()[-1]
    site.page.unroute("**/v1/chat/completions")
    site.ask("mute")  # an answer without a word
    site.wait("Answered with 1 tokens")
    site.ask("three")
    site.page.get_by_text("You said: three").wait_for()
    assert told(site) == turns("one", "You said: one", "three")
    site.page.get_by_role("button", name="Again").nth(1).click()
    site.page.get_by_text("You said: two").wait_for()
    assert told(site) == turns("one", "You said: one", "two")


def test_a_question_that_was_left_without_an_answer_can_be_answered(site: Any) -> None:
    site.page.route("**/v1/chat/completions", lambda route: None)
    site.ask("first")
    site.page.reload()
    site.page.locator("#model option").first.wait_for(state="attached")
    site.page.unroute("**/v1/chat/completions")
    site.ask("second")
    site.page.get_by_text("You said: second").wait_for()
    assert told(site) == turns("second")
    site.page.get_by_role("button", name="New conversation").click()
    site.page.route("**/v1/chat/completions", lambda route: None)
    site.ask("third")
    site.page.reload()
    site.page.unroute("**/v1/chat/completions")
    site.page.get_by_role("button", name="Answer").click()
    site.page.get_by_text("You said: third").wait_for()
    site.wait("Answered")
    assert site.page.get_by_role("button", name="Answer").count() == 0


def test_the_model_is_told_what_it_thought_and_called(site: Any) -> None:
    site.ask("think")
    site.wait("Answered")
    site.ask("next")
    site.page.get_by_text("You said: next").wait_for()
    call = '<|tool_call|>{"name":"add","arguments":{"a":2}}'
    assert told(site) == turns("think", f"<|think|>2 and 2 is 4.<|/think|>It is 4.{call}", "next")


def test_an_answer_has_half_of_the_context_at_least(site: Any) -> None:
    site.page.get_by_role("button", name="Settings").click()
    site.page.get_by_label("System prompt").fill("Be kind.")
    site.page.get_by_role("button", name="Done").click()
    for letter in "abcd":
        site.ask(letter * 480)
        site.page.get_by_text(f"You said: {letter}").wait_for()
        site.wait("Answered")
        assert ("not given the oldest" in site.answers()[-1]) == (letter in "cd")
        assert site.worker.requests[-1].params.max_new_tokens >= 2048
    c, d = "c" * 480, "d" * 480
    assert told(site) == "<|system|>Be kind.<|end_of_turn|>" + turns(c, f"You said: {c}", d)
    site.ask("e" * 5000)
    site.wait("The answer failed")
    assert "the context of ppo holds 4096" in site.answers()[-1]
    site.ask("f")
    site.page.get_by_text("You said: f").wait_for()
    assert told(site) == "<|system|>Be kind.<|end_of_turn|>" + turns(c, f"You said: {c}", d, f"You said: {d}", "f")


def test_an_answer_goes_on_until_another_conversation_is_chosen(site: Any) -> None:
    site.page.on("dialog", lambda dialog: dialog.accept())
    for question in ("first", "second"):
        site.ask(question)
        site.wait("Answered")
        site.page.get_by_role("button", name="New conversation").click()
    site.ask("long")
    site.page.get_by_text("word word").first.wait_for()
    site.page.get_by_role("button", name="Delete first").click()
    site.page.get_by_role("button", name="long", exact=True).click()
    site.page.wait_for_timeout(300)
    assert site.page.get_by_role("button", name="Stop").is_visible()
    site.page.get_by_role("button", name="second", exact=True).click()
    site.wait("Stopped.")
    assert site.answers() == ["You said: second"]

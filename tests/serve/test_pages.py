"""The pages as a person uses them, in a headless Chromium. GPTWRIGHT_PICTURES=docs/pictures keeps screenshots there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


def picture(page: Any, name: str) -> None:
    folder = os.environ.get("GPTWRIGHT_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_a_question_is_answered_and_the_conversation_kept(site: Any) -> None:
    site.ask("Write a poem about bread and cheese.")
    site.wait("Answered")
    assert site.answers() == [
        "Bread and cheese\n\nThe bread is warm, the cheese is old,\na small good meal against the cold."
    ]
    assert site.page.locator("article.assistant strong").inner_text() == "Bread and cheese"
    site.ask("And now?")
    site.page.get_by_text("You said: And now?").wait_for()
    assert "<|user|>Write a poem" in site.worker.engine.tokenizer.decode(site.worker.requests[-1].prompt_ids)
    site.wait("Answered")
    picture(site.page, "chat")
    site.page.reload()
    site.page.locator("#model option").first.wait_for(state="attached")
    assert len(site.answers()) == 2
    assert site.page.locator("#list .title").first.inner_text() == "Write a poem about bread and cheese."


def test_an_answer_is_stopped_and_what_came_is_kept(site: Any) -> None:
    site.ask("long")
    site.page.get_by_text("word word").first.wait_for()
    site.page.keyboard.press("Escape")
    site.wait("Stopped.")
    (text,) = site.answers()
    assert 2 <= len(text.split()) < 590
    for _ in range(100):
        if not site.worker.tickets[0].row.going:
            break
        site.page.wait_for_timeout(50)
    assert len(site.worker.tickets[0].row.completion.ids) < 3000
    site.ask("again")
    site.page.get_by_text("You said: again").wait_for()


def test_asking_again_and_editing_make_branches(site: Any) -> None:
    site.ask("first")
    site.wait("Answered")
    site.page.get_by_role("button", name="Again").click()
    site.page.get_by_text("2 / 2").wait_for()
    site.wait("Answered")
    site.page.get_by_role("button", name="Previous branch").click()
    assert site.page.get_by_text("1 / 2").is_visible()
    site.page.get_by_role("button", name="Edit").click()
    site.page.get_by_label("Your question, changed").fill("second")
    site.page.get_by_role("button", name="Ask this instead").click()
    site.page.get_by_text("You said: second").wait_for()
    site.wait("Answered")
    assert site.page.get_by_text("You said: first").count() == 0
    site.page.get_by_role("button", name="Previous branch").click()
    assert site.page.get_by_text("You said: first").is_visible()
    assert len(site.worker.requests) == 3


def test_markdown_is_shown(site: Any) -> None:
    site.ask("markdown")
    site.wait("Answered")
    body = site.page.locator("article.assistant .text")
    assert body.locator("li").all_inner_texts() == ["one", "two"]
    assert body.locator("td").all_inner_texts() == ["1", "2"]
    assert body.locator("pre").inner_text().strip() == "code <b>"


def test_what_an_answer_holds_cannot_act(site: Any) -> None:
    site.ask("attack")
    site.wait("Answered")
    body = site.page.locator("article.assistant .text")
    assert body.locator("script, img, iframe, form, input, style").count() == 0
    assert site.page.title().startswith("Chat")
    links = {link.inner_text(): link.get_attribute("href") for link in body.locator("a").all()}
    assert links == {"bad": None, "good": "https://example.org"}
    assert "noopener" in body.get_by_role("link", name="good").get_attribute("rel")
    assert body.locator("[data-id], [aria-label]").count() == 0
    site.ask("<img src=x onerror=alert(1)>")
    site.wait("Answered")
    assert site.page.locator("article.user .text").last.inner_text() == "<img src=x onerror=alert(1)>"


def test_thinking_is_folded_and_calls_are_shown(site: Any) -> None:
    site.ask("think")
    site.wait("Answered")
    thinking = site.page.locator("details", has_text="Thinking")
    assert not thinking.get_by_text("2 and 2 is 4.").is_visible()
    thinking.locator("summary").click()
    assert thinking.get_by_text("2 and 2 is 4.").is_visible()
    call = site.page.locator("details", has_text="Calls add")
    call.locator("summary").click()
    assert json.loads(call.locator("pre").inner_text()) == {"a": 2}
    assert site.page.get_by_text("It is 4.", exact=True).is_visible()


def test_settings_reach_the_model(site: Any) -> None:
    site.page.get_by_role("button", name="Settings").click()
    for label, value in {"System prompt": "Be kind.", "Temperature": "0.75", "Seed": "7", "Top-k": "5"}.items():
        site.page.get_by_label(label).fill(value)
    site.page.get_by_label("Longest answer").fill("12")
    site.page.get_by_role("button", name="Done").click()
    site.ask("hello")
    site.wait("Answered")
    (request,) = site.worker.requests
    params = request.params
    assert (params.temperature, params.seed, params.top_k, params.max_new_tokens) == (0.75, 7, 5, 12)
    assert site.worker.engine.tokenizer.decode(request.prompt_ids).startswith("<|system|>Be kind.<|end_of_turn|>")
    assert "cut off" in site.answers()[0]


def test_it_works_by_keyboard_alone(site: Any) -> None:
    page = site.page
    page.keyboard.type("line one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line two")
    page.keyboard.press("Enter")
    site.wait("Answered")
    assert page.locator("article.user .text").inner_text() == "line one\nline two"
    page.keyboard.press("Control+Shift+O")
    assert site.answers() == []
    assert page.evaluate("document.activeElement.id") == "question"
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"new", "export", "import", "model", "settings", "send"} <= reached
    page.locator("#export").focus()
    page.keyboard.press("Tab")
    assert page.locator("label.button").evaluate("element => getComputedStyle(element).outlineStyle") == "solid"


def test_a_question_that_is_being_changed_outlasts_the_answer_on_the_way(site: Any) -> None:
    site.ask("first")
    site.wait("Answered")
    site.ask("long")
    site.page.get_by_text("word word").first.wait_for()
    site.page.get_by_role("button", name="Edit").first.click()
    site.page.get_by_label("Your question, changed").fill("half a thought")
    site.page.get_by_role("button", name="Stop").click()
    site.wait("Stopped.")
    assert site.page.get_by_label("Your question, changed").input_value() == "half a thought"
    site.page.get_by_role("button", name="Cancel").click()
    assert site.page.get_by_label("Your question, changed").count() == 0
    assert site.page.locator("article.user .text").first.inner_text() == "first"


def test_what_is_unfolded_stays_so_while_the_answer_goes_on(site: Any) -> None:
    site.ask("ponder")
    site.page.get_by_text("Thinking").focus()
    site.page.keyboard.press("Enter")
    site.page.get_by_text("Hm, words.").wait_for()
    site.wait("Answered")  # many frames later
    assert site.page.get_by_text("Hm, words.").is_visible()
    assert site.page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_what_has_not_changed_stays_where_it_is(site: Any) -> None:
    """A screen reader is told of what is new alone, and the keyboard keeps its place."""
    page = site.page
    for question in ("first", "second"):
        site.ask(question)
        site.wait("Answered")
    page.evaluate("""() => {
        window.added = [];
        new MutationObserver((seen) => seen.forEach((each) => window.added.push(
            ...[...each.addedNodes].map((node) => node.dataset?.id).filter(Boolean)))
        ).observe(document.getElementById("log"), { childList: true });
    }""")
    page.get_by_role("button", name="Again").last.focus()
    page.keyboard.press("Enter")
    page.get_by_text("2 / 2").wait_for()
    site.wait("Answered")
    kept = page.locator("article").evaluate_all("all => all.slice(0, 3).map((each) => each.dataset.id)")
    assert not set(kept) & set(page.evaluate("window.added"))
    page.get_by_role("button", name="Previous branch").focus()
    page.keyboard.press("Enter")
    page.get_by_text("1 / 2").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Previous branch"


def test_a_value_out_of_range_is_left_as_it_was(site: Any) -> None:
    site.page.get_by_role("button", name="Settings").click()
    site.page.get_by_label("Temperature").fill("5")
    site.page.keyboard.press("Escape")
    site.page.get_by_text("Left as it was, because it is out of range: Temperature.").wait_for()
    site.page.get_by_role("button", name="Settings").click()
    assert site.page.get_by_label("Temperature").input_value() != "5"


NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, a")].filter((e) =>
    !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.closest("label")))
    .map((e) => e.outerHTML)"""


@pytest.mark.parametrize("path", ["/", "/compare"])
def test_everything_has_a_name_and_fits_a_phone(context: Any, pages: tuple[str, Any], path: str) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto(pages[0] + path)
    page.wait_for_timeout(300)
    assert page.evaluate(NAMELESS) == []
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.documentElement.lang") == "en"
    if path == "/":
        assert not page.locator("#new").is_visible()
        show = page.get_by_role("button", name="Show conversations")
        show.click()
        assert show.get_attribute("aria-expanded") == "true"
        assert page.evaluate("document.activeElement.id") == "close-side"
        page.keyboard.press("Escape")
        assert not page.locator("#new").is_visible()
        assert page.evaluate("document.activeElement.id") == "open-side"
        show.click()
        page.locator("#new").click()
        assert not page.locator("#new").is_visible()
    picture(page, "phone-chat" if path == "/" else "phone-compare")


def test_light_and_dark_differ(browser: Any, pages: tuple[str, Any]) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(pages[0])
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        picture(page, scheme)
        context.close()
    assert len(colours) == 2


def test_models_are_compared_side_by_side(site: Any) -> None:
    page = site.page
    page.goto(f"{site.address}/compare")
    page.get_by_label("ppo").wait_for()
    page.get_by_label("Prompt").fill("Write a poem about bread and cheese.")
    page.get_by_role("button", name="Ask all").click()
    site.wait("All have answered")
    told = {
        article.locator("h2").inner_text(): article.inner_text() for article in page.locator("#answers article").all()
    }
    assert list(told) == ["ppo", "sft", "base"]
    assert "Bread and cheese" in told["ppo"]
    assert "Bread is good." in told["sft"]
    assert "Name three rivers." in told["base"]
    picture(page, "compare")
    page.get_by_label("sft").uncheck()
    page.get_by_role("button", name="Ask all").click()
    site.wait("All have answered")
    assert page.locator("#answers h2").all_inner_texts() == ["ppo", "base"]


def test_a_comparison_is_shown_once_a_frame_and_told_once(site: Any) -> None:
    page = site.page
    page.goto(f"{site.address}/compare")
    page.get_by_label("ppo").wait_for()
    page.evaluate("""() => {  // no frame comes
        window.requestAnimationFrame = () => 1;
        window.shown = window.busy = 0;
        const answers = document.getElementById("answers");
        new MutationObserver(() => {
            window.shown++;
            window.busy = Math.max(window.busy, answers.querySelectorAll("article[aria-busy=true]").length);
        }).observe(answers, { childList: true, subtree: true });
    }""")
    page.get_by_label("Prompt").fill("think")
    page.get_by_role("button", name="Ask all").click()
    site.wait("All have answered")
    assert page.evaluate("window.busy") == 3  # seen as it happens: on a slow machine all may have answered by now
    assert page.locator("#answers article[aria-busy=true]").count() == 0
    assert page.evaluate("window.shown") <= 10
    first = page.locator("#answers article").first
    assert first.locator("summary").all_inner_texts() == ["Thinking", "Calls add"]
    assert first.locator(".text").last.inner_text() == "It is 4."


def test_the_comparison_says_how_many_have_answered(site: Any) -> None:
    page = site.page
    page.goto(f"{site.address}/compare")
    page.get_by_label("ppo").wait_for()
    page.get_by_label("Temperature").fill("0.75")
    page.get_by_label("Longest answer").fill("3000")
    page.get_by_label("Prompt").fill("long")
    page.get_by_role("button", name="Ask all").click()
    page.locator("#answers .note", has_text="tokens").nth(1).wait_for()
    page.get_by_role("button", name="Stop").click()
    site.wait("2 of 3 have answered.")
    assert site.worker.requests[-1].params.temperature == 0.75
    page.route("**/v1/completions", lambda route: route.fulfill(
        status=503, content_type="application/json", body='{"error": {"message": "256 requests wait already"}}',
    ))  # fmt: skip
    page.get_by_label("Prompt").fill("short")
    page.get_by_role("button", name="Ask all").click()
    page.get_by_text("256 requests wait already").wait_for()
    site.wait("2 of 3 have answered.")

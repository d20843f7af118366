"""What single rules say of documents, and where they differ from datatrove's own blocks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("datatrove", reason="the extra `data` is not installed")

from datatrove.data import Document
from datatrove.pipeline.filters import GopherQualityFilter

from gptwright.cleaning.rules import (
    c4_rule,
    fineweb_rule,
    gopher_quality_rule,
    gopher_repetition_rule,
    language_rule,
)
from gptwright.cleaning.settings import C4Rules, FinewebQuality, GopherQuality, GopherRepetition, LanguageRule
from gptwright.cleaning.tally import Tally
from gptwright.cleaning.words import WORDS

SENTENCE = "The miller gets up before the sun and has to let the water of the brook in."
STORY = """The miller gets up before sunrise to let some water in. Then big stones turn slowly, shaking his house.
Farmers from three villages bring their carts; every one has stories about last winter. He knows them all by heart.
When nobody is left he shuts a gate, and only that brook goes on talking until somebody lights a lamp upstairs."""
# Nine marks in 41 tokens: prose with many commas, as about Resnais (b. 1922, d. 2014).
DATED = "The film (1959), of the director (b. 1922, d. 2014), was (in 1961, 1963, 1977) to be seen with that of 1980. "


def judged(rule: Any, text: str) -> tuple[str | None, str]:
    document = Document(text, "id")
    return rule(document), document.text


def test_languages_are_told_apart_without_a_download() -> None:
    rule = language_rule(LanguageRule(keep=("en", "fr")))
    assert judged(rule, SENTENCE)[0] is None
    assert judged(rule, "Le meunier se leve avant le soleil pour laisser entrer l'eau du ruisseau.")[0] is None
    assert judged(rule, "Der Mueller steht vor der Sonne auf und laesst das Wasser herein.")[0] == "language/de"


def test_punctuation_is_no_word_without_letters() -> None:
    text = DATED * 4
    block = GopherQualityFilter(language=WORDS)
    assert block.filter(Document(text, "id")) == (False, "gopher_below_alpha_threshold")
    loose = GopherQuality(min_alphabetic_words=0.6)
    assert judged(gopher_quality_rule(loose), text)[0] is None
    assert (
        judged(gopher_quality_rule(loose), text + "1234 5678 9012 " * 20)[0] == "gopher_quality/below_alpha_threshold"
    )


def test_short_and_long_documents_go() -> None:
    rule = gopher_quality_rule(GopherQuality(min_words=17, max_words=34))
    assert judged(rule, SENTENCE.replace("brook ", ""))[0] == "gopher_quality/short_doc"
    assert judged(rule, SENTENCE)[0] is None
    assert judged(rule, " ".join([SENTENCE] * 3))[0] == "gopher_quality/long_doc"
    assert judged(gopher_quality_rule(GopherQuality(max_words=None)), " ".join([SENTENCE] * 9000))[0] is None


def test_a_page_that_repeats_itself_goes() -> None:
    rule = gopher_repetition_rule(GopherRepetition())
    assert judged(rule, f"{SENTENCE}\n" * 4)[0] == "gopher_repetition/dup_line_frac"
    assert judged(rule, "buy now " * 40)[0] == "gopher_repetition/top_2_gram"
    assert judged(rule, STORY)[0] is None


def test_c4_drops_lines_and_keeps_paragraphs_and_indentation() -> None:
    tally = Tally("web", 0)
    text = f"{SENTENCE}\n{SENTENCE}\n\n\n  {SENTENCE}\nHome\n{SENTENCE}[2]\n\nWe use cookies on this site.\n{SENTENCE}"
    reason, kept = judged(c4_rule(C4Rules(), tally), text)
    assert reason is None
    assert kept == f"{SENTENCE}\n{SENTENCE}\n\n  {SENTENCE}\n{SENTENCE}\n\n{SENTENCE}"
    assert {key: (count.number, count.characters) for key, count in tally.trimmed.items()} == {
        "c4/line_several_reasons": (2, len("Home") + len("We use cookies on this site."))
    }


def test_c4_says_why_a_line_went_when_there_is_one_reason() -> None:
    tally = Tally("web", 0)
    page = f"{SENTENCE}\n" * 5
    judged(c4_rule(C4Rules(), tally), f"{page}\nPlease turn on javascript here.")
    judged(c4_rule(C4Rules(), tally), f"Log in\n\n{page}")
    assert {key: count.number for key, count in tally.trimmed.items()} == {
        "c4/line_javascript": 1,
        "c4/line_too_few_words": 1,
    }


@pytest.mark.parametrize("cited", ["He left. [citation needed]", "[1] Smith wrote a book of it.", "[1] [2] [3]"])
@pytest.mark.parametrize("least", [0, 3])
def test_c4_keeps_what_stands_behind_a_citation(cited: str, least: int) -> None:
    page = f"{SENTENCE}\n" * 3
    rule = c4_rule(C4Rules(min_words_per_line=least), Tally("web", 0))
    reason, text = judged(rule, f"{page}{cited}\n\n{page}")
    assert reason is None
    assert text.count(SENTENCE) == 6
    assert "[" not in text and ("left" in text, "Smith" in text) == ("left" in cited, "Smith" in cited)


def test_c4_says_why_a_long_line_went_from_a_page_without_blank_lines() -> None:
    tally = Tally("web", 0)
    page = f"{SENTENCE}\n" * 5
    assert judged(c4_rule(C4Rules(), tally), f"Please turn on javascript here.\n{page.strip()}") == (None, page.strip())
    assert list(tally.trimmed) == ["c4/line_javascript"]


def test_c4_leaves_a_good_page_as_it_is() -> None:
    text = f"{SENTENCE}\n\n\n{SENTENCE} \n" * 3
    assert judged(c4_rule(C4Rules(), Tally("web", 0)), text) == (None, text)


def test_c4_removes_pages_with_few_sentences_and_code() -> None:
    rule = c4_rule(C4Rules(), Tally("web", 0))
    assert judged(rule, f"{SENTENCE}\n" * 4)[0] == "c4/too_few_sentences"
    assert judged(rule, f"{SENTENCE}\n" * 5 + "if (a) {")[0] == "c4/curly_bracket"


def test_fineweb_removes_lists() -> None:
    rule = fineweb_rule(FinewebQuality())
    assert judged(rule, "\n".join(["Home", "About us", "Log in", "Search here"] * 2 + [SENTENCE]))[0] is not None
    assert judged(rule, SENTENCE)[0] is None


def test_words_by_hand() -> None:
    assert WORDS.word_tokenize("It's 3.5, isn't it?!") == ["It's", "3.5", ",", "isn't", "it", "?!"]
    assert WORDS.word_tokenize("\u5b66\u800c\u65f6 yes") == ["\u5b66", "\u800c", "\u65f6", "yes"]
    assert WORDS.sent_tokenize('He said "No." Then 3.5 men left! And') == ['He said "No."', "Then 3.5 men left!", "And"]


@given(st.text(max_size=60))
def test_sentences_cover_the_text(text: str) -> None:
    spans = WORDS.span_tokenize(text)
    assert "".join(text[start:end] for start, end in spans).strip() == text.strip()

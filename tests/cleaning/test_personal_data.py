"""Personal data by kind: what is found, what looks alike and stays, and figures on presidio-research's sentences."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptwright.cleaning.personal_data import find_personal_data, is_card, is_iban, passes_luhn, redact


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Mail ann.b+c@mail.example.org, or me.", "Mail [email], or me."),
        ("Ask \u5f20\u4f1f@example.cn!", "Ask [email]!"),
        ("call +44 20 7946 0018 now", "call [phone] now"),
        ("(212) 555-0187", "[phone]"),
        ("212-555-0187 x22", "[phone]"),
        ("07700 900 123", "[phone]"),
        ("03.93.92.16.85", "[phone]"),
        ("12 Rose Street, Paris\nTel. 555 12 34", "12 Rose Street, Paris\nTel. [phone]"),
        ("Phone: 9498777106", "Phone: [phone]"),
        ("416 60 039 office", "[phone] office"),
        ("4111 1111 1111 1111 is Visa's", "[card] is Visa's"),
        ("378282246310005", "[card]"),
        ("Pay to GB82 WEST 1234 5698 7654 32 today", "Pay to [iban] today"),
        ("de89370400440532013000", "[iban]"),
        ("from 85.214.132.117 at noon", "from [ip] at noon"),
        ("2a01:4f8:c17:b8f::2 answered", "[ip] answered"),
        ("his number is 219-09-9999", "his number is [ssn]"),
    ],
)
def test_personal_data_is_replaced(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "The years 1914-1918 and 1939-1945.",
        "On 2026-11-21 and on 21.11.2026, at 12:30:45.",
        "It cost 1,234,567.89 dollars; 3.14159265358979 is pi.",
        "4111 1111 1111 1112 fails Luhn's check",
        "GB82 WEST 1234 5698 7654 33 fails its own",
        "Version 10.20.30.40, section 8.2.4.44, localhost 127.0.0.1, router 192.168.0.1",
        "std::vector<int> at 0xdeadbeef",
        "He called it the War (1700-1750).",
        "page 120, chapters 12 13 14 15 16",
        "@property def f(self): return self@other",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "ISBN 978-0-306-40615-7",
    ],
)
def test_what_looks_alike_stays(text: str) -> None:
    assert redact(text) == text


def test_only_the_kinds_that_are_asked_for_go() -> None:
    assert redact("a@example.org 212-555-0187", ["telephone"]) == "a@example.org [phone]"


def test_check_digits_by_hand() -> None:
    # 7992739871?: doubled digits 9+7+2+3+9+7+1 ... of Luhn's own example end in 7, so 3 is its check digit.
    assert [digit for digit in "0123456789" if passes_luhn("7992739871" + digit)] == ["3"]
    assert is_card("5555555555554444") and not is_card("9999999999999995")
    # The registry's example; one digit exchanged is always found.
    assert is_iban("GB29NWBK60161331926819") and not is_iban("GB29NWBK60161331926818")


@given(st.text(alphabet="0123456789 +-().x@:abGBtelphonecall\n", max_size=80))
def test_pieces_never_overlap_and_redacting_again_changes_nothing(text: str) -> None:
    pieces = find_personal_data(text)
    assert all(one.end <= other.start for one, other in itertools.pairwise(pieces))
    assert all(piece.start < piece.end for piece in pieces)


def test_figures_on_synthetic_sentences(shared_data: Path) -> None:
    ours = {
        "EMAIL_ADDRESS": "email",
        "PHONE_NUMBER": "telephone",
        "CREDIT_CARD": "card",
        "IBAN_CODE": "iban",
        "IP_ADDRESS": "ip",
        "US_SSN": "ssn",
    }
    asked, found, all_found = Counter[str](), Counter[str](), Counter[str]()
    with gzip.open(shared_data / "cleaning" / "pii_synthetic.json.gz", "rt", encoding="utf-8") as file:
        for row in json.load(file):
            pieces = find_personal_data(row["full_text"])
            all_found.update(piece.kind for piece in pieces)
            for span in row["spans"]:
                kind = ours.get(span["entity_type"])
                if kind:
                    asked[kind] += 1
                    start, end = span["start_position"], span["end_position"]
                    found[kind] += any(p.kind == kind and p.start <= start and end <= p.end for p in pieces)
    for kind, number in asked.items():
        assert found[kind] >= 0.97 * number, kind
        assert all_found[kind] <= 1.03 * number, kind


def test_wide_tables_and_long_lines_are_read_once() -> None:
    """Reading on from every blank, or every line anew from its start, would take minutes."""
    table = "2024-01-05" + 5_000 * " " + "416 60 039  office" + 5_000 * " "
    book = "In 1984 there were 2 of 345 at work, or at home. " * 20_000
    assert redact(table + book, ["telephone"]) == table.replace("416 60 039", "[phone]") + book

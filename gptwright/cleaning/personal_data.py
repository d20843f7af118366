"""Personal data in text: e-mail, telephone, payment card, bank account, IP address, social security number.

    redact("Mail ann@example.org or call +44 20 7946 0018.") -> "Mail [email] or call [phone]."

Numbers with check digits are checked, so a long number that is no card stays. A telephone number has none: it is taken
by its form where that is plain, and otherwise only behind a word such as "call". Names and street addresses are left
alone; they need a model, and most of them are of people and places that a text may speak of.
"""

from __future__ import annotations

import bisect
import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from gptwright.cleaning.iban import IBAN_LENGTHS

if TYPE_CHECKING:
    from gptwright.cleaning.settings import PersonalData

KINDS = ("email", "ip", "iban", "card", "ssn", "telephone")
"""In the order in which they are looked for: what one has taken is no other's."""
PLACEHOLDERS = {"telephone": "[phone]"} | {kind: f"[{kind}]" for kind in KINDS if kind != "telephone"}


_CUE_REACH = 40
_LONGEST_NUMBER = 64
"""Characters before a number in which a word that says what it is may stand."""


class Found(NamedTuple):
    """A piece of personal data at text[start:end]."""

    kind: str
    start: int
    end: int


def kinds_of(settings: PersonalData) -> tuple[str, ...]:
    """Those that are asked for."""
    return tuple(kind for kind in KINDS if getattr(settings, kind))


def redact(text: str, kinds: Collection[str] = KINDS) -> str:
    """The text with each piece replaced by a word in brackets."""
    return replace(text, find_personal_data(text, kinds))


def replace(text: str, found: list[Found]) -> str:
    """The text with what was found in it replaced."""
    pieces, end = [], 0
    for piece in found:
        pieces += [text[end : piece.start], PLACEHOLDERS[piece.kind]]
        end = piece.end
    return "".join([*pieces, text[end:]])


def find_personal_data(text: str, kinds: Collection[str] = KINDS) -> list[Found]:
    """What is there, in order of place and without overlap."""
    found: list[Found] = []
    for kind in KINDS:
        if kind in kinds:
            for start, end in _FINDERS[kind](text):
                at = bisect.bisect(found, start, key=lambda piece: piece.start)
                if (at == 0 or found[at - 1].end <= start) and (at == len(found) or end <= found[at].start):
                    found.insert(at, Found(kind, start, end))
    return found


_EMAIL = re.compile(r"(?<![\w.%+-])[\w%+-][\w.%+-]*@(?:[\w-]+\.)+[^\W\d_]{2,}(?![\w-])")


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


_IP4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IP6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?![\w:])")
_VERSION_BEFORE = re.compile(r"\b(?:version|release|firmware|build|section|ver|v)\.?\s*$", re.IGNORECASE)


def _ips(text: str) -> Iterator[tuple[int, int]]:
    """Version numbers look the same, so the word before decides."""
    for pattern in (_IP4, _IP6):
        for match in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(match[0])
            except ValueError:
                continue
            # Of an address by chance, one in a thousand has three numbers below 10; of section numbers nearly all.
            if address.version == 4 and sum(len(part) == 1 for part in match[0].split(".")) > 2:
                continue
            if address.is_global and not _VERSION_BEFORE.search(text, max(0, match.start() - 12), match.start()):
                yield match.span()


_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2].upper())
        places = [match.start() + i for i, character in enumerate(match[0]) if character.isalnum()]
        if length is None or len(places) < length:
            continue
        end = places[length - 1] + 1
        if text[end : end + 1].isalnum():
            continue
        if is_iban("".join(text[place] for place in places[:length])):
            yield match.start(), end


def is_iban(account: str) -> bool:
    """Whether the check digits of an account number without spaces are right (ISO 7064, mod 97-10)."""
    moved = (account[4:] + account[:4]).upper()
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


_CARD = re.compile(
    r"(?<![\d.,-])(?:\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?![\d-]|[.,]\d)"
)
_NETWORKS = (
    ("Visa", re.compile(r"4"), (13, 16, 19)),
    ("Mastercard", re.compile(r"5[1-5]|22[2-9]|2[3-6]|27[01]|2720"), (16,)),
    ("American Express", re.compile(r"3[47]"), (15,)),
    ("Diners Club", re.compile(r"30[0-5]|3[689]"), (14, 16, 19)),
    ("Discover", re.compile(r"6011|64[4-9]|65"), (16, 19)),
    ("UnionPay", re.compile(r"62"), (16, 17, 18, 19)),
    ("JCB", re.compile(r"35(?:2[89]|[3-8])|2131|1800"), (15, 16)),
    ("Maestro", re.compile(r"50|5[6-8]|6304|639|67"), tuple(range(12, 20))),
)


_CARD_BEFORE = re.compile(r"\b(?:card|cc|visa|mastercard|amex)\b", re.IGNORECASE)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    """Behind a word for it, a card of any network: their first digits are handed out anew from time to time."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        told = _CARD_BEFORE.search(text, max(0, match.start() - _CUE_REACH), match.start())
        if is_card(digits) or (told and passes_luhn(digits)):
            yield match.span()


def is_card(digits: str) -> bool:
    """Whether digits have the length and beginning of a known network and Luhn's check digit."""
    known = any(len(digits) in lengths and begin.match(digits) for _, begin, lengths in _NETWORKS)
    return known and passes_luhn(digits)


def passes_luhn(digits: str) -> bool:
    """Every second digit from the right is doubled, nines are cast out; the sum must end in 0 (ISO/IEC 7812-1)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")


def _ssns(text: str) -> Iterator[tuple[int, int]]:
    yield from (match.span() for match in _SSN.finditer(text))


_EXTENSION = r"(?:\s?(?:x|ext\.?)\s?\d{1,5})?"
_NO_NUMBER_BEFORE, _NO_NUMBER_AFTER = r"(?<![\w./+$-])(?<!\d,)(?<![\d(] )", r"(?![\w/]|[.,:-]\d)"
_PLAIN_TELEPHONE = re.compile(
    _NO_NUMBER_BEFORE
    + r"(?:"
    + r"(?:\+|00)\d{1,3}[ .-]?(?:\(0\)|\(\d{1,4}\))?(?:[ .-]?\d{2,5}){2,5}|\+\d{9,14}"  # with the country
    + r"|\(\d{2,4}\)[ .-]?\d{3,4}[ .-]?\d{3,4}"  # with the area in brackets
    + r"|(?:1[ .-])?[2-9]\d{2}([.-])\d{3}\1\d{4}"  # North America
    + r"|0\d{1,4}(?:[ .-]?\(?\d{2,8}\)?){1,4}"  # with the trunk prefix
    + r")"
    + _EXTENSION
    + _NO_NUMBER_AFTER
)
_SOME_NUMBER = re.compile(
    _NO_NUMBER_BEFORE + r"\(?\d{1,5}\)?(?:[ .-]?\(?\d{1,8}\)?){0,4}" + _EXTENSION + _NO_NUMBER_AFTER
)
_CUE = re.compile(
    r"\b(?:tele)?phones?\b|\btel\b|\bmobile\b|\bcell(?:ular|phone)?\b|\bfax\b|\bcall(?:ing|ed)?\b|\bdial(?:ing)?\b"
    r"|\bwhatsapp\b|\bring me\b|\btext me\b|\breach (?:me|us)\b|\bcontact number\b|\bhotline\b"
    r"|\banswer(?:ing)? at\b|\bmessages? (?:to|on)\b",
    re.IGNORECASE,
)
# Anchored and bounded: a page of blanks has as many places where it could begin as blanks.
_CUE_AFTER = re.compile(r"(?<=[\d)])[ \t]{0,3}[-,(]?[ \t]{0,3}(?:office|home|mobile|cell|work|fax)\b", re.IGNORECASE)
_DATE = re.compile(
    r"(?:19|20)\d\d[ .-]\d{1,2}[ .-]\d{1,2}|\d{1,2}[ .-]\d{1,2}[ .-](?:19|20)?\d\d"
    r"|\(?(?:1\d|20)\d\d ?- ?(?:1\d|20)\d\d\)?"
)
_SEVEN_DIGITS = re.compile(r"\d(?:\D{0,4}\d){6}")


def _telephones(text: str) -> Iterator[tuple[int, int]]:
    if not _SEVEN_DIGITS.search(text):
        return
    for match in _PLAIN_TELEPHONE.finditer(text):
        digits = sum(character.isdigit() for character in match[0])
        if 9 <= digits <= 20 and not _DATE.fullmatch(match[0]) and re.search(r"\D", match[0]):
            yield match.span()
    for cue in _CUE.finditer(text):
        for match in _SOME_NUMBER.finditer(text, cue.end(), cue.end() + _CUE_REACH):
            digits = sum(character.isdigit() for character in match[0])
            if 7 <= digits <= 15 and not _DATE.fullmatch(match[0]):
                yield match.span()
    for after in _CUE_AFTER.finditer(text):
        earliest = max(0, after.start() - _LONGEST_NUMBER)
        line = text.rfind("\n", earliest, after.start()) + 1
        for match in _SOME_NUMBER.finditer(text, max(line, earliest), after.start()):
            digits = sum(character.isdigit() for character in match[0])
            if match.end() == after.start() and 7 <= digits <= 15 and not _DATE.fullmatch(match[0]):
                yield match.span()


_FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails,
    "ip": _ips,
    "iban": _ibans,
    "card": _cards,
    "ssn": _ssns,
    "telephone": _telephones,
}

"""What a page is made of: sections of tables, plots, samples, cards and definitions.

All of it is plain text apart from the SVGs. The template decides how each looks, by `kind`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Measured:
    """A table cell with its interval in small print."""

    value: str
    interval: str


Cell = str | Measured


@dataclass(frozen=True)
class Table:
    """The first cell of each row is its heading."""

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    prose: bool = False
    """Cells hold words, not numbers: aligned left and wrapped."""


@dataclass(frozen=True)
class Plot:
    """A drawn SVG, which carries its own spoken description."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Plots:
    """Plots that belong side by side; `small` ones go three to a row, others two."""

    kind: ClassVar[str] = "plots"
    plots: tuple[Plot, ...]
    small: bool = False


@dataclass(frozen=True)
class Tile:
    """One big figure of the headline."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Tiles:
    kind: ClassVar[str] = "tiles"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Sample:
    """What a half-trained model wrote after a prompt."""

    moment: str
    prompt: str
    text: str


@dataclass(frozen=True)
class Samples:
    kind: ClassVar[str] = "samples"
    caption: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Answer:
    """One model's answer on a card, or another text beside it; `verdict` is "right", "wrong" or empty."""

    model: str
    text: str
    note: str
    verdict: str


@dataclass(frozen=True)
class Card:
    use_case: str
    prompt: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Cards:
    kind: ClassVar[str] = "cards"
    cards: tuple[Card, ...]
    caption: str = ""


@dataclass(frozen=True)
class Definitions:
    kind: ClassVar[str] = "definitions"
    terms: tuple[tuple[str, str], ...]


Block = Table | Plots | Tiles | Samples | Cards | Definitions


@dataclass(frozen=True)
class Section:
    """A chapter of the page; `missing` says what is not there and what to run to get it."""

    slug: str
    title: str
    intro: str
    blocks: tuple[Block, ...]
    missing: tuple[str, ...] = ()

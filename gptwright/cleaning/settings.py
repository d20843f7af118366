"""What `gptwright data clean` does, as frozen pydantic models read from a YAML file and `key=value` overrides.

    load_settings(None, {"books": "books/*.txt"}, ["c4=null"]) -> CleaningSettings

A step set to null is left out. The numbers of the quality rules are those of the papers, as FineWeb used them
(Penedo et al., arXiv:2406.17557).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from gptwright.corpus_settings import TextOrigin
from gptwright.errors import InputError
from gptwright.settings import Count, Positive, Section, Seed, Share, apply_override, explain

ORIGINS = ("builtin", "hub")
"""What NAME=PATH may begin with in place of a path: code=builtin:python, web=hub:owner/name."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class CleaningSource(TextOrigin):
    """One source; its documents come out in a folder of its name. A data set is read by one task, the world's sources
    one by one.
    """

    documents: Count = 20_000
    """With builtin: world: how many documents, shared out as the world's sources are."""
    prose: bool | None = None
    """Whether the language filter and the quality rules apply, which were made for web pages in prose. Null says yes
    for files and data sets and no for what is built in.
    """

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.origins != 1:
            raise ValueError("give either files or hub or builtin")
        if self.builtin != "world":
            self._refuse_changed(("documents",), "without builtin: world")
        return self

    @property
    def is_prose(self) -> bool:
        return self.builtin is None if self.prose is None else self.prose


class LanguageRule(Section):
    """Keep the documents that are in one of these languages, by py3langid, which needs no download."""

    keep: tuple[str, ...] = ("en",)
    """ISO 639-1 codes."""
    threshold: Share = 0.65
    """Least probability of that language."""
    characters: Count = 2_000
    """How much of a document is looked at: its middle."""


class GopherRepetition(Section):
    """No page that repeats itself (Rae et al., arXiv:2112.11446, table A1)."""

    duplicate_lines: Share = 0.3
    """Largest share of lines that stood before; of paragraphs too."""
    duplicate_line_characters: Share = 0.2
    """The same, by characters."""
    top_n_grams: tuple[tuple[Count, Share], ...] = ((2, 0.2), (3, 0.18), (4, 0.16))
    """(n, largest share of the characters that the most frequent n-gram may have)."""
    duplicate_n_grams: tuple[tuple[Count, Share], ...] = (
        (5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10),
    )  # fmt: skip
    """(n, largest share of the characters in n-grams that stood before)."""


class GopherQuality(Section):
    """A page of prose has these proportions (Rae et al., arXiv:2112.11446, section A1.1)."""

    min_words: Count = 50
    max_words: Count | None = 100_000
    """Null has no limit: for whole books."""
    min_word_length: Positive = 3
    """Mean, in characters."""
    max_word_length: Positive = 10
    max_symbols: Share = 0.1
    """Largest number of '#' or of ellipses, per word."""
    max_bullet_lines: Share = 0.9
    max_ellipsis_lines: Share = 0.3
    min_alphabetic_words: Share = 0.8
    min_stop_words: Annotated[int, Field(ge=0)] = 2
    """How many of the, be, to, of, and, that, have, with must occur."""


class C4Rules(Section):
    """Lines and pages that C4 leaves out (Raffel et al., arXiv:1910.10683)."""

    terminal_punctuation: bool = False
    """Whether a line must end in . ! ? or a quotation mark; FineWeb found that this loses too much."""
    min_sentences: Annotated[int, Field(ge=0)] = 5
    min_words_per_line: Annotated[int, Field(ge=0)] = 3
    curly_bracket: bool = True
    """Whether a page with { goes, as code."""
    javascript: bool = True
    """Whether a line that says javascript goes."""
    policy: bool = True
    """Whether a line about cookies and terms of use goes."""


class FinewebQuality(Section):
    """FineWeb's own three rules and their companion (Penedo et al., arXiv:2406.17557, section 3.5)."""

    min_punctuated_lines: Share = 0.12
    """Least share of lines that end in punctuation."""
    max_short_lines: Share = 0.67
    """Largest share of lines of at most 30 characters."""
    max_duplicate_characters: Share = 0.01
    """Largest share of characters in lines that stood before; stricter than Gopher's."""
    max_newlines_per_word: Share = 0.3


class NearDuplicates(Section):
    """MinHash: of documents with about the same word n-grams, the first is kept.

    Two documents that share a part s of their n-grams (Jaccard similarity) meet with probability
    1 - (1 - s^hashes)^buckets.
    """

    n_grams: Count = 5
    """Words in a shingle."""
    buckets: Count = 24
    hashes: Count = 6
    """Per bucket; all must be equal."""
    similarity: Share = 0.6
    """Pairs that meet are kept apart when fewer than this share of all their hashes are equal."""


class PersonalData(Section):
    """What is replaced by [email], [phone], [card], [iban], [ip] and [ssn]."""

    email: bool = True
    telephone: bool = True
    card: bool = True
    """Payment cards: the length and first digits of a known network, and Luhn's check digit."""
    iban: bool = True
    """Bank accounts: the country's length and the check digits of ISO 13616."""
    ip: bool = True
    """Addresses of either version that are reachable from outside."""
    ssn: bool = True
    """Social security numbers of the USA."""


class Decontamination(Section):
    """Documents that hold a text of an evaluation are left out (Brown et al., arXiv:2005.14165, appendix C)."""

    files: tuple[str, ...] = ()
    """Files, folders or globs with evaluation texts; of rows, every text in them."""
    world: bool = False
    """Also the built-in world's held-out test prompts."""
    world_prompts: Count = 1_000
    """How many of them a seed draws; as many as evaluate.prompts, since another number draws others."""
    world_seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = tuple(range(10))
    """The seeds that draw them; the recipe's own must be among them."""
    n_grams: Count = 13
    """Words in a row that must be equal."""
    shortest: Count = 8
    """A text of fewer words than n_grams, but at least this many, is looked for whole."""
    shortest_prompt: Count = 4
    """The same of a text that ends in a question mark, and of the world's prompts."""

    @model_validator(mode="after")
    def _something_to_look_for(self) -> Self:
        if not self.files and not self.world:
            raise ValueError("nothing to look for: give files, or world: true")
        if self.shortest > self.n_grams:
            raise ValueError(f"shortest ({self.shortest}) is above n_grams ({self.n_grams}); lower it")
        if self.shortest_prompt > self.shortest:
            raise ValueError(f"shortest_prompt ({self.shortest_prompt}) is above shortest ({self.shortest}); lower it")
        if not self.world:
            self._refuse_changed(("world_prompts", "world_seeds"), "without world: true")
        return self


class Slurm(Section):
    partition: str | None = None
    """Needed with kind: slurm."""
    time: str = "20:00:00"
    """Longest time of one task."""
    qos: str = "normal"
    venv: str | None = None
    """The activate script of the environment on the nodes."""


class Executor(Section):
    """Where tasks run; results are the same."""

    kind: Literal["local", "slurm", "ray"] = "local"
    workers: Count | None = None
    """Tasks at a time; null is all cores here, and no limit on a cluster."""
    memory_gb: Count = 4
    """On a cluster: of each task."""
    slurm: Slurm = Slurm()

    @model_validator(mode="after")
    def _cluster_settings_belong(self) -> Self:
        if self.kind != "slurm":
            self._refuse_changed(("slurm",), f"with kind: {self.kind}")
        elif self.slurm.partition is None:
            raise ValueError("kind: slurm needs slurm.partition")
        if self.kind == "local":
            self._refuse_changed(("memory_gb",), "with kind: local")
        return self


class CleaningSettings(Section):
    """All of it; a step that is null is left out."""

    sources: Annotated[dict[Name, CleaningSource], Field(min_length=1)]
    """By name; of equal documents the one in the source named first is kept."""
    seed: Seed = 0
    """Which examples are shown, what the built-in world writes, and the hash functions of MinHash."""
    language: LanguageRule | None = LanguageRule()
    gopher_repetition: GopherRepetition | None = GopherRepetition()
    gopher_quality: GopherQuality | None = GopherQuality()
    c4: C4Rules | None = C4Rules()
    fineweb: FinewebQuality | None = FinewebQuality()
    decontaminate: Decontamination | None = None
    exact_duplicates: bool = True
    near_duplicates: NearDuplicates | None = NearDuplicates()
    personal_data: PersonalData | None = PersonalData()
    executor: Executor = Executor()


def load_settings(path: Path | None, sources: dict[str, str], overrides: list[str]) -> CleaningSettings:
    """Settings from a YAML file, sources given as NAME=PATH beside it, and overrides laid over both.

    Raises InputError naming the file, the key and the remedy.
    """
    values = _read(path) if path else {}
    where = f"settings {path}" if path else "settings"
    for name, origin in sources.items():
        given = values.setdefault("sources", {})
        if not isinstance(given, dict):
            raise InputError(f"{where}: sources must be a mapping of names, such as {{books: {{files: books/}}}}")
        kind, colon, rest = origin.partition(":")
        given[name] = {kind: rest} if colon and kind in ORIGINS else {"files": origin}
    for override in overrides:
        apply_override(values, override)
    try:
        return CleaningSettings.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, CleaningSettings)}") from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"settings {path} do not exist: check the path")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"settings {path} are not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"settings {path} must be a mapping such as 'sources: {{books: {{files: books/}}}}'")
    return values

"""Settings of what pretraining reads: files, data sets, mixtures of sources, another mixture at the end."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gptwright.settings import Positive, Section, Seed

SourceName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class TextOrigin(Section):
    """Where a source's text comes from."""

    files: str | None = None
    """A file, folder or glob of .txt, .jsonl, .parquet, .html or .warc.gz."""
    hub: str | None = None
    """A data set by its name on the Hugging Face hub, or the path of a local copy, read as a stream (extra hf)."""
    config: str | None = None
    """Of a hub data set: which configuration; null is its default one."""
    split: str = "train"
    """Of a hub data set: which split."""
    revision: str | None = None
    """Of a hub data set: a tag or commit, so that a later run reads the same; null is the newest."""
    builtin: Literal["python", "world"] | None = None
    """'python' is the standard library of the Python that runs, as code; 'world' the built-in world's seven sources."""
    text_key: str = "text"
    """The column or key that holds the text."""

    @property
    def origins(self) -> int:
        """How many places it names."""
        return sum(origin is not None for origin in (self.files, self.hub, self.builtin))

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> Self:
        if self.hub is None:
            self._refuse_changed(("config", "split", "revision"), "without hub")
        if self.files is None and self.hub is None:
            self._refuse_changed(("text_key",), "without files or hub")
        return self


class Origin(TextOrigin):
    """A part of a mixture; of the built-in world its sources come by their own shares."""

    licence: str | None = None
    """A note for the data card."""
    share: Positive
    """Its part of the tokens that are read, beside those of the others; they need not sum to 1."""


class SourceSettings(Origin):
    """One source of a mixture of your own."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.origins != 1:
            raise ValueError("give either files or hub or builtin")
        return self


class FinishSource(Origin):
    """One source of the finishing mixture; one that names no text is the source of that name that is read anyway."""

    @property
    def is_new(self) -> bool:
        """Whether it brings text of its own."""
        return self.origins > 0

    @model_validator(mode="after")
    def _one_origin_at_most(self) -> Self:
        if self.origins > 1:
            raise ValueError("give either files or hub or builtin, or none for a source that is read anyway")
        return self


class FinishSettings(Section):
    """A mixture of higher quality at the end of pretraining, while the rate falls (MiniCPM, arXiv:2404.06395; OLMo 2,
    arXiv:2501.00656, section 4).
    """

    share_of_tokens: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Its part of pretrain.tokens; with schedule: stable_decay the rate falls over just this part."""
    sources: Annotated[dict[SourceName, FinishSource], Field(min_length=1)]
    """By name, each with its share: {books: {share: 0.5}, textbooks: {files: textbooks/*.txt, share: 0.5}}."""


class DataSettings(Section):
    """Where pretraining text comes from."""

    files: str | None = None
    """A file, folder or glob of .txt, .jsonl, .parquet, .html or .warc.gz; null takes the built-in world."""
    sources: dict[SourceName, SourceSettings] | None = None
    """Several sources by name, each with its share: {books: {files: books/*.txt, share: 0.7}, code: {builtin: python,
    share: 0.3}}.
    """
    finish: FinishSettings | None = None
    """Another mixture for the last part of pretraining: {share_of_tokens: 0.1, sources: {books: {share: 1}}}."""
    world_seed: Seed = 0
    """Which text the built-in world writes."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Share of the text kept for validation; of one text file up to 16 MB it is the file's end."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.files is not None:
            self._refuse_changed(("world_seed", "sources"), "with files")
        if self.sources is not None:
            if not self.sources:
                raise ValueError("sources is empty: name one or more, or remove it for the built-in world")
            if all(source.builtin != "world" for source in self.sources.values()):
                self._refuse_changed(("world_seed",), "with sources of which none is the built-in world")
        return self

"""Settings of a cleaning: sources by argument, steps left out, and the sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptwright.cleaning.settings import load_settings
from gptwright.errors import InputError


def test_arguments_overrides_and_a_file_come_together(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("sources: {books: {files: books/, prose: false}}\nc4: {min_sentences: 3}\n")
    settings = load_settings(tmp_path / "a.yaml", {"code": "builtin:python"}, ["fineweb=null", "language.keep=[de]"])
    assert list(settings.sources) == ["books", "code"]
    assert [source.is_prose for source in settings.sources.values()] == [False, False]
    assert settings.c4 and (settings.c4.min_sentences, settings.c4.min_words_per_line) == (3, 3)
    assert settings.fineweb is None
    assert settings.language and settings.language.keep == ("de",)


def test_a_data_set_of_the_hub_is_a_source() -> None:
    settings = load_settings(None, {"c": "hub:owner/name", "d": "c:/texts"}, ["sources.c.config=de"])
    source = settings.sources["c"]
    assert (source.hub, source.config, source.split, source.is_prose) == ("owner/name", "de", "train", True)
    assert settings.sources["d"].files == "c:/texts"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("sources=null", "sources"),
        ("sources.a.fiels=x", r"unknown key 'sources\.a\.fiels': did you mean 'files'\?"),
        ("sources.a.documents=5", r"documents has no effect without builtin: world"),
        ("sources.a.split=test", r"split has no effect without hub"),
        ("sources.a.hub=owner/name", r"give either files or hub or builtin"),
        ("near_duplicate=null", r"unknown key 'near_duplicate': did you mean 'near_duplicates'\?"),
        ("language.threshold=2", r"language\.threshold = 2"),
        ("decontaminate={n_grams: 5}", r"nothing to look for: give files, or world: true"),
        ("decontaminate={world: true, n_grams: 5}", r"shortest \(8\) is above n_grams \(5\)"),
        ("decontaminate={world: true, shortest: 3}", r"shortest_prompt \(4\) is above shortest \(3\)"),
        ("decontaminate={files: [a], world_seeds: [4]}", r"world_seeds has no effect without world: true"),
        ("executor.kind=slurm", r"kind: slurm needs slurm\.partition"),
        ("executor.memory_gb=9", r"memory_gb has no effect with kind: local"),
        ("executor.kind=spark", r"executor\.kind = 'spark'"),
    ],
)
def test_mistakes_are_told_in_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_settings(None, {"a": "a.txt"}, [override])


def test_no_source_at_all_is_refused() -> None:
    with pytest.raises(InputError, match=r"sources is missing: add it"):
        load_settings(None, {}, [])

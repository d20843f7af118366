"""Signatures made in parts are datatrove's, and take no more memory for a longer book."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("datatrove", reason="the extra `data` is not installed")


@pytest.fixture
def makers(tmp_path: Path) -> tuple[Any, Any]:
    """Ours, and datatrove's own."""
    from datatrove.pipeline.dedup.minhash import MinhashDedupSignature  # noqa: PLC0415

    from gptwright.cleaning.duplicates import minhash_config  # noqa: PLC0415
    from gptwright.cleaning.settings import NearDuplicates  # noqa: PLC0415
    from gptwright.cleaning.signatures import BookSignature  # noqa: PLC0415
    from gptwright.cleaning.words import WORDS  # noqa: PLC0415

    config = minhash_config(NearDuplicates(), seed=3)
    ours, theirs = (
        kind(str(tmp_path / kind.__name__), config, language=WORDS) for kind in (BookSignature, MinhashDedupSignature)
    )
    return ours, theirs


def shingles(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**32, size=(count, 1), dtype=np.uint64)


@pytest.mark.parametrize("count", [1, 8192, 20_001])
def test_a_signature_made_in_parts_is_the_whole_one(makers: tuple[Any, Any], count: int) -> None:
    ours, theirs = makers
    assert ours.get_signature(shingles(count)) == theirs.get_signature(shingles(count))


def test_a_book_takes_no_table_of_all_its_words(makers: tuple[Any, Any]) -> None:
    book = shingles(200_000)  # of 112 hashes each: 180 MB in a table
    tracemalloc.start()
    makers[0].get_signature(book)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6

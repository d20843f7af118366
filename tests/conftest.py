"""Shared by all tests: the folder of real texts, when there is one, and reproducible property tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every run, and no failure because another process had the processor.
settings.register_profile("gptwright", derandomize=True, deadline=None)
settings.load_profile("gptwright")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real texts beside the repository; GPTWRIGHT_SHARED_DATA names another place."""
    folder = Path(os.environ.get("GPTWRIGHT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no shared data here: set GPTWRIGHT_SHARED_DATA to its folder")
    return folder

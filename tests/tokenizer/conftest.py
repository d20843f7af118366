"""A small vocabulary trained once, with the folder it saves."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptwright.tokenizer.bpe import train_bpe
from gptwright.tokenizer.tokenizer import Tokenizer

CORPUS = [
    "The cat sat on the mat. The cat isn't a dog, and the dog isn't a cat.\n\n",
    "They'll say that we've seen 1234 cats;  they're WRONG, aren't they?\r\n\tYes: I'd say so...\n",
    "Das Maedchen und die Katze; ",
    "\u5b66\u800c\u65f6\u4e60\u4e4b\uff0c\u4e0d\u4ea6\u8bf4\u4e4e\uff1f \u5b66\u800c\u65f6\u4e60\u4e4b\n",
] * 3


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_bpe(CORPUS, 320)


@pytest.fixture(scope="session")
def saved(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return folder

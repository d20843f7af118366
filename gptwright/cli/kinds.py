"""What a model can be asked for, told from its folder: scores, text that goes on, or answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from gptwright.errors import InputError
from gptwright.model.folder import only_scores, read_end
from gptwright.tokenizer.tokenizer import Tokenizer

Kind = Literal["reward", "base", "assistant"]


def kind_of(folder: Path, tokenizer: Tokenizer) -> Kind:
    """A base model ends documents, an assistant its turns: of that its configuration tells, whatever made it and
    whatever the folder is called. Raises InputError for a folder that is damaged or holds no model.
    """
    if only_scores(folder):
        return "reward"
    # Base models were once written with an assistant's end.
    return "assistant" if read_end(folder) == tokenizer.end_of_turn and stage_of(folder) != "base" else "base"


def stage_of(folder: Path) -> str:
    """The stage that made this folder; nothing for one from elsewhere."""
    file = folder / "lineage.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("stage", "")) if file.is_file() else ""
    except (ValueError, AttributeError):
        raise InputError(f"{file} is damaged: delete it, or make that stage again") from None

"""Conversations, prompts and comparisons from JSON Lines, JSON or Parquet: ours, and the usual foreign shapes.

Our own schemas are in `records.py`, the foreign ones in `shapes.py`. Every reader is lazy and names the line of
whatever it cannot use.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar

from gptwright.data.rows import Row, read_rows
from gptwright.data.shapes import Messages, as_messages, chat_of, unknown_shape
from gptwright.data.trees import is_tree, tree_comparisons, tree_conversations, tree_prompts
from gptwright.errors import InputError
from gptwright.records import Comparison, Conversation, Prompt

Record = TypeVar("Record", Conversation, Prompt, Comparison)


def read_conversations(path: str | Path) -> Iterator[Conversation]:
    """Chats with at least one answer of the assistant. Of a chosen/rejected pair, the chosen one is read."""
    rows, tree = _looked_at(path)
    chats = tree_conversations(rows) if tree else (_conversation(row) for row in rows)
    return _not_empty(chats, path, "conversation")


def read_prompts(path: str | Path) -> Iterator[Prompt]:
    """Chats that wait for the assistant; an answer that a row ends with is left out."""
    rows, tree = _looked_at(path)
    return _not_empty(tree_prompts(rows) if tree else (_prompt(row) for row in rows), path, "prompt")


def read_comparisons(path: str | Path) -> Iterator[Comparison]:
    """Ranked answers. Chosen/rejected pairs become ranks 0 and 1.

    Pairs that do not answer the same prompt, of which hh has a few in a thousand, are left out with one warning.
    """
    rows, tree = _looked_at(path)
    return _not_empty(tree_comparisons(rows) if tree else _comparisons(rows, path), path, "comparison")


def _looked_at(path: str | Path) -> tuple[Iterator[Row], bool]:
    """All rows of a file, and whether the first one says that they are trees of messages."""
    rows = read_rows(path)
    first = next(rows, None)
    return (iter(()), False) if first is None else (chain([first], rows), is_tree(first))


def _not_empty(records: Iterable[Record], path: str | Path, kind: str) -> Iterator[Record]:
    empty = True
    for record in records:
        empty = False
        yield record
    if empty:
        raise InputError(f"{path} holds no {kind}: give a file with one or more")


def _conversation(row: Row) -> Conversation:
    messages = chat_of(row)
    if all(message.role != "assistant" for message in messages):
        raise InputError(f"{row.where}: a chat without an answer of the assistant; add one or read the file as prompts")
    return Conversation(messages, id=_id_of(row), source=_text_or(row, "source", ""))


def _prompt(row: Row) -> Prompt:
    messages = chat_of(row)
    while messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    if not messages:
        raise InputError(f"{row.where}: nothing is asked before the assistant answers; mend or remove that row")
    return _as_prompt(row, messages)


def _as_prompt(row: Row, messages: Messages) -> Prompt:
    details = row.values.get("details")
    return Prompt(
        _id_of(row), messages, _text_or(row, "use_case", "other"), details if isinstance(details, dict) else {}
    )


def _comparisons(rows: Iterable[Row], path: str | Path) -> Iterator[Comparison]:
    total = left_out = 0
    for row in rows:
        total += 1
        comparison = _comparison(row)
        if comparison is None:
            left_out += 1
        else:
            yield comparison
    if left_out:
        warnings.warn(f"{path}: left out {left_out} of {total} pairs that do not answer the same prompt", stacklevel=2)


def _comparison(row: Row) -> Comparison | None:
    if "answers" in row.values:
        return _ranked(row)
    if "chosen" not in row.values or "rejected" not in row.values:
        raise unknown_shape(row)
    asked: Messages = ()
    if "prompt" in row.values or "instruction" in row.values:
        keys = ("prompt", "instruction", "input", "system")
        asked = chat_of(Row({key: row.values[key] for key in keys if key in row.values}, row.where, row.name))
    chosen, rejected = (_asked_and_answer(row.values[key], asked, row.where) for key in ("chosen", "rejected"))
    if chosen is None or rejected is None or chosen[0] != rejected[0]:
        return None
    return Comparison(_as_prompt(row, chosen[0]), (chosen[1], rejected[1]), (0, 1), _text_or(row, "labeller", ""))


def _asked_and_answer(value: object, asked: Messages, where: str) -> tuple[Messages, str] | None:
    """Prompt and answer of one side of a pair: an answer by itself, or a whole chat that ends with it."""
    if isinstance(value, str) and asked:
        return asked, value
    chat = as_messages(value, where)
    if not chat or chat[-1].role != "assistant":
        return None
    # The chat repeats the prompt, or holds only the answer to it.
    prompt = chat[:-1] or asked
    return (prompt, chat[-1].content) if prompt else None


def _ranked(row: Row) -> Comparison:
    """Our own shape; its prompt may also be text or messages. Answers that are all bad need no ranks."""
    prompt, answers, ranks = (row.values.get(key) for key in ("prompt", "answers", "ranks"))
    all_bad = row.values.get("all_bad") is True
    if all_bad and ranks is None and isinstance(answers, list):
        ranks = [0] * len(answers)
    inner = Row(prompt if isinstance(prompt, dict) else {"prompt": prompt}, row.where, row.name)
    well_formed = (
        isinstance(answers, list)
        and isinstance(ranks, list)
        and all(isinstance(answer, str) for answer in answers)
        and all(isinstance(rank, int) for rank in ranks)
    )
    if prompt is None or not well_formed:
        raise InputError(f"{row.where}: a comparison needs a prompt, answers (texts) and ranks (whole numbers)")
    asked = _prompt(inner)
    try:
        return Comparison(asked, tuple(answers or ()), tuple(ranks or ()), _text_or(row, "labeller", ""), all_bad)
    except ValueError as error:
        raise InputError(f"{row.where}: {error}; mend or remove that row") from None


def _id_of(row: Row) -> str:
    value = row.values.get("id")
    return row.name if value is None or value == "" else str(value)


def _text_or(row: Row, key: str, default: str) -> str:
    value = row.values.get(key)
    return value if isinstance(value, str) else default

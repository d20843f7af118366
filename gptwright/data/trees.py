"""Trees of messages, as Open Assistant's: every reply names what it answers, and replies to one message are ranked.

    {"message_id": "b", "parent_id": "a", "role": "assistant", "rank": 0, "text": "..."}        a message a row
    {"message_tree_id": "a", "prompt": {"text": "...", "role": "prompter", "replies": [...]}}    a tree a row

Ranked replies of the assistant to one message are a comparison; each path of best replies is a conversation. Messages
that were deleted, or that reviewers turned down, are left out with all that answers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from gptwright.data.rows import Row
from gptwright.errors import InputError
from gptwright.records import Comparison, Conversation, Message, Prompt, Role

MOST_ANSWERS = 9
"""Of more, the best are compared."""
_ROLES: dict[str, Role] = {"prompter": "user", "assistant": "assistant"}


@dataclass
class _Reply:
    """A message with those that answer it."""

    name: str
    message: Message
    rank: int | None
    replies: list[_Reply] = field(default_factory=list)


def is_tree(row: Row) -> bool:
    """Whether a file that begins with this row holds trees."""
    values = row.values
    return {"message_id", "role", "text"} <= set(values) or (
        isinstance(values.get("prompt"), dict) and "replies" in values["prompt"]
    )


def tree_comparisons(rows: Iterable[Row]) -> Iterator[Comparison]:
    """One for each message with two ranked replies or more."""
    for asked, reply in _walk(_roots(rows), ()):
        ranked = sorted((r for r in reply.replies if r.rank is not None), key=lambda each: each.rank or 0)
        answers = [each for each in ranked if each.message.role == "assistant"][:MOST_ANSWERS]
        if len(answers) > 1:
            texts, ranks = tuple(each.message.content for each in answers), tuple(each.rank or 0 for each in answers)
            yield Comparison(Prompt(reply.name, asked), texts, ranks)


def tree_conversations(rows: Iterable[Row]) -> Iterator[Conversation]:
    """Each tree's paths, with the best of the ranked replies to every message."""
    for root in _roots(rows):
        for path in _best_paths(root, ()):
            if path[-1].role == "user":
                path = path[:-1]
            if path:
                yield Conversation(path, id=root.name, source="tree")


def tree_prompts(rows: Iterable[Row]) -> Iterator[Prompt]:
    """Everything up to a user's message, of every user's message."""
    for asked, reply in _walk(_roots(rows), ()):
        if reply.message.role == "user":
            yield Prompt(reply.name, asked)


def _walk(replies: Iterable[_Reply], before: tuple[Message, ...]) -> Iterator[tuple[tuple[Message, ...], _Reply]]:
    """(the chat up to a message, that message), parents first."""
    for reply in replies:
        chat = (*before, reply.message)
        yield chat, reply
        yield from _walk(reply.replies, chat)


def _best_paths(reply: _Reply, before: tuple[Message, ...]) -> Iterator[tuple[Message, ...]]:
    chat = (*before, reply.message)
    answers = sorted(reply.replies, key=lambda each: (each.rank is None, each.rank or 0))
    if reply.message.role == "user":
        answers = answers[:1]  # what a user may say next is not ranked: all of it is followed
    if not answers:
        yield chat
    for answer in answers:
        yield from _best_paths(answer, chat)


def _roots(rows: Iterable[Row]) -> list[_Reply]:
    """All trees. A file of single messages need not have them in order."""
    first, rows = _first(rows)
    if isinstance(first.values.get("prompt"), dict):
        nested = (_nested(row.values.get("prompt"), row) for row in rows)
        return [root for root in nested if root is not None]
    found: dict[str, tuple[_Reply, str | None]] = {}
    for row in rows:
        if _is_kept(row.values):
            reply = _reply(row.values, row)
            found[reply.name] = (reply, row.values.get("parent_id"))
    for reply, parent in found.values():
        if parent in found:
            found[str(parent)][0].replies.append(reply)
    return [reply for reply, parent in found.values() if not parent]


def _first(rows: Iterable[Row]) -> tuple[Row, Iterator[Row]]:
    iterator = iter(rows)
    first = next(iterator)
    return first, chain([first], iterator)


def _nested(values: Any, row: Row) -> _Reply | None:
    if not isinstance(values, dict) or not _is_kept(values):
        return None
    reply = _reply(values, row)
    found = (_nested(each, row) for each in values.get("replies") or ())
    reply.replies = [each for each in found if each is not None]
    return reply


def _is_kept(values: dict[str, Any]) -> bool:
    return not values.get("deleted") and values.get("review_result") is not False


def _reply(values: dict[str, Any], row: Row) -> _Reply:
    text, role, rank = values.get("text"), values.get("role"), values.get("rank")
    if not isinstance(text, str) or role not in _ROLES or not (rank is None or isinstance(rank, int)):
        raise InputError(
            f"{row.where}: a message of a tree needs text, a role (prompter or assistant) and as rank a whole "
            "number or null; mend or remove it"
        )
    return _Reply(str(values.get("message_id", row.name)), Message(_ROLES[role], text), rank)

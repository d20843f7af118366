"""What a server allows, and whom."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gptwright.errors import InputError

Role = Literal["user", "admin"]
SHORTEST_KEY = 16
"""Characters; a shorter key can be guessed."""


@dataclass(frozen=True)
class Caller:
    """Who holds a key. An admin may read metrics too."""

    name: str
    role: Role


@dataclass(frozen=True)
class ServerSettings:
    """Limits hold for each caller: the holder of a key, or an address where there are no keys."""

    keys: Mapping[str, Caller] = field(default_factory=dict)
    """By the SHA-256 of the key; without any, everybody may ask."""
    requests_per_minute: float | None = None
    max_body_bytes: int = 1_000_000
    timeout_seconds: float = 300.0
    """The longest that an answer may take, and before it the body of its request."""
    cache_bytes: int | None = None
    """Room for keys and values of the answers being written, of all models together; None is a share of the memory."""
    log_content: bool = False
    """Whether messages and answers are logged."""


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> dict[str, Caller]:
    """A file of lines 'KEY [user|admin] [NAME]'; # begins a comment. Raises InputError, naming the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the keys in {path} ({error}): give a text file with one key a line") from None
    found: dict[str, Caller] = {}
    for number, line in enumerate(lines, 1):
        key, role, name = [*line.partition("#")[0].split(), *[""] * 3][:3]
        if not key:
            continue
        if len(key) < SHORTEST_KEY:
            raise InputError(f"{path} line {number}: a key needs {SHORTEST_KEY} characters or more")
        if not key.isascii():
            raise InputError(
                f"{path} line {number}: this key has a letter that no header can hold: take a to z, 0 to 9"
            )
        if role not in ("", "user", "admin"):
            raise InputError(f"{path} line {number}: the role is {role!r}: write user or admin")
        if digest(key) in found:
            raise InputError(f"{path} line {number}: this key stands there twice: delete one")
        found[digest(key)] = Caller(name or f"line {number}", "admin" if role == "admin" else "user")
    if not found:
        raise InputError(f"{path} has no key: write one a line, or leave out --keys")
    return found

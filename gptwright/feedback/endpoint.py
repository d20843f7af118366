"""Questions to a model behind an OpenAI-compatible address, several at a time, each asked once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gptwright.asking import Refused, ask_json
from gptwright.errors import InputError, RunError

MOST_TOKENS = 512
"""Of a reply: a letter takes one, thinking before it some more."""
OF_ONE_QUESTION = (400, 413, 422)
"""Statuses that may be about one question, not about address, model or key."""


def ask_endpoint(
    questions: Sequence[str],
    letters: Sequence[str],
    *,
    address: str,
    model: str,
    key_variable: str | None,
    at_once: int,
    replies: Replies | None = None,
    least: int = 1,
) -> list[str]:
    """What the model replied to each question, asked as a chat of its own at temperature 0; nothing to one that the
    endpoint will not take, such as one that its filter holds back. What `replies` holds is not asked again.

    Raises InputError where the endpoint refuses all of `least` questions or more, RunError where it can't be reached.
    """
    url, key = f"{address.rstrip('/')}/chat/completions", key_for(address, key_variable)

    def ask(question: str) -> str | Refused:
        if replies is not None and (known := replies.of(url, model, question)) is not None:
            return known
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": MOST_TOKENS,
        }
        try:
            told = ask_json(url, body, who="judge", remedy="check its address, model and key", key=key)
        except Refused as refused:
            if refused.code in OF_ONE_QUESTION:
                return refused
            raise
        try:
            reply = str(told["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError):
            raise RunError(f"judge {url} answered in another form than OpenAI's: check its address") from None
        if replies is not None:
            replies.keep(url, model, question, reply)
        return reply

    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(ask, questions))
    refusals = [reply for reply in found if isinstance(reply, Refused)]
    if len(refusals) == len(found) and len(found) >= least:
        raise refusals[0]
    return ["" if isinstance(reply, Refused) else reply for reply in found]


class Replies:
    """What a judge has said, in a file that grows with each reply: a run that is resumed pays for nothing twice, and
    goes on with the verdicts that it began with. What `worth` calls of no use is asked for again.
    """

    def __init__(self, path: Path, worth: Callable[[str], bool] = bool) -> None:
        self.path, self.worth, self.lock, self.known = path, worth, threading.Lock(), dict[str, str]()
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # the last one may be half written
                    row = json.loads(line)
                    self.known[row["asked"]] = row["reply"]

    def of(self, url: str, model: str, question: str) -> str | None:
        """What this judge said to this question, if it was asked before."""
        return self.known.get(_key(url, model, question))

    def keep(self, url: str, model: str, question: str, reply: str) -> None:
        """Before anything is made of it."""
        if not self.worth(reply):
            return
        row = {"asked": _key(url, model, question), "reply": reply}
        with self.lock, self.path.open("a", encoding="utf-8") as file:
            self.known[row["asked"]] = reply
            # A line of its own, should the one before be half written.
            file.write(("" if self.whole() else "\n") + json.dumps(row) + "\n")

    def whole(self) -> bool:
        """Whether the file ends with a whole line."""
        with self.path.open("rb") as file:
            end = file.seek(0, 2)
            return end == 0 or (file.seek(end - 1), file.read(1))[1] == b"\n"


def _key(url: str, model: str, question: str) -> str:
    return hashlib.sha256("\0".join((url, model, question)).encode()).hexdigest()


def key_for(address: str, variable: str | None) -> str:
    """The key in the environment: of the variable that was named, or OpenAI's own, which no other address is sent.

    Raises InputError where it is not there.
    """
    if variable is None and address.startswith("https://api.openai.com/"):
        variable = "OPENAI_API_KEY"
    key = os.environ.get(variable, "") if variable else ""
    if variable and not key:
        raise InputError(f"judge {address} needs a key, and {variable} is not set: put it into the environment")
    return key

"""Questions to a model behind an OpenAI-compatible address, several at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gptwright.asking import ask_json
from gptwright.errors import RunError

MOST_TOKENS = 512
"""Of a reply: a letter takes one, thinking before it some more."""


def ask_endpoint(
    questions: Sequence[str],
    letters: Sequence[str],
    *,
    address: str,
    model: str,
    key_variable: str | None,
    at_once: int,
) -> list[str]:
    """What the model replied to each question, asked as a chat of its own at temperature 0.

    Raises InputError where the endpoint refuses, RunError where it can't be reached.
    """
    url, key = f"{address.rstrip('/')}/chat/completions", key_for(address, key_variable)

    def ask(question: str) -> str:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": MOST_TOKENS,
        }
        told = ask_json(url, body, who="judge", remedy="check its address, model and key", key=key)
        try:
            return str(told["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError):
            raise RunError(f"judge {url} answered in another form than OpenAI's: check its address") from None

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(ask, questions))


def key_for(address: str, variable: str | None) -> str:
    """The key in the environment: of the variable that was named, or OpenAI's own, which no other address is sent."""
    if variable is None:
        variable = "OPENAI_API_KEY" if address.startswith("https://api.openai.com/") else ""
    return os.environ.get(variable, "") if variable else ""

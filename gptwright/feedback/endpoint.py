"""Questions to a model behind an OpenAI-compatible address, several at a time, and again where the way there fails."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gptwright.errors import InputError, RunError

TRIES = 5
FIRST_WAIT = 1.0
"""Seconds before the second try; each further one waits twice as long."""
SECONDS = 120
MOST_TOKENS = 512
"""Of a reply: a letter takes one, thinking before it some more."""
BUSY = (408, 429, 500, 502, 503, 504)
"""Answers after which it is worth asking again."""


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
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        if key:  # not to wherever the endpoint may send us on to
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        return _reply(request, url)

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(ask, questions))


def key_for(address: str, variable: str | None) -> str:
    """The key in the environment: of the variable that was named, or OpenAI's own, which no other address is sent."""
    if variable is None:
        variable = "OPENAI_API_KEY" if address.startswith("https://api.openai.com/") else ""
    return os.environ.get(variable, "") if variable else ""


def _reply(request: urllib.request.Request, url: str) -> str:
    wait = FIRST_WAIT
    for left in reversed(range(TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                content = json.load(response)["choices"][0]["message"]["content"]
                return str(content or "")
        except urllib.error.HTTPError as error:
            if error.code in BUSY and not left:
                raise RunError(
                    f"judge {url} is busy ({error.code}, {TRIES} tries): give this command again later"
                ) from None
            if error.code not in BUSY:
                said = error.read(300).decode(errors="replace").strip()
                raise InputError(
                    f"judge {url} answered {error.code}: {said}; check its address, model and key"
                ) from None
        except (OSError, http.client.HTTPException) as error:
            if not left:
                raise RunError(
                    f"judge {url} cannot be reached ({error}): start it, and give this command again"
                ) from None
        except (ValueError, KeyError, IndexError, TypeError):
            raise RunError(f"judge {url} answered in another form than OpenAI's: check its address") from None
        time.sleep(wait)
        wait *= 2
    raise AssertionError("unreachable: the last try returns or raises")

"""JSON over HTTP: asked again where the way there fails, and one sentence where an answer can't be had."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from typing import Any

from gptwright.errors import InputError, RunError

TRIES = 7
FIRST_WAIT = 1.0
"""Seconds before the second try; each further one waits twice as long, or as long as the server asks."""
LONGEST_WAIT = 120.0


class Refused(InputError):
    """The server's own answer to this one request: `code` is its status."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


BUSY = (408, 429, 500, 502, 503, 504)
"""Answers after which it is worth asking again."""


def ask_json(
    url: str,
    body: Mapping[str, Any] | None,
    *,
    who: str,
    remedy: str,
    key: str = "",
    seconds: float = 120,
    busy: Collection[int] = BUSY,
) -> Any:
    """What `url` answers to `body`, or without one to a plain question. `who` is asked, as in "judge", and `remedy`
    says what to look at where it refuses. Statuses of `busy` are worth asking again.

    Raises Refused where it refuses, RunError where it can't be reached or answers something else than JSON.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    if key:  # not to wherever the endpoint may send us on to
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    wait = FIRST_WAIT
    for left in reversed(range(TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                said = " ".join(error.read(300).decode(errors="replace").split())
            if error.code in busy and not left:
                raise RunError(
                    f"{who} {url} is busy ({error.code}, {TRIES} tries): {said}; give this command again later"
                ) from None
            if error.code not in busy:
                raise Refused(f"{who} {url} answered {error.code}: {said}; {remedy}", error.code) from None
            asked = error.headers.get("Retry-After", "")
            wait = min(max(wait, float(asked) if asked.isdigit() else 0.0), LONGEST_WAIT)
        except (OSError, http.client.HTTPException) as error:
            if not left:
                raise RunError(
                    f"{who} {url} cannot be reached ({error}): start it, and give this command again"
                ) from None
        except ValueError:
            raise RunError(f"{who} {url} answered no JSON: check its address") from None
        time.sleep(wait)
        wait *= 2
    raise AssertionError("unreachable: the last try returns or raises")

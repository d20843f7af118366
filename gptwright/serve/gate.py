"""Who may come in, how often, and with how much; and what is noted when they leave. Plain ASGI, around the app."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from gptwright.serve.errors import ApiError
from gptwright.serve.metrics import Metrics
from gptwright.serve.settings import Caller, ServerSettings, digest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOG = logging.getLogger("gptwright.serve.requests")
GUARDED = ("/v1/", "/metrics")
"""What a key is asked for; the pages and the state of health are open."""
ADMINS_ONLY = ("/metrics",)
MANY_CALLERS = 10_000
"""Callers whose limits are known; beyond them those are forgotten who may ask as much as they like."""


@dataclass
class Notes:
    """What is known of a request; the endpoints fill in what they learn."""

    caller: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    content: dict[str, Any] = field(default_factory=dict)


class Limiter:
    """A token bucket for each caller: a minute's requests at once, then as they are refilled."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self.buckets: dict[str, tuple[float, float]] = {}

    def wait(self, caller: str, now: float) -> float:
        """Seconds until this caller may ask again; 0 lets the request pass, and counts it."""
        most = max(1.0, self.per_minute)  # less than one a minute must still come to one
        left, since = self.buckets.get(caller, (most, now))
        left = min(most, left + (now - since) * self.per_minute / 60)
        allowed = left >= 1
        self.buckets[caller] = (left - allowed, now)
        if len(self.buckets) > MANY_CALLERS:
            minute_ago = now - 60
            self.buckets = {name: bucket for name, bucket in self.buckets.items() if bucket[1] > minute_ago}
        return 0.0 if allowed else (1 - left) * 60 / self.per_minute


class Gate:
    """Around an ASGI app. A request that must be is answered with 401, 403, 408, 413 or 429 before the app sees it."""

    def __init__(self, app: Any, settings: ServerSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self.limiter = Limiter(settings.requests_per_minute) if settings.requests_per_minute else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, identity, status = time.monotonic(), secrets.token_hex(8), 0
        notes = Notes()
        scope.setdefault("state", {})["notes"] = notes

        async def tell(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", identity.encode())]
            await send(message)

        try:
            notes.caller = self._caller(scope)
            self._check_length(scope)
            await self.app(scope, self._limited(receive), tell)
        except ApiError as error:
            await _refuse(error, tell)
        except Exception:
            status = status or 500  # which is answered outside of here
            raise
        finally:
            seconds = time.monotonic() - began
            self.metrics.request(scope["path"], status, seconds)
            self._log(scope, identity, status, seconds, notes)

    def _caller(self, scope: Scope) -> str:
        """The caller's name, once it is sure that they may ask this now."""
        address = scope["client"][0] if scope.get("client") else "local"
        if not scope["path"].startswith(GUARDED):
            return str(address)
        caller = self._holder(scope) if self.settings.keys else Caller(address, "admin")
        if caller.role != "admin" and scope["path"].startswith(ADMINS_ONLY):
            raise ApiError(403, "this key is a user's: metrics are for admins", code="forbidden")
        if self.limiter and scope["method"] == "POST":
            wait = self.limiter.wait(caller.name, time.monotonic())
            if wait:
                text = f"more than {self.limiter.per_minute:g} requests a minute: wait {wait:.0f} s"
                raise ApiError(429, text, code="rate_limit_exceeded", headers={"retry-after": f"{wait + 1:.0f}"})
        return caller.name

    def _holder(self, scope: Scope) -> Caller:
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        scheme, _, key = header.partition(" ")
        # Looked up by its digest: how long that takes tells nothing about the keys.
        caller = self.settings.keys.get(digest(key.strip()))
        if scheme.lower() != "bearer" or caller is None:
            text = "this server asks for a key: send 'Authorization: Bearer KEY' with one that it knows"
            raise ApiError(401, text, code="invalid_api_key", headers={"www-authenticate": "Bearer"})
        return caller

    def _check_length(self, scope: Scope) -> None:
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if not told.isdigit() or int(told) > self.settings.max_body_bytes:
            raise self._too_large()

    def _limited(self, receive: Receive) -> Receive:
        """The body, but not more than is allowed, whatever its length was said to be, and not later."""
        read, whole = 0, False
        deadline = asyncio.get_running_loop().time() + self.settings.timeout_seconds

        async def limited() -> MutableMapping[str, Any]:
            nonlocal read, whole
            try:
                # After the body nothing comes but the client's leaving, which may take as long as the answer.
                async with asyncio.timeout_at(None if whole else deadline):
                    message = await receive()
            except TimeoutError:
                text = f"the body did not come within {self.settings.timeout_seconds:g} s: send all of it"
                raise ApiError(408, text, code="timeout", headers={"connection": "close"}) from None
            read, whole = read + len(message.get("body", b"")), not message.get("more_body")
            if read > self.settings.max_body_bytes:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> ApiError:
        return ApiError(413, f"a request may have {self.settings.max_body_bytes} bytes: send less", code="too_large")

    def _log(self, scope: Scope, identity: str, status: int, seconds: float, notes: Notes) -> None:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "id": identity,
            "caller": notes.caller,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "seconds": round(seconds, 4),
        }
        if notes.model:
            tokens = {"prompt_tokens": notes.prompt_tokens, "completion_tokens": notes.completion_tokens}
            line |= {"model": notes.model, **tokens}
        if self.settings.log_content:
            line |= notes.content
        LOG.info(json.dumps(line, ensure_ascii=False))


async def _refuse(error: ApiError, send: Send) -> None:
    body = json.dumps(error.body()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

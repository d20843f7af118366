"""Errors in the shape that OpenAI's clients read."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """What a client did wrong, or what the server cannot do now, with the HTTP status that says which."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

"""Errors in the shape that OpenAI's clients read."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gptwright.errors import InputError
from gptwright.serve.worker import Busy

LOG = logging.getLogger("gptwright.serve")


class ApiError(Exception):
    """What a client did wrong, or what the server cannot do now, with the HTTP status that says which."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.headers = status, code, param, headers or {}

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        # Half a surrogate pair, quoted from the request, could not be sent.
        message, param = (text and text.encode("utf-8", "replace").decode() for text in (str(self), self.param))
        return {"error": {"message": message, "type": kind, "param": param, "code": self.code}}


def as_api_error(error: Exception) -> ApiError:
    """What a client is told; of the server's own mistakes, nothing but that there was one."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Busy):
        return ApiError(503, f"{error}: try again later", code="overloaded")
    if isinstance(error, InputError):
        return ApiError(400, str(error))
    LOG.error("a request failed", exc_info=error)
    return ApiError(500, "the server made a mistake while it answered; its log says more")


def tell_errors(app: FastAPI) -> None:
    """Every error of this app in OpenAI's shape."""

    async def tell(_: Request, error: Exception) -> JSONResponse:
        found = as_api_error(error)
        return JSONResponse(found.body(), found.status, headers=found.headers)

    async def tell_invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if part != "body"]
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "this parameter is not followed here: leave it out"
        name = ".".join(place) or "the body"
        return JSONResponse(ApiError(400, f"{name}: {message}", param=".".join(place) or None).body(), 400)

    async def tell_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, ApiError):  # from beneath, while the body was read
            return await tell(request, error.__cause__)
        return JSONResponse(ApiError(error.status_code, str(error.detail)).body(), error.status_code)

    for kind in (ApiError, Busy, InputError, Exception):
        app.add_exception_handler(kind, tell)
    app.add_exception_handler(RequestValidationError, tell_invalid)
    app.add_exception_handler(HTTPException, tell_http)

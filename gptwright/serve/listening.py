"""The application behind a socket."""

from __future__ import annotations

from collections.abc import Sequence

import uvicorn

from gptwright.serve.app import create_app
from gptwright.serve.models import Served
from gptwright.serve.settings import ServerSettings

STOPPING_SECONDS = 30
"""How long answers may go on once the server is told to stop."""


def server_of(models: Sequence[Served], settings: ServerSettings) -> uvicorn.Server:
    """A server that is ready to run."""
    config = uvicorn.Config(
        create_app(models, settings),
        log_level="warning",
        timeout_graceful_shutdown=STOPPING_SECONDS,
        proxy_headers=False,  # X-Forwarded-For would let a caller take another address for each request
    )
    return uvicorn.Server(config)

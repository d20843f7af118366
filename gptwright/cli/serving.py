"""Behind `gptwright serve`: models loaded, checked, and put behind HTTP."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptwright.cli.device import device_of
from gptwright.cli.kinds import kind_of, stage_of
from gptwright.engine.engine import Engine
from gptwright.engine.native.decoder import Weights
from gptwright.errors import InputError, pip_install
from gptwright.model.folder import load_language_model, load_scalar_model
from gptwright.pipeline.start import find_model
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.progress import say

if TYPE_CHECKING:
    from gptwright.serve.models import Served


def serve(names: list[str], host: str, port: int, *, keys: Path | None, how: dict[str, Any], **limits: Any) -> None:
    """Serve until interrupted; `how` models are loaded stands at `load`, `limits` are fields of ServerSettings. Raises
    InputError without the extra, and for models and keys that cannot be taken.
    """
    try:
        from gptwright.serve.listening import server_of  # noqa: PLC0415
        from gptwright.serve.settings import ServerSettings, read_keys  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed, which `gptwright serve` needs: run {pip_install('serve')}"
        ) from None
    settings = ServerSettings(keys=read_keys(keys) if keys else {}, **limits)
    listening = _listen(host, port)
    models = [load(name, **how) for name in names]
    twice = {model.name for model in models if [other.name for other in models].count(model.name) > 1}
    if twice:
        raise InputError(f"two models would be called {min(twice)}: give them names, as in one={names[0]}")
    for model in models:
        say(f"serving  {model.name}: {model.described}")
    address = f"http://{_in_url(host)}:{listening.getsockname()[1]}"
    say(f"chat     {address}")
    say(f"API      {address}/v1")
    _log_requests()
    server_of(models, settings).run(sockets=[listening])


def _log_requests() -> None:
    """One JSON object a line, on standard error."""
    log, handler = logging.getLogger("gptwright.serve.requests"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _listen(host: str, port: int) -> socket.socket:
    """Before models are loaded, which takes longer. Raises InputError where nobody may listen."""
    try:
        families = {found[0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        if socket.AF_INET in families:
            return socket.create_server((host, port))
        both = socket.has_dualstack_ipv6()  # :: is everyone's, by either protocol
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=both)
    except OSError as error:
        raise InputError(
            f"cannot listen on {_in_url(host)}:{port} ({error.strerror or error}): give another --port or --host"
        ) from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def load(text: str, weights: Weights = "float32", device: str = "auto") -> Served:
    """'NAME=MODEL' or a model, whose name is then that of its folder, behind that of its run.

    Raises InputError for a device that is not there, and for weights that nothing here decodes with.
    """
    from gptwright.serve.models import ServedModel, ServedReward  # noqa: PLC0415

    placed = device_of(device)
    name, _, place = text.rpartition("=")
    folder = find_model(place)
    stage, tokenizer = stage_of(folder), Tokenizer.load(folder)
    default = f"{folder.resolve().parent.name}-{stage}" if stage else folder.resolve().name
    kind = kind_of(folder, tokenizer)
    if kind == "reward":
        return ServedReward(name or default, load_scalar_model(folder).to(placed), tokenizer)
    engine = Engine(
        load_language_model(folder).to(placed),
        stop_ids={tokenizer.document_end, tokenizer.end_of_turn},  # a base model ends a document, an assistant its turn
        tokenizer=tokenizer,
        frozen=True,
        weights=weights,
    )
    if weights != "float32" and engine.decoder() is None:
        raise InputError(f"--weights {weights} needs a CPU and a C++ compiler: install one, or leave it out")
    return ServedModel(name or default, engine, tokenizer, assistant=kind == "assistant")

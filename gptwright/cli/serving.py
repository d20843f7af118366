"""Behind `gptwright serve`: models loaded, checked, and put behind HTTP."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from gptwright.engine.engine import Engine
from gptwright.errors import InputError
from gptwright.model.folder import load_language_model
from gptwright.pipeline.start import find_model
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.progress import say

if TYPE_CHECKING:
    from gptwright.serve.models import ServedModel


def serve(names: list[str], host: str, port: int) -> None:
    """Serve until interrupted. Raises InputError without the extra, and for models that cannot be served."""
    try:
        import uvicorn  # noqa: PLC0415

        from gptwright.serve.app import create_app  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed: run pip install 'gptwright[serve]', which `gptwright serve` needs"
        ) from None
    listening = _listen(host, port)
    models = [load(name) for name in names]
    twice = {model.name for model in models if [other.name for other in models].count(model.name) > 1}
    if twice:
        raise InputError(f"two models would be called {min(twice)}: give them names, as in one={names[0]}")
    for model in models:
        kind = "assistant" if model.assistant else "base model, for /v1/completions alone"
        say(f"serving  {model.name}: {kind}, context {model.context}")
    say(f"API      http://{host}:{listening.getsockname()[1]}/v1")
    uvicorn.Server(uvicorn.Config(create_app(models), log_level="warning")).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Before models are loaded, which takes longer. Raises InputError where nobody may listen."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): give another --port or --host"
        ) from None


def load(text: str) -> ServedModel:
    """'NAME=MODEL' or a model, whose name is then that of its folder, behind that of its run."""
    from gptwright.serve.models import ServedModel  # noqa: PLC0415

    name, _, place = text.rpartition("=")
    folder = find_model(place)
    stage = _stage(folder)
    model, tokenizer = load_language_model(folder), Tokenizer.load(folder)
    # Of either kind: a base model ends a document, an assistant its turn.
    engine = Engine(model, stop_ids={tokenizer.document_end, tokenizer.end_of_turn}, tokenizer=tokenizer)
    default = f"{folder.resolve().parent.name}-{stage}" if stage else folder.resolve().name
    return ServedModel(name or default, engine, tokenizer, assistant=stage != "base")


def _stage(folder: Path) -> str:
    """The stage that made this folder; nothing for one from elsewhere."""
    file = folder / "lineage.json"
    return str(json.loads(file.read_text(encoding="utf-8")).get("stage", "")) if file.is_file() else ""

"""Packages that only the report needs, imported when it is drawn and asked for by name when they lack."""

from __future__ import annotations

import importlib
from typing import Any

from gptwright.errors import InputError, pip_install


def require(module: str) -> Any:
    """The imported module."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        message = f"the report needs {package}, which is not installed here: {pip_install('report')}"
        raise InputError(message) from error

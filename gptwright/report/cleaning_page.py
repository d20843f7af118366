"""cleaning.html: what a cleaning removed and why, with examples, from its cleaning.json. Needs the extra `report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE_NAME = "cleaning.html"


def write_cleaning_page(folder: Path) -> None:
    return None

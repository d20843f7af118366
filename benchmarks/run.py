"""Runs benchmarks by name, each as a process of its own, then writes the README's tables from the results.

    python benchmarks/run.py [NAME...] [--text PATH/tinyshakespeare.txt]

Without names: those that take minutes. quickstart takes three whole runs and is started by name.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT = ("kill_resume", "shakespeare")
NAMES = (*DEFAULT, "quickstart", "cleaning")
# Where a checkout with shared data beside it has the text.
DATA = HERE.parent.parent / "shared" / "data"
SHAKESPEARE = DATA / "pretrain" / "tinyshakespeare.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; default {', '.join(DEFAULT)}")
    parser.add_argument("--text", type=Path, default=SHAKESPEARE, help="tinyshakespeare's input.txt")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder that holds cleaning/")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}: use {', '.join(NAMES)}")
    names = options.names or DEFAULT
    if "shakespeare" in names and not options.text.is_file():
        parser.error("shakespeare needs its text: add --text PATH with tinyshakespeare's input.txt")
    for name in names:
        print(f"== {name}", flush=True)
        arguments = {"shakespeare": [str(options.text)], "cleaning": [str(options.data)]}.get(name, [])
        subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments], check=True)
    subprocess.run([sys.executable, str(HERE / "table.py")], check=True)


if __name__ == "__main__":
    main()

"""Runs benchmarks by name, each as a process of its own, then writes the README's tables from the results.

    python benchmarks/run.py [NAME...] [--text PATH/tinyshakespeare.txt] [--data FOLDER]

Without names: those that take minutes and whose data is there. quickstart takes three whole runs, corpus half an hour;
both are started by name. The others of this folder read finished runs, or a machine of their own: each says at its top
how it is called.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT = ("kill_resume", "shakespeare")
NAMES = (*DEFAULT, "pretraining", "optimizers", "quickstart", "corpus", "cleaning")
# Where a checkout with shared data beside it has the texts.
DATA = HERE.parent.parent / "shared" / "data"
SHAKESPEARE = DATA / "pretrain" / "tinyshakespeare.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; default {', '.join(DEFAULT)}")
    parser.add_argument("--text", type=Path, default=SHAKESPEARE, help="tinyshakespeare's input.txt")
    parser.add_argument("--data", type=Path, default=DATA, help="a folder with pretrain/ (30 MB of text) and cleaning/")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}: use {', '.join(NAMES)}")
    names = list(options.names or DEFAULT)
    wanting = "shakespeare needs its text: add --text PATH with tinyshakespeare's input.txt"
    if "shakespeare" in names and not options.text.is_file():
        if options.names:
            parser.error(wanting)
        print(f"left out: {wanting}", flush=True)
        names.remove("shakespeare")
    if {"corpus", "cleaning"} & set(names) and not options.data.is_dir():
        parser.error("corpus and cleaning need texts: add --data FOLDER with pretrain/ and cleaning/ in it")
    inputs = {
        "shakespeare": [str(options.text)],
        "corpus": [str(options.data / "pretrain")],
        "cleaning": [str(options.data)],
    }
    for name in names:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, str(HERE / f"{name}.py"), *inputs.get(name, [])], check=True)
    subprocess.run([sys.executable, str(HERE / "table.py")], check=True)


if __name__ == "__main__":
    main()

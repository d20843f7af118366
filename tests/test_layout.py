"""Budgets of the source tree: size of files and functions, repeated lines, clean imports, a fast command line."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "gptwright").rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
CLONE_LINES = 6
MAX_CLONED_SHARE = 0.05

IMPORT_EVERYTHING = """
import importlib, pkgutil
import gptwright
for module in pkgutil.walk_packages(gptwright.__path__, "gptwright."):
    importlib.import_module(module.name)
"""
SHOW_HELP = """
import sys
from gptwright.cli.main import main
sys.argv = ["gptwright", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "transformers", "matplotlib", "pyarrow"} & set(sys.modules)
sys.exit(f"imported: {sorted(heavy)}" if heavy else 0)
"""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def cloned_share(texts: dict[str, str]) -> tuple[float, list[str]]:
    """Share of lines that lie in a run of CLONE_LINES equal lines found elsewhere too, and where those runs start.

    Lines are compared without their indentation; blank lines and comments don't count.
    """
    lines = [
        (name, number, line.strip())
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.strip().startswith("#")
    ]
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for start in range(len(lines) - CLONE_LINES + 1):
        window = lines[start : start + CLONE_LINES]
        if window[0][0] == window[-1][0]:
            places[tuple(line for _, _, line in window)].append(start)
    starts = sorted(start for found in places.values() if len(found) > 1 for start in found)
    cloned = {start + offset for start in starts for offset in range(CLONE_LINES)}
    return len(cloned) / max(1, len(lines)), [f"{lines[start][0]}:{lines[start][1]}" for start in starts]


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_every_file_opens_with_its_purpose() -> None:
    silent = [path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def test_every_folder_of_code_is_a_package() -> None:
    # setuptools leaves a folder without __init__.py out of the wheel.
    assert {path.parent for path in SOURCES if not (path.parent / "__init__.py").is_file()} == set()


def test_every_data_file_goes_into_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["gptwright"]
    package = ROOT / "gptwright"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    data = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert data - packed == set()


def test_few_lines_are_repeated() -> None:
    share, places = cloned_share({str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in SOURCES})
    assert share <= MAX_CLONED_SHARE, f"{share:.1%} of the lines are repeated: {places}"


def test_clone_checker_counts_both_copies_whatever_their_indentation() -> None:
    block = [f"step_{number}()" for number in range(6)]
    copy = ["    " + line for line in block[:3]] + ["", "    # a remark"] + ["    " + line for line in block[3:]]
    rest = [f"other_{number}()" for number in range(8)]
    share, places = cloned_share({"a.py": "\n".join(block), "b.py": "\n".join(rest + copy)})
    assert share == 12 / 20
    assert places == ["a.py:1", "b.py:9"]
    assert cloned_share({"a.py": "\n".join(block[:5]), "b.py": "\n".join(block[:5])})[0] == 0


def test_every_module_imports_without_warnings() -> None:
    result = run_python("-W", "error", "-c", IMPORT_EVERYTHING)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_help_loads_nothing_heavy() -> None:
    result = run_python("-c", SHOW_HELP)
    assert result.returncode == 0, result.stderr
    assert "Usage" in result.stdout

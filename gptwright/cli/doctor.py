"""What this machine has, what is missing, and the command that mends it: the checks behind `gptwright doctor`.

Nothing is trained, and nothing changed: the decoder alone is compiled, into the user's cache. A check that the stages
can do without is "missing" and no failure; only Python and torch are required. torch is imported inside, so that the
command line starts without it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json as json_format
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Literal

from gptwright.engine.native.build import load as load_decoder

PYTHON_NEEDED = (3, 11)
TORCH_NEEDED = (2, 11)
GIB = 1024**3
# Room for the quickstart recipe with the operating system and a browser beside it.
MEMORY_NEEDED_GIB = 4
DISK_NEEDED_GIB = 2
# What each extra of pyproject.toml brings and what is lost without it.
EXTRAS = {
    "matplotlib": ("report", "the curves of report.html"),
    "jinja2": ("report", "report.html"),
    "transformers": ("hf", "the tests that compare with transformers"),
    "datasets": ("hf", "hub data sets as sources of text"),
    "fastapi": ("serve", "gptwright serve"),
    "datatrove": ("data", "gptwright data clean"),
    "llguidance": ("constrain", "answers that follow a schema"),
}
# torch.compile on a CPU writes C++ and calls one of these; cl is Microsoft's.
COMPILERS = ("g++", "clang++", "cl")
COMPILER_FROM = {
    "Darwin": "xcode-select --install",
    "Linux": "Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++",
}
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `mend` is empty where there is nothing to mend."""

    name: str
    status: Literal["ok", "missing"]
    detail: str
    mend: str = ""
    required: bool = False


def doctor_report() -> list[Check]:
    """Every check, in the order in which a person would mend them."""
    checks = [check_python(sys.version_info[:3])]
    try:
        import torch  # noqa: PLC0415
    except (ImportError, OSError) as error:  # OSError: the package is there and one of its libraries is not
        checks.append(torch_unusable(str(error)))
    else:
        checks.append(check_torch(torch.__version__))
        checks.extend(describe_devices(torch))
    checks.append(check_bf16(_read_text("/proc/cpuinfo")))
    checks.append(check_compiler())
    checks.append(check_decoding())
    checks.append(check_memory(_read_text("/proc/meminfo")))
    checks.append(check_disk(Path.cwd()))
    checks.extend(check_extra(package) for package in EXTRAS)
    return checks


def print_doctor(json: bool) -> int:
    """Print the report to stdout and return the exit code: 1 where something required is missing."""
    checks = doctor_report()
    healthy = all(check.status == "ok" for check in checks if check.required)
    if json:
        print(json_format.dumps({"ok": healthy, "checks": [dataclasses.asdict(check) for check in checks]}))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            print(f"{check.status:<7}  {check.name:<{width}}  {check.detail}")
            if check.mend:
                print(f"{'':<7}  {'':<{width}}  -> {check.mend}")
    return 0 if healthy else 1


def check_python(version: tuple[int, ...]) -> Check:
    found, needed = _dotted(version), _dotted(PYTHON_NEEDED)
    if version >= PYTHON_NEEDED:
        return Check("python", "ok", f"{found} at {sys.executable}", required=True)
    mend = f"install Python {needed} or newer and make the environment anew: make clean venv PYTHON=python{needed}"
    return Check("python", "missing", f"{found} is older than {needed}", mend, required=True)


def check_torch(version: str) -> Check:
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) >= TORCH_NEEDED:
        return Check("torch", "ok", version, required=True)
    return torch_unusable(f"{version} is older than {_dotted(TORCH_NEEDED)}")


def torch_unusable(reason: str) -> Check:
    return Check("torch", "missing", reason, _pip_install("--upgrade torch"), required=True)


def describe_devices(torch: ModuleType) -> list[Check]:
    """The CPU and every accelerator that torch can use here."""
    cores = os.cpu_count() or 1
    checks = [Check("cpu", "ok", f"{torch.get_num_threads()} threads on {cores} cores, {platform.machine()}")]
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        detail = f"{torch.cuda.get_device_name(index)}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        checks.append(Check(f"cuda:{index}", "ok", detail))
    if torch.backends.mps.is_available():
        checks.append(Check("mps", "ok", "Apple GPU, which nothing here uses yet: the CPU does the work"))
    if len(checks) == 1:
        mend = "only if it has an NVIDIA GPU: see 'A GPU' in README.md"
        checks.append(Check("gpu", "missing", "torch sees none; the CPU does the work", mend))
    return checks


def check_bf16(cpuinfo: str | None) -> Check:
    """Whether the processor multiplies bfloat16 itself; without it bfloat16 is slower than float32 on a CPU."""
    if cpuinfo is None:
        return Check("cpu bf16", "missing", "this system does not list its processor's instructions; float32 is safe")
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, flags=re.MULTILINE)
    flags = set(lines[0].split()) if lines else set()
    found = [flag for flag in BF16_FLAGS if flag in flags]
    if found:
        return Check("cpu bf16", "ok", ", ".join(found))
    return Check("cpu bf16", "missing", "no bfloat16 instructions in this processor; float32 is the faster choice")


def check_compiler() -> Check:
    for compiler in COMPILERS:
        if path := shutil.which(compiler):
            return Check("c++ compiler", "ok", path)
    mend = COMPILER_FROM.get(platform.system(), "install the C++ build tools of Visual Studio")
    return Check("c++ compiler", "missing", "torch.compile needs one on a CPU; training is slower without", mend)


def check_decoding() -> Check:
    """Whether small models can be decoded by compiled code: tried, since a compiler at hand may fail."""
    try:
        load_decoder()
    except OSError as error:
        mend = COMPILER_FROM.get(platform.system(), "install g++ or clang++")
        mend += "; where the cache cannot be written, GPTWRIGHT_CACHE names another folder"
        return Check("fast decoding", "missing", f"torch decodes, which is slower: {error}", mend)
    return Check("fast decoding", "ok", "compiled for this processor")


def check_memory(meminfo: str | None) -> Check:
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", meminfo or "", flags=re.MULTILINE)
    if found:
        return _room("memory", int(found[1]) * 1024, MEMORY_NEEDED_GIB, "available", "close other programs")
    if hasattr(os, "sysconf"):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return _room("memory", total, MEMORY_NEEDED_GIB, "in all", "use a machine with more memory")
    return Check("memory", "missing", "this system does not say how much memory it has")


def check_disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    return _room("disk", free, DISK_NEEDED_GIB, f"free at {folder}", "make room, or run with --dir on another disk")


def check_extra(package: str) -> Check:
    extra, purpose = EXTRAS[package]
    if importlib.util.find_spec(package) is None:
        return Check(package, "missing", f"not installed; needed for {purpose}", _pip_install(f"-e '.[{extra}]'"))
    return Check(package, "ok", metadata.version(package))


def _room(name: str, num_bytes: int, needed_gib: int, what: str, mend: str) -> Check:
    detail = f"{num_bytes / GIB:.1f} GiB {what}"
    if num_bytes >= needed_gib * GIB:
        return Check(name, "ok", detail)
    return Check(name, "missing", f"{detail}; the quickstart recipe wants {needed_gib} GiB", mend)


def _read_text(path: str) -> str | None:
    file = Path(path)
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


def _pip_install(what: str) -> str:
    return f"{sys.executable} -m pip install -c constraints.txt {what}"

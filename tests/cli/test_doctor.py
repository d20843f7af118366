"""doctor: each finding from its facts, the exit code, and what --json prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gptwright.cli import doctor

INTEL = "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu avx512f avx512_bf16\n"
OLD_INTEL = "processor\t: 0\nflags\t\t: fpu avx2\nbugs\t\t: avx512_bf16\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


def test_python_3_11_is_new_enough_and_3_10_is_not() -> None:
    assert doctor.check_python((3, 11, 0)).status == "ok"
    assert doctor.check_python((3, 10, 14)).status == "missing"


def test_torch_versions_compare_as_numbers() -> None:
    # As text, "2.9" would come after "2.11".
    assert doctor.check_torch("2.13.0+cpu").status == "ok"
    assert doctor.check_torch("2.9.1").status == "missing"


def test_torch_need_is_that_of_the_package() -> None:
    pyproject = Path(doctor.__file__).parents[2] / "pyproject.toml"
    assert f'"torch>={doctor.TORCH_NEEDED[0]}.{doctor.TORCH_NEEDED[1]}"' in pyproject.read_text(encoding="utf-8")


@pytest.mark.parametrize(("cpuinfo", "status"), [(INTEL, "ok"), (ARM, "ok"), (OLD_INTEL, "missing"), (None, "missing")])
def test_bf16_is_read_from_the_flags_of_the_processor(cpuinfo: str | None, status: str) -> None:
    assert doctor.check_bf16(cpuinfo).status == status


def test_memory_is_what_is_available_not_what_is_there() -> None:
    check = doctor.check_memory("MemTotal:       16777216 kB\nMemAvailable:    1048576 kB\n")
    assert (check.status, check.detail[:18]) == ("missing", "1.0 GiB available;")


def test_compiler_is_found_on_the_path_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.check_compiler().status == "missing"
    compiler = tmp_path / "clang++"
    compiler.touch(mode=0o755)
    assert doctor.check_compiler().detail == str(compiler)


def test_fast_decoding_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho out of order >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GPTWRIGHT_CACHE", str(tmp_path / "cache"))
    assert doctor.check_compiler().status == "ok"
    check = doctor.check_decoding()
    assert (check.status, check.detail) == ("missing", f"torch decodes, which is slower: {broken} fails: out of order")
    assert "GPTWRIGHT_CACHE" in check.mend


def test_absent_extra_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "surely_not_installed", ("report", "nothing"))
    check = doctor.check_extra("surely_not_installed")
    assert check.status == "missing"
    assert check.mend == f"{sys.executable} -m pip install -c constraints.txt -e '.[report]'"


def test_json_is_one_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = doctor.print_doctor(json=True)
    report = json.loads(capsys.readouterr().out)
    assert exit_code == 0
    assert report["ok"] is True
    assert [check["name"] for check in report["checks"][:3]] == ["python", "torch", "cpu"]


def test_text_shows_every_check_with_its_mend(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.print_doctor(json=False)
    text = capsys.readouterr().out
    for check in doctor.doctor_report():
        assert check.name in text
        assert check.mend in text


def test_unusable_torch_is_reported_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # None in sys.modules makes the import statement fail as it does where torch is absent.
    monkeypatch.setitem(sys.modules, "torch", None)
    assert doctor.print_doctor(json=False) == 1
    assert "missing  torch" in capsys.readouterr().out

"""Runs the C and C++ tests: natively, and with AVX-512 emulated."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = re.findall(r"add_test\(NAME (\w+)", (ROOT / "CMakeLists.txt").read_text())


def run(program: Path) -> str:
    done = subprocess.run([program], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_native(program: str, tests_build: Path) -> None:
    run(tests_build / program)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX-512 is emulated on x86-64 only")
def test_avx512_rows_when_emulated(emulated_build: Path) -> None:
    output = run(emulated_build / "kernel_test")
    tables = (emulated_build / "generated" / "tables.inc").read_text()
    for family in re.findall(r"PYRT_TABLE\((\w+)_avx512\w+\)", tables):
        assert re.search(rf"runs of {family}\w*_avx512", output), f"no AVX-512 row of {family} ran"

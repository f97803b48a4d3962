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
    rows = {
        row
        for source in (ROOT / "csrc" / "kernels").glob("*/*_avx512*.cpp")
        for row in re.findall(r'"(\w+_avx512[a-z]+)"', source.read_text())
    }
    assert len(rows) > 20
    idle = [row for row in sorted(rows) if not re.search(rf"runs of {row}\b", output)]
    assert not idle, f"these rows never ran: {idle}"

"""The C++ tests of the runtime: arena, pool, allocation in steady state."""

from __future__ import annotations

import subprocess
from pathlib import Path


def test_runtime_test(tests_build: Path) -> None:
    done = subprocess.run(
        [tests_build / "runtime_test"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all runtime tests passed" in done.stdout

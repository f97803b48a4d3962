"""Recorded results replay natively; `make test-arm` replays the same under emulated ARM."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from pyruntime.plan.file import to_bytes
from tests.numerics import record
from tests.numerics.cases import one
from tests.numerics.more_cases import every


def replay(tests_build: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [tests_build / "replay", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("vectors") / "all"
    return folder, record.write(folder)


def test_everything_replays(tests_build: Path, recorded: tuple[Path, list[str]]) -> None:
    folder, lines = recorded
    done = replay(tests_build, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(lines)} passed, 0 failed"


def test_every_exact_and_canonical_family_is_recorded() -> None:
    used = {step.family for case in every() for step in case.program.steps}
    fast = {"conv_transpose", "gru", "lstm"}
    assert used == set(record.kernels.families()) - fast


def test_resnet8_is_recorded(recorded: tuple[Path, list[str]]) -> None:
    if not (record.MODELS / f"{record.RESNET8}.onnx").exists():
        pytest.skip(f"there is no {record.RESNET8}.onnx in ../shared/models")
    assert sum(line.startswith("resnet8-int8_") for line in recorded[1]) == 3


def write_one(folder: Path, want: np.ndarray) -> None:
    """A copy of three floats, of which `want` claims to be the result."""
    x = np.array([1, np.nan, -0.0], np.float32)
    case = one("copy", "reshape", [x], [("f32", (3, 1))])
    line = record.record(folder, case.name, to_bytes(case.program), case.feeds)
    (folder / "copy.out0.bin").write_bytes(want.tobytes())
    (folder / "manifest.txt").write_text(line + "\n")


def test_a_payload_of_nan_is_no_mismatch(tests_build: Path, tmp_path: Path) -> None:
    write_one(tmp_path, np.array([0x3F800000, 0xFFC12345, 0x80000000], np.uint32))
    done = replay(tests_build, tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 passed, 0 failed\n")


def test_a_mismatch_is_named(tests_build: Path, tmp_path: Path) -> None:
    write_one(tmp_path, np.array([0x3F800000, 0x7FC00000, 0], np.uint32))
    done = replay(tests_build, tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "copy: output 0 with 1 threads, offset 8: got 0x80000000, expected 0x00000000" in lines
    assert lines[-1] == "0 passed, 1 failed"


def test_fast_steps_are_not_recorded(tmp_path: Path) -> None:
    a = np.ones((2, 3), np.float32)
    case = one("fast", "gemm", [a, a.T], [("f32", (2, 2))])
    with pytest.raises(record.MismatchError, match="fast: has steps of the classes"):
        record.record(tmp_path, case.name, to_bytes(case.program), case.feeds)


def test_rows_that_differ_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **options: object) -> list[np.ndarray]:
        return [np.full((3, 1), options["threads"], np.float32)]

    monkeypatch.setattr(record, "compute", wrong)
    case = one("copy", "reshape", [np.ones(3, np.float32)], [("f32", (3, 1))])
    with pytest.raises(record.MismatchError, match=r"copy: output 0 .* 'threads': 2"):
        record.record(tmp_path, case.name, to_bytes(case.program), case.feeds)

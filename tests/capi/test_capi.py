"""The C interface, from a C11 program that links the shared library."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from tests.runtime import pyrt_files as files


def add_one() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    program, _ = files.linear()
    program["values"] = [
        {"dtype": "f32", "dims": ["B", 3]},
        {"dtype": "f32", "dims": [1], "tensor": "one"},
        {"dtype": "f32", "dims": ["B", 3]},
    ]
    program["outputs"][0]["value"] = 2
    program["segments"][0]["steps"] = [
        {"family": "elementwise", "attributes": {"op": "add"}, "inputs": [0, 1], "outputs": [2]}
    ]
    return program, {"one": np.ones(1, np.float32)}


def test_c_program(tests_build: Path, tmp_path: Path) -> None:
    model, host_model = tmp_path / "add.pyrt", tmp_path / "host.pyrt"
    program, tensors = add_one()
    model.write_bytes(files.model(program, tensors))
    program["segments"][0]["steps"][0].update(family="host", operator="Einsum")
    host_model.write_bytes(files.model(program, tensors))
    done = subprocess.run(
        [tests_build / "capi_test", model, host_model], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all C tests passed" in done.stdout

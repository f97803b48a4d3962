"""What `import pyruntime` gives, and that it costs next to nothing."""

import os
import subprocess
import sys

import pytest

import pyruntime


@pytest.mark.parametrize("name", pyruntime.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(pyruntime, name) is getattr(pyruntime, name)
    assert name in dir(pyruntime)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'load'; it has Graph"):
        pyruntime.load  # noqa: B018


def test_import_loads_only_what_is_asked_for() -> None:
    script = (
        "import sys, pyruntime; "
        "print([m for m in sys.modules if m.startswith('pyruntime.') or m in ('onnx', 'numpy')])"
    )
    path = os.pathsep.join(sys.path)
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


def test_session_needs_neither_onnx_nor_operators() -> None:
    script = (
        "import sys; from pyruntime.session import Session; "
        "print([m for m in sys.modules if m in ('onnx', 'pyruntime.ops', 'pyruntime.passes')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"

"""Fixtures that several parts of the suite share."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Whoever runs the tests may have tuned this machine; what is chosen here must not depend on it.
os.environ["PYRUNTIME_TUNING"] = "off"


def tool(name: str) -> str:
    """A program beside this Python (cmake and ninja may be PyPI packages) or on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    assert found, f"{name} is missing: apt install {name}, or pip install {name}"
    return found


def build_natively(folder: Path, *options: str) -> Path:
    """Configures and builds the native part in a folder of its own."""
    configure(folder, *options)
    done = subprocess.run(
        [tool("cmake"), "--build", folder, "--parallel", "2"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return folder


def configure(build: Path, *options: str) -> None:
    """Configures the native build in a folder of its own."""
    command = [tool("cmake"), "-G", "Ninja", "-S", str(ROOT), "-B", str(build)]
    command += [f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", f"-DPython_EXECUTABLE={sys.executable}"]
    if shutil.which("ccache"):
        command += [f"-DCMAKE_{language}_COMPILER_LAUNCHER=ccache" for language in ("C", "CXX")]
    subprocess.run([*command, "-DPYRT_PYTHON=OFF", *options], check=True, capture_output=True)


@pytest.fixture(scope="session")
def tests_build() -> Path:
    """The folder with the C and C++ tests, built."""
    return build_natively(ROOT / "build" / "tests", "-DPYRT_BUILD_TESTS=ON")


@pytest.fixture(scope="session")
def emulated_build() -> Path:
    """The same with AVX-512 emulated."""
    options = ("-DPYRT_BUILD_TESTS=ON", "-DPYRT_EMULATE_AVX512=ON")
    return build_natively(ROOT / "build" / "tests-avx512", *options)


@pytest.fixture(scope="session")
def kernel_commands(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The command that compiles each ISA object, without -o and -O; its last word is the source."""
    build = tmp_path_factory.mktemp("commands")
    configure(build)
    tables = re.findall(r"PYRT_TABLE\((\w+)\)", (build / "generated/tables.inc").read_text())
    commands = []
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if Path(entry["file"]).stem in tables:
            words = shlex.split(entry["command"])
            output = words.index("-o")
            del words[output : output + 2]
            words = [w for w in words if not w.startswith("-O")]
            source = words.index(entry["file"])
            commands.append([*words[:source], *words[source + 1 :], entry["file"]])
    assert len(commands) == len(tables) > 0
    return commands

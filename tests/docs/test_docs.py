"""Runs what the documentation shows: blocks after `<!-- run -->`, in order, a folder for each page.

A console block holds commands after `$ ` and, unchecked, what they print; `<!-- run: 3 -->` expects
that exit code of its last command. `<!-- compile: name -->` is a C program.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyruntime as rt

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/design/*.md")])
RUN = re.compile(r"<!-- run(?:: (\d+))? -->\n```(console|python)\n(.*?)\n```", re.DOTALL)
COMPILE = re.compile(r"<!-- compile: (\w+) -->\n```c\n(.*?)\n```", re.DOTALL)
RUNNABLE = [page for page in PAGES if RUN.search(page.read_text())]


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A folder where `benchmarks` is the repository's and `pyruntime` is this one."""
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "pyruntime"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pyruntime.cli.main "$@"\n')
    command.chmod(0o755)
    paths = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("page", RUNNABLE, ids=page_name)
def test_blocks_run(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    for code, language, text in RUN.findall(page.read_text()):
        if language == "python":
            commands = [[sys.executable, "-c", text]]
        else:
            shown = text.replace("\\\n", " ").splitlines()
            lines = [line.removeprefix("$ ") for line in shown if line.startswith("$ ")]
            assert lines, f"a console block without a command:\n{text}"
            commands = [["bash", "-c", line] for line in lines]
        for i, command in enumerate(commands):
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            expected = int(code or 0) if i == len(commands) - 1 else 0
            assert done.returncode == expected, f"{command[-1]}\n{done.stdout}{done.stderr}"


def test_pages_with_commands_are_run() -> None:
    names = {page_name(page) for page in RUNNABLE}
    assert {"docs/getting-started.md", "docs/compress.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    local = [link for link in links if not re.match(r"https?:", link)]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_c_program_gives_what_python_gives(kind: str, tmp_path: Path, tests_build: Path) -> None:
    [(name, text)] = COMPILE.findall((ROOT / "docs" / "embed.md").read_text())
    source, program, model = tmp_path / f"{name}.c", tmp_path / name, tmp_path / "model.pyrt"
    source.write_text(text)
    libraries = {
        "shared": ["-L", tests_build, "-lpyruntime", f"-Wl,-rpath,{tests_build}"],
        "static": [tests_build / "libpyruntime.a", "-lstdc++", "-lm", "-pthread"],
    }
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "csrc" / "include"]
    subprocess.run(["cc", source, *flags, *libraries[kind], "-o", program], check=True)
    rt.compile(rt.import_onnx(ROOT / "benchmarks" / "demo" / "models" / "mnist_cnn.onnx"), model)
    image = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    done = subprocess.run([program, model], input=image.tobytes(), capture_output=True, check=True)
    got = np.frombuffer(done.stdout, np.float32).reshape(1, 10)
    want = rt.Session(model, threads=1).run({"image": image})["logits"]
    np.testing.assert_array_equal(got, want)

"""A C11 program (tests/numerics/replay.c) runs whole models, float ones among them, with no Python.

It must give the bytes that a session gives on the same machine, with 1 and 2 threads; what the
session gives is held here against the numpy references, or against the labels.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import pyruntime as rt
from pyruntime.demo import networks
from pyruntime.graph.evaluate import evaluate
from pyruntime.ops.activations import LEAKY_RELU, LeakyReluAttributes
from tests.numerics import record
from tests.passes.build import Builder


def run_in_c(tests_build: Path, folder: Path, lines: Sequence[str]) -> None:
    (folder / "manifest.txt").write_text("".join(f"{line}\n" for line in lines))
    done = subprocess.run(
        [tests_build / "replay", folder], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(lines)} passed, 0 failed"


@pytest.mark.parametrize("network", [n.name for n in (*networks.MNIST, *networks.DIGITS)])
def test_demo_networks_at_three_batch_sizes(
    network: str, tests_build: Path, tmp_path: Path
) -> None:
    images = networks.load_images(network.split("-", maxsplit=1)[0])
    data = networks.load_network(network)
    lines = []
    for batch in (1, 3, 64):
        x = np.ascontiguousarray(images.inputs[:batch])
        with rt.Session(data, threads=1) as session:
            want = [np.asarray(output) for output in session.run([x])]
        correct = want[0].argmax(axis=1) == images.labels[:batch]
        assert np.mean(correct) > 0.9
        lines.append(record.store(tmp_path, f"{network}_{batch}", "F", data, [x], want))
    run_in_c(tests_build, tmp_path, lines)


def test_dynamic_image_sizes(tests_build: Path, tmp_path: Path) -> None:
    b = Builder(("N", 3, "H", "W"))
    y = b.node(LEAKY_RELU, LeakyReluAttributes(alpha=0.1), b.conv(b.x, 8)).outputs[0]
    graph = b.output(b.conv(y, 5, 1, 0))
    data = rt.compile(graph)
    assert data is not None
    lines = []
    for shape in ((1, 3, 9, 14), (2, 3, 5, 5), (1, 3, 33, 20)):
        x = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
        with rt.Session(data, threads=1) as session:
            want = [np.asarray(output) for output in session.run([x])]
        np.testing.assert_allclose(want[0], evaluate(graph, {"x": x})["y0"], atol=1e-4, rtol=1e-4)
        name = "sizes_" + "x".join(map(str, shape))
        lines.append(record.store(tmp_path, name, "F", data, [x], want))
    run_in_c(tests_build, tmp_path, lines)

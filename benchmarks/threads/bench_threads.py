"""One thread against two, alone and beside a core that another program keeps busy.

The report gives the speed-ups. Layers that are read once for one row are bound by memory, so the
same reads by two threads say what can be had.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks import peak, peers
from benchmarks.kernels import bench_gemm
from benchmarks.peers import Array, Subject

Shape = tuple[int, int, int]


def gemm(shape: Shape, dtype: str, threads: int) -> Subject:
    a, w, a_f32, w_f32 = bench_gemm.operands(shape)
    M, N, K = shape
    if dtype == "f32":
        return peers.own_step("gemm", [a_f32, w_f32], [("f32", (M, N))], threads=threads)
    scale = np.full(N, bench_gemm.output_scale(K), np.float32)
    return peers.own_step("gemm", [a, w, None, scale], [("s8", (M, N))], threads=threads)


def softmax(shape: Shape, dtype: str, threads: int) -> Subject:
    x: Array = np.ones(shape[:2], np.float32)
    return peers.own_step("softmax", [x], [(dtype, x.shape)], {"axis": 1}, threads=threads)


LAYERS: dict[str, tuple[Callable[[Shape, str, int], Subject], Shape, str]] = {
    f"gemm-{bench_gemm.shape_id(shape)}-{dtype}": (gemm, shape, dtype)
    for shape in ((1, 64, 64), *bench_gemm.SHAPES)
    for dtype in ("s8", "f32")
}
LAYERS["softmax-8x64-f32"] = (softmax, (8, 64, 1), "f32")
LAYERS["softmax-1536x128-f32"] = (softmax, (1536, 128, 1), "f32")


@pytest.fixture
def busy_core(request: pytest.FixtureRequest, two_cores: tuple[int, int]) -> Iterator[None]:
    """Another process computes on one of the cores, where the case's name says so."""
    if not request.node.callspec.params["way"].endswith("busy"):
        yield
        return
    code = f"import os; os.sched_setaffinity(0, {{{two_cores[0]}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        yield
        process.kill()


WAYS = {"pyruntime": 1, "pyruntime-2": 2, "pyruntime-busy": 1, "pyruntime-2-busy": 2}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("busy_core")
def bench_threads(benchmark: Any, name: str, way: str) -> None:
    build, (M, N, K), dtype = LAYERS[name]
    threads = WAYS[way]
    info: dict[str, Any] = {"mega_products": M * N * K / 1e6}
    if way == "pyruntime-2" and M == 1:
        info["read_ratio"] = peak.two_core_read_ratio(N * K * (4 if dtype == "f32" else 1))
    assert len(os.sched_getaffinity(0)) > 1
    peers.measure(
        benchmark,
        build((M, N, K), dtype, threads),
        group=name,
        seconds=2 * peers.SHORT_CASE_SECONDS,
        subject=way,
        dtype=dtype,
        **info,
    )

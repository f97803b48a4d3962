"""Vector-matrix products with weights of 4, 2 and 1 bits per channel, against our own dense int8.

`pyruntime` is the row that the runtime chooses; `pyruntime-narrow` and `pyruntime-dense` are the
best of each kind, so a wrong choice shows. All compute the same product, to s32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.kernels.bench_gemm import shape_id
from benchmarks.kernels.bench_sparse import best_row, onnxruntime_dense, own
from benchmarks.peers import Array, Subject

SHAPES = ((1, 1024, 1024), (1, 4096, 1024), (1, 1024, 4096), (1, 4096, 4096), (4, 1024, 1024))
Shape = tuple[int, int, int]
VALUES = {"int4": tuple(range(-8, 8)), "ternary": (-1, 0, 1), "binary": (-1, 1)}


@functools.lru_cache(maxsize=1)
def operands(shape: Shape, values: str) -> tuple[Array, Array]:
    """Gives a [M, K] and w [K, N], both s8."""
    M, N, K = shape
    random = np.random.default_rng(N + K)
    a = random.integers(-127, 128, (M, K), np.int8)
    return a, random.choice(np.array(VALUES[values], np.int8), (K, N))


SUBJECTS: dict[str, Callable[[Array, Array], Subject]] = {
    "pyruntime": own,
    "pyruntime-narrow": lambda a, w: own(a, w, best_row(a, w, compressed=True)),
    "pyruntime-dense": lambda a, w: own(a, w, best_row(a, w, compressed=False)),
    "onnxruntime-dense": onnxruntime_dense,
}
CASES = [
    pytest.param(shape, values, name, id=f"{shape_id(shape)}-{values}-t1-{name}")
    for shape in SHAPES
    for values in VALUES
    for name in SUBJECTS
]


@pytest.mark.parametrize(("shape", "values", "name"), CASES)
def bench_narrow(benchmark: Any, shape: Shape, values: str, name: str) -> None:
    M, N, K = shape
    a, w = operands(shape, values)
    peers.measure(
        benchmark,
        SUBJECTS[name](a, w),
        group=f"{shape_id(shape)}-{values}",
        operations=2 * M * N * K,
        expected=a.astype(np.float64) @ w,
        subject=name,
        dtype="s8",
    )

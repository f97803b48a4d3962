"""Matrix products with zeros in the weights, against dense ones and CSR libraries.

Zeros are scattered or in a structure: blocks of 1 x 4 (4 k of a column) and 16 x 4 (of 16 columns),
2 of 4 or 4 of 16 k kept.

`pyruntime` is the row that the runtime chooses; `pyruntime-sparse` and `pyruntime-dense` are the
best of each kind, so a wrong choice shows. All compute the same product.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import engines, peers
from benchmarks.kernels.bench_gemm import onnxruntime_product, shape_id, shifted
from benchmarks.peers import Array, Subject
from pyruntime import kernels

SHAPES = (
    (1, 1024, 1024),
    (1, 4096, 1024),
    (128, 768, 768),
    (128, 3072, 768),
    (512, 512, 512),
    (1024, 1024, 1024),
    (784, 128, 128),
    (784, 256, 256),
)
SCATTERED = ("50", "70", "80", "90", "95")
STRUCTURED = ("1x4-50", "1x4-90", "1x4-95", "16x4-50", "16x4-90", "16x4-95", "2:4", "4:16")
Shape = tuple[int, int, int]


def kept(K: int, N: int, zeros: str, random: np.random.Generator) -> Array:
    """Which weights [K, N] stay: `50` per cent scattered, `1x4-50` in blocks, `2:4`."""
    if ":" in zeros:
        count, group = map(int, zeros.split(":"))
        order = random.random((K // group, group, N)).argsort(axis=1).argsort(axis=1)
        return (order < count).reshape(K, N)
    structure, _, percent = zeros.rpartition("-")
    columns, k = map(int, structure.split("x")) if structure else (1, 1)
    blocks = random.random((-(-K // k), -(-N // columns))) >= int(percent) / 100
    return blocks.repeat(k, axis=0)[:K].repeat(columns, axis=1)[:, :N]


@functools.lru_cache(maxsize=1)
def operands(shape: Shape, zeros: str, dtype: str) -> tuple[Array, Array]:
    """Gives a [M, K] and w [K, N] with such zeros."""
    M, N, K = shape
    random = np.random.default_rng(1)
    a = random.integers(-127, 128, (M, K), np.int8)
    w = random.integers(1, 128, (K, N), np.int8)
    w[random.random((K, N)) < 0.5] *= -1
    w[~kept(K, N, zeros, random)] = 0
    if dtype == "s8":
        return a, w
    # Not exact in half precision, else dense rows would store the weights so.
    return a.astype(np.float32) / 63, w.astype(np.float32) / 63


def own(a: Array, w: Array, row: str = "") -> Subject:
    out = "s32" if a.dtype == np.int8 else "f32"
    return peers.own_step("gemm", [a, w], [(out, (a.shape[0], w.shape[1]))], row=row)


def best_row(a: Array, w: Array, compressed: bool) -> str:
    """The cheapest sparse (or dense) row for this product, by its predicted time."""
    kinds = {row.name: row.compressed for row in kernels.rows()}
    out = "s32" if a.dtype == np.int8 else "f32"
    candidates = kernels.rows_for("gemm", [a, w], outputs=[(out, (a.shape[0], w.shape[1]))])
    able = [c for c in candidates if c.cost_ns >= 0 and kinds[c.row] == compressed]
    if not able:
        pytest.skip(f"no {'sparse' if compressed else 'dense'} row computes this")
    return min(able, key=lambda candidate: candidate.cost_ns).row


def onnxruntime_dense(a: Array, w: Array) -> Subject:
    if a.dtype == np.float32:
        return onnxruntime_product("MatMul", a, {"w": w}, "FLOAT", "FLOAT", w.shape[1])
    constants = {"w": w, "a_zero_point": np.uint8(128), "w_zero_point": np.int8(0)}
    return onnxruntime_product("MatMulInteger", shifted(a), constants, "UINT8", "INT32", w.shape[1])


SUBJECTS: dict[str, Callable[[Array, Array], Subject]] = {
    "pyruntime": own,
    "pyruntime-sparse": lambda a, w: own(a, w, best_row(a, w, compressed=True)),
    "pyruntime-dense": lambda a, w: own(a, w, best_row(a, w, compressed=False)),
    "onnxruntime-dense": onnxruntime_dense,
    "scipy-csr": peers.scipy_csr_product,
    "torch-csr": engines.torch_csr_product,
    "mkl-csr": peers.mkl_csr_product,
    "numba-csr": peers.numba_csr_product,
}
FLOAT_ONLY = ("scipy-csr", "torch-csr", "mkl-csr")  # their sums would wrap in 8 bits
OWN = [name for name in SUBJECTS if name.startswith("pyruntime")]
CASES = [
    pytest.param(shape, zeros, dtype, name, id=f"{shape_id(shape)}-z{zeros}-{dtype}-t1-{name}")
    for shape in SHAPES
    for zeros in SCATTERED + STRUCTURED
    for dtype in ("f32", "s8")
    for name in (SUBJECTS if zeros in SCATTERED else OWN)
    if dtype == "f32" or name not in FLOAT_ONLY
]


@pytest.mark.parametrize(("shape", "zeros", "dtype", "name"), CASES)
def bench_sparse(benchmark: Any, shape: Shape, zeros: str, dtype: str, name: str) -> None:
    M, _, K = shape
    a, w = operands(shape, zeros, dtype)
    peers.measure(
        benchmark,
        SUBJECTS[name](a, w),
        group=f"{shape_id(shape)}-z{zeros}",
        operations=2 * M * int(np.count_nonzero(w)),
        expected=a.astype(np.float64) @ w,
        tolerance=1e-5 * K if dtype == "f32" else 0.0,
        subject=name,
        dtype=dtype,
    )

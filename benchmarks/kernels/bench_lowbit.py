"""Vector-matrix products with weights of few bits, against our own dense int8 and onnxruntime.

Per channel: `pyruntime` is the row that the runtime chooses; `pyruntime-narrow` and
`pyruntime-dense` are the best of each kind, so a wrong choice shows. All compute the same product,
to s32. By group: activations are f32, and rounded to 8 bits as a part of what is timed; the dense
int8 product beside it has its activations rounded before. Of signs: f32 activations, binary
weights.
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


GROUPS = (32, 128)


@functools.lru_cache(maxsize=1)
def grouped_operands(shape: Shape, group: int) -> tuple[Array, Array, Array, Array]:
    """Gives a f32 [M, K], packed 4-bit weights [N, G, group / 2], scales [N, G], and w [K, N]."""
    M, N, K = shape
    random = np.random.default_rng(N + K)
    packed = random.integers(0, 256, (N, K // group, group // 2), np.uint8)
    scale = random.uniform(0.01, 0.05, (N, K // group)).astype(np.float16).astype(np.float32)
    u = np.stack([packed & 15, packed >> 4], -1).reshape(N, K // group, group)
    w = ((u.astype(np.float32) - 8) * scale[..., None]).reshape(N, K).T
    return random.standard_normal((M, K)).astype(np.float32), packed, scale, w


def own_groups(shape: Shape, group: int) -> Subject:
    a, packed, scale, _ = grouped_operands(shape, group)
    return peers.own_step(
        "gemm_groups",
        [a, packed, scale],
        [("f32", (shape[0], shape[1]))],
        {"bits": 4, "group": group},
    )


def own_dense(shape: Shape, _: int) -> Subject:
    return own(*operands(shape, "int4"), best_row(*operands(shape, "int4"), compressed=False))


def onnxruntime_groups(shape: Shape, group: int) -> Subject:
    a, packed, scale, _ = grouped_operands(shape, group)
    M, N, K = shape
    operator = "com.microsoft:MatMulNBits"
    attributes = {"K": K, "N": N, "bits": 4, "block_size": group, "accuracy_level": 4}
    model = peers.onnx_chain(
        [(operator, ["a", "w", "scale"], "y")],
        {"a": ("FLOAT", a.shape)},
        {"w": packed, "scale": scale.reshape(-1)},
        ("FLOAT", (M, N)),
        {operator: attributes},
    )
    return peers.onnxruntime_model(model, {"a": a})


GROUP_SUBJECTS = {
    "pyruntime": own_groups,
    "pyruntime-dense": own_dense,
    "onnxruntime": onnxruntime_groups,
}
GROUP_CASES = [
    pytest.param(shape, group, name, id=f"{shape_id(shape)}-g{group}-t1-{name}")
    for shape in (*SHAPES, (128, 768, 768))
    for group in GROUPS
    for name in GROUP_SUBJECTS
]


@pytest.mark.parametrize(("shape", "group", "name"), GROUP_CASES)
def bench_groups(benchmark: Any, shape: Shape, group: int, name: str) -> None:
    M, N, K = shape
    a, _, _, w = grouped_operands(shape, group)
    expected = None if name == "pyruntime-dense" else a.astype(np.float64) @ w
    peers.measure(
        benchmark,
        GROUP_SUBJECTS[name](shape, group),
        group=f"{shape_id(shape)}-g{group}",
        operations=2 * M * N * K,
        expected=expected,
        tolerance=0.02 * np.sqrt(K),
        subject=name,
        dtype="s8",
    )


def own_signs(shape: Shape) -> Subject:
    a, w = operands(shape, "binary")
    bits = np.packbits(w.T < 0, axis=1, bitorder="little")
    scale = np.ones(w.shape[1], np.float32)
    return peers.own_step(
        "gemm_sign", [a.astype(np.float32), bits, scale], [("f32", (a.shape[0], w.shape[1]))]
    )


SIGN_SUBJECTS = {"pyruntime": own_signs, "pyruntime-dense": lambda shape: own_dense(shape, 0)}
SIGN_CASES = [
    pytest.param(shape, name, id=f"{shape_id(shape)}-signs-t1-{name}")
    for shape in SHAPES
    for name in SIGN_SUBJECTS
]


@pytest.mark.parametrize(("shape", "name"), SIGN_CASES)
def bench_signs(benchmark: Any, shape: Shape, name: str) -> None:
    M, N, K = shape
    a, w = operands(shape, "binary")
    expected = np.sign(a).astype(np.float64) @ w
    subject = SIGN_SUBJECTS[name](shape)
    peers.measure(
        benchmark,
        subject,
        group=f"{shape_id(shape)}-signs",
        operations=2 * M * N * K,
        expected=expected if name == "pyruntime" else None,
        subject=name,
        dtype="s8",
    )

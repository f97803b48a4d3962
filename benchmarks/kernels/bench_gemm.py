"""Dense matrix products: f32, and int8 to s32 and to s8, with the weights known beforehand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.peers import Array, Subject

# (M, N, K): vector, few rows, transformer layer, 1x1 convolution, square.
SHAPES = (
    (1, 1024, 1024),
    (16, 1024, 1024),
    (128, 768, 768),
    (784, 128, 128),
    (512, 512, 512),
)


def shape_id(shape: tuple[int, int, int]) -> str:
    M, N, K = shape
    return f"M{M}-N{N}-K{K}"


@functools.lru_cache(maxsize=1)
def operands(shape: tuple[int, int, int]) -> tuple[Array, Array, Array, Array]:
    """Gives a [M, K] and w [K, N], as s8 and as f32 of the same values / 64."""
    M, N, K = shape
    random = np.random.default_rng(M + N + K)
    a = random.integers(-127, 128, (M, K), np.int8)
    w = random.integers(-127, 128, (K, N), np.int8)
    return a, w, a.astype(np.float32) / 64, w.astype(np.float32) / 64


def output_scale(K: int) -> np.float32:
    """Brings sums of K products of such values, whose deviation is 73, to a deviation of 40."""
    return np.float32(40 / (73 * 73 * np.sqrt(K)))


def pyruntime_f32(shape: tuple[int, int, int]) -> Subject:
    _, _, a, w = operands(shape)
    return peers.own_step("gemm", [a, w], [("f32", (a.shape[0], w.shape[1]))])


def pyruntime_s32(shape: tuple[int, int, int]) -> Subject:
    a, w, _, _ = operands(shape)
    return peers.own_step("gemm", [a, w], [("s32", (a.shape[0], w.shape[1]))])


def pyruntime_s8(shape: tuple[int, int, int]) -> Subject:
    a, w, _, _ = operands(shape)
    scale = np.full(w.shape[1], output_scale(w.shape[0]), np.float32)
    return peers.own_step("gemm", [a, w, None, scale], [("s8", (a.shape[0], w.shape[1]))])


def numpy_f32(shape: tuple[int, int, int]) -> Subject:
    _, _, a, w = operands(shape)
    return peers.numpy_product(a, w)


def onnxruntime_f32(shape: tuple[int, int, int]) -> Subject:
    _, _, a, w = operands(shape)
    return onnxruntime_product("MatMul", a, {"w": w}, "FLOAT", "FLOAT", w.shape[1])


def onnxruntime_s32(shape: tuple[int, int, int]) -> Subject:
    a, w, _, _ = operands(shape)
    constants = {"w": w, "a_zero_point": np.uint8(128), "w_zero_point": np.int8(0)}
    return onnxruntime_product("MatMulInteger", shifted(a), constants, "UINT8", "INT32", w.shape[1])


def onnxruntime_s8(shape: tuple[int, int, int]) -> Subject:
    a, w, _, _ = operands(shape)
    one, middle = np.float32(1), np.uint8(128)
    constants = {
        "a_scale": one,
        "a_zero_point": middle,
        "w": w,
        "w_scale": output_scale(w.shape[0]),
        "w_zero_point": np.int8(0),
        "y_scale": one,
        "y_zero_point": middle,
    }
    subject = onnxruntime_product(
        "QLinearMatMul", shifted(a), constants, "UINT8", "UINT8", w.shape[1]
    )
    return Subject(subject.run, lambda: subject.result().astype(np.int32) - 128, subject.info)


def shifted(a: Array) -> Array:
    """u8 = s8 + 128: onnxruntime is fast for u8 times s8 only."""
    return (a.astype(np.int16) + 128).astype(np.uint8)


def onnxruntime_product(
    operator: str, a: Array, constants: dict[str, Any], a_type: str, y_type: str, N: int
) -> Subject:
    M = a.shape[0]
    arrays = {name: np.asarray(array) for name, array in constants.items()}
    names = ["a", *arrays]
    if operator == "MatMulInteger":
        names = ["a", "w", "a_zero_point", "w_zero_point"]
    model = peers.onnx_chain(
        [(operator, names, "y")], {"a": (a_type, a.shape)}, arrays, (y_type, (M, N))
    )
    subject = peers.onnxruntime_model(model, {"a": a})
    return replace(subject, info={**subject.info, "saturates": a_type == "UINT8"})


SUBJECTS: dict[str, dict[str, Callable[[tuple[int, int, int]], Subject]]] = {
    "f32": {"pyruntime": pyruntime_f32, "onnxruntime": onnxruntime_f32, "numpy": numpy_f32},
    "s8s32": {"pyruntime": pyruntime_s32, "onnxruntime": onnxruntime_s32},
    "s8": {"pyruntime": pyruntime_s8, "onnxruntime": onnxruntime_s8},
}
CASES = [
    pytest.param(shape, dtype, name, build, id=f"{shape_id(shape)}-{dtype}-t1-{name}")
    for shape in SHAPES
    for dtype, subjects in SUBJECTS.items()
    for name, build in subjects.items()
]


@pytest.mark.parametrize(("shape", "dtype", "name", "build"), CASES)
def bench_gemm(
    benchmark: Any,
    shape: tuple[int, int, int],
    dtype: str,
    name: str,
    build: Callable[[tuple[int, int, int]], Subject],
) -> None:
    M, N, K = shape
    a, w, a_f32, w_f32 = operands(shape)
    if dtype == "f32":
        expected, tolerance = a_f32.astype(np.float64) @ w_f32, 1e-5 * K
    else:
        expected, tolerance = a.astype(np.float64) @ w, 0.0
    if dtype == "s8":
        expected = np.clip(np.rint(expected * output_scale(K)), -128, 127)
        tolerance = 1.0  # where f32 lies close to a half
    peers.measure(
        benchmark,
        build(shape),
        group=shape_id(shape),
        operations=2 * M * N * K,
        expected=expected,
        tolerance=tolerance,
        subject=name,
        dtype=dtype,
    )

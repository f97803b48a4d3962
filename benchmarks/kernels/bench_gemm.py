"""Dense matrix products, weights known beforehand: f32, int8 to s32, and int8 to int8 requantised.

Every engine in one run. The int8 values are normally distributed, as trained weights are: uniform
ones would keep `pyruntime` from its faster product and saturate the peers' sums more often.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import engines, litert, peers
from benchmarks.peers import Array, Subject

# (M, N, K): vectors, few rows, transformer layers, 1x1 convolutions, squares.
SHAPES = (
    (1, 1024, 1024),
    (1, 4096, 4096),
    (16, 1024, 1024),
    (128, 768, 768),
    (128, 3072, 768),
    (128, 768, 3072),
    (784, 128, 128),
    (3136, 64, 64),
    (512, 512, 512),
    (1024, 1024, 1024),
)
# Of the normally distributed 8-bit values.
DEVIATION = 32


def shape_id(shape: tuple[int, int, int]) -> str:
    M, N, K = shape
    return f"M{M}-N{N}-K{K}"


@functools.lru_cache(maxsize=1)
def operands(shape: tuple[int, int, int]) -> tuple[Array, Array, Array, Array]:
    """Gives a [M, K] and w [K, N], as s8 and as f32 of about the same values / 64."""
    M, N, K = shape
    random = np.random.default_rng(M + N + K)
    values = [random.normal(scale=DEVIATION, size=s).astype(np.float32) for s in ((M, K), (K, N))]
    a, w = (np.clip(np.rint(v), -127, 127).astype(np.int8) for v in values)
    return a, w, values[0] / 64, values[1] / 64


@functools.lru_cache(maxsize=1)
def exact(shape: tuple[int, int, int]) -> tuple[Array, Array]:
    """The products as float64, of the f32 and of the s8 operands."""
    a, w, a_f32, w_f32 = operands(shape)
    return a_f32.astype(np.float64) @ w_f32, a.astype(np.float64) @ w


def output_scale(K: int) -> np.float32:
    """Brings sums of K products of such values to a deviation of 40."""
    return np.float32(40 / (DEVIATION**2 * np.sqrt(K)))


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
    return offset_result(subject)


def openvino_f32(shape: tuple[int, int, int]) -> Subject:
    _, _, a, w = operands(shape)
    ends = {"a": ("FLOAT", a.shape)}, ("FLOAT", (a.shape[0], w.shape[1]))
    model = peers.onnx_chain([("MatMul", ["a", "w"], "y")], ends[0], {"w": w}, ends[1])
    return engines.openvino_model(model, {"a": a})


def openvino_s8(shape: tuple[int, int, int]) -> Subject:
    a, w, _, _ = operands(shape)
    model = peers.quantized_chain(
        "MatMul", a.shape, w, output_scale(w.shape[0]), (a.shape[0], w.shape[1])
    )
    return offset_result(engines.openvino_model(model, {"a": shifted(a)}))


def offset_result(subject: Subject) -> Subject:
    """Of a u8 subject: the values without their offset of 128."""
    info = {**subject.info, "saturates": True}
    return Subject(subject.run, lambda: subject.result().astype(np.int32) - 128, info)


def litert_f32(shape: tuple[int, int, int]) -> Subject:
    _, _, a, w = operands(shape)
    return litert.dense(a, w, None)


def litert_s8(shape: tuple[int, int, int]) -> Subject:
    a, w, _, _ = operands(shape)
    return litert.dense(a, w, np.full(w.shape[1], output_scale(w.shape[0])))


def torch_s8(shape: tuple[int, int, int]) -> Subject:
    a, w, _, _ = operands(shape)
    return engines.torch_quantized_product(a, w, float(output_scale(w.shape[0])))


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
    "f32": {
        "pyruntime": pyruntime_f32,
        "numpy": numpy_f32,
        "torch": lambda shape: engines.torch_product(*operands(shape)[2:]),
        "onnxruntime": onnxruntime_f32,
        "openvino": openvino_f32,
        "litert": litert_f32,
        "ncnn": lambda shape: engines.ncnn_product(*operands(shape)[2:]),
    },
    "s8": {
        "pyruntime": pyruntime_s8,
        "torch": torch_s8,
        "onnxruntime": onnxruntime_s8,
        "openvino": openvino_s8,
        "litert": litert_s8,
    },
    "s8s32": {
        "pyruntime": pyruntime_s32,
        "torch": lambda shape: engines.torch_int_product(*operands(shape)[:2]),
        "onnxruntime": onnxruntime_s32,
    },
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
    product_f32, product = exact(shape)
    expected, tolerance = (product_f32, 1e-5 * K) if dtype == "f32" else (product, 0.0)
    if dtype == "s8":
        expected = np.clip(np.rint(product * output_scale(K)), -128, 127)
        tolerance = 1.0  # where f32 lies close to a half
    peers.measure(
        benchmark,
        build(shape),
        group=shape_id(shape),
        operations=2 * M * N * K,
        weight_bytes=N * K * (4 if dtype == "f32" else 1) if M == 1 else 0,
        expected=expected,
        tolerance=tolerance,
        subject=name,
        dtype=dtype,
    )


HALF_SHAPES = ((1, 1024, 1024), (1, 4096, 4096), (16, 1024, 1024))


@pytest.mark.parametrize("name", ["pyruntime", "pyruntime-f32"])
@pytest.mark.parametrize("shape", HALF_SHAPES, ids=shape_id)
def bench_half_weights(benchmark: Any, shape: tuple[int, int, int], name: str) -> None:
    """Weights that half floats hold exactly, against weights that need all of f32."""
    M, N, K = shape
    _, _, a, w = operands(shape)
    if name == "pyruntime":
        w = w.astype(np.float16).astype(np.float32)
    peers.measure(
        benchmark,
        peers.own_step("gemm", [a, w], [("f32", (M, N))]),
        group=shape_id(shape),
        operations=2 * M * N * K,
        expected=a.astype(np.float64) @ w,
        tolerance=1e-5 * K,
        subject=name,
        dtype="f32",
    )

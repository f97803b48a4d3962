"""What lies between matrix products: softmax, layer norm, GELU, 8-bit functions, quantisation.

`lookup` is any function from 8 bits to 8 bits (here tanh) by a table; `pyruntime-f32-gelu` beside
it is what the function would cost in float.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from benchmarks import engines, litert, peers
from benchmarks.peers import Array, Subject

# (rows, columns): a transformer's activations, its attention weights, a convolution's output.
SHAPES = ((128, 768), (1536, 128), (3136, 64))
Shape = tuple[int, int]
EPSILON = 1e-5


@functools.lru_cache(maxsize=1)
def operand(shape: Shape) -> Array:
    return np.random.default_rng(shape[0]).normal(scale=2, size=shape).astype(np.float32)


def operand_s8(shape: Shape) -> Array:
    return np.clip(np.rint(operand(shape) * 16), -128, 127).astype(np.int8)


def table() -> Array:
    """[256] s8: tanh of x / 16, in steps of 1 / 128."""
    x = np.arange(-128, 128) / 16
    return np.clip(np.rint(np.tanh(x) * 128), -128, 127).astype(np.int8)


def exact_lookup(x: Array) -> Array:
    """What the table gives for the 8-bit values of x."""
    q = np.clip(np.rint(x * 16), -128, 127)
    return np.clip(np.rint(np.tanh(q / 16) * 128), -128, 127)


def affine(shape: Shape) -> tuple[Array, Array]:
    random = np.random.default_rng(1)
    return random.normal(size=shape[1]).astype("f4"), random.normal(size=shape[1]).astype("f4")


def numpy_softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy_layer_norm(x: Array) -> Array:
    scale, bias = affine(x.shape)
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + x.dtype.type(EPSILON)) * scale + bias


def numpy_gelu_tanh(x: Array) -> Array:
    one = x.dtype.type
    inner = one(math.sqrt(2 / math.pi)) * (x + one(0.044715) * x * x * x)
    return one(0.5) * x * (one(1) + np.tanh(inner))


def numpy_gelu(x: Array) -> Array:
    """By scipy: numpy has no erf."""
    erf = peers.require("scipy.special").erf
    one = x.dtype.type
    return one(0.5) * x * (one(1) + erf(x * one(math.sqrt(0.5))))


def numpy_quantize(x: Array) -> Array:
    return np.clip(np.rint(x * np.float32(16)), -128, 127).astype(np.int8)


def own(family: str, dtype: str = "f32", **attributes: Any) -> Callable[[Shape], Subject]:
    def build(shape: Shape) -> Subject:
        extra: list[Array] = []
        if family == "layer_norm":
            extra = list(affine(shape))
        elif family == "lookup":
            extra = [table()]
        elif family == "quantize":
            extra = [np.asarray([1 / 16], np.float32)]
        x = operand_s8(shape) if family == "lookup" else operand(shape)
        return peers.own_step(family, [x, *extra], [(dtype, shape)], attributes)

    return build


def by_numpy(function: Callable[[Array], Array]) -> Callable[[Shape], Subject]:
    def build(shape: Shape) -> Subject:
        x = operand(shape)
        return Subject(lambda: function(x), lambda: function(x), {})

    return build


def by_torch(name: str) -> Callable[[Shape], Subject]:
    def build(shape: Shape) -> Subject:
        torch = engines.torch_module()
        x = torch.from_numpy(operand(shape))
        scale, bias = (torch.from_numpy(part) for part in affine(shape))
        function = torch.nn.functional
        calls = {
            "softmax": lambda: function.softmax(x, -1),
            "layer_norm": lambda: function.layer_norm(x, shape[1:], scale, bias, EPSILON),
            "gelu": lambda: function.gelu(x),
            "gelu_tanh": lambda: function.gelu(x, approximate="tanh"),
        }
        return engines.torch_call(calls[name])

    return build


def model(name: str, shape: Shape) -> peers.Model:
    """The ONNX operator."""
    scale, bias = affine(shape)
    constants: dict[str, Array] = {}
    attributes: dict[str, Any] = {}
    out = "FLOAT"
    if name == "layer_norm":
        constants = {"scale": scale, "bias": bias}
        attributes = {"axis": -1, "epsilon": EPSILON}
    elif name == "gelu_tanh":
        attributes = {"approximate": "tanh"}
    elif name == "quantize":
        constants = {"scale": np.asarray(1 / 16, np.float32), "zero": np.asarray(0, np.int8)}
        out = "INT8"
    operator = {
        "softmax": "Softmax",
        "layer_norm": "LayerNormalization",
        "gelu": "Gelu",
        "gelu_tanh": "Gelu",
        "quantize": "QuantizeLinear",
    }[name]
    nodes = [(operator, ["a", *constants], "y")]
    ends = {"a": ("FLOAT", shape)}, (out, shape)
    return peers.onnx_chain(nodes, ends[0], constants, ends[1], {operator: attributes})


def by_onnxruntime(name: str) -> Callable[[Shape], Subject]:
    return lambda shape: peers.onnxruntime_model(model(name, shape), {"a": operand(shape)})


def by_openvino(name: str) -> Callable[[Shape], Subject]:
    return lambda shape: engines.openvino_model(model(name, shape), {"a": operand(shape)})


def by_litert(
    name: str, options: str = "", scales: tuple[float, float] | None = None, **fields: Any
) -> Callable[[Shape], Subject]:
    def build(shape: Shape) -> Subject:
        x = operand_s8(shape) if scales else operand(shape)
        return litert.unary(name, x, options, scales, **fields)

    return build


def by_ncnn(layer: str) -> Callable[[Shape], Subject]:
    def build(shape: Shape) -> Subject:
        return engines.ncnn_model(layer.format(n=shape[1]), [], operand(shape))

    return build


@dataclass(frozen=True, slots=True)
class Operation:
    """Its engines; `exact` computes it from float64 (8-bit: any) inputs."""

    exact: Callable[[Array], Array]
    subjects: dict[str, Callable[[Shape], Subject]]
    tolerance: float = 1e-5
    dtype: str = "f32"


def float_subjects(
    name: str, function: Callable[[Array], Array], family: str, **attributes: Any
) -> dict[str, Callable[[Shape], Subject]]:
    """Those that every function of floats has."""
    return {
        "pyruntime": own(family, **attributes),
        "numpy": by_numpy(function),
        "torch": by_torch(name),
        "onnxruntime": by_onnxruntime(name),
        "openvino": by_openvino(name),
    }


OPERATIONS = {
    "softmax": Operation(
        numpy_softmax,
        {
            **float_subjects("softmax", numpy_softmax, "softmax", axis=1),
            "litert": by_litert("SOFTMAX", "SoftmaxOptions", beta=1.0),
            "ncnn": by_ncnn("Softmax s 1 1 a y 0=1 1=1"),
        },
    ),
    "layer_norm": Operation(
        numpy_layer_norm,
        float_subjects("layer_norm", numpy_layer_norm, "layer_norm", axis=1, epsilon=EPSILON),
    ),
    "gelu": Operation(
        numpy_gelu,
        {
            **float_subjects("gelu", numpy_gelu, "elementwise", op="gelu"),
            "litert": by_litert("GELU", "GeluOptions", approximate=False),
        },
    ),
    "gelu_tanh": Operation(
        numpy_gelu_tanh,
        {
            **float_subjects("gelu_tanh", numpy_gelu_tanh, "elementwise", op="gelu_tanh"),
            "litert": by_litert("GELU", "GeluOptions", approximate=True),
        },
    ),
    "lookup": Operation(
        exact_lookup,
        {
            "pyruntime": own("lookup", "s8"),
            "pyruntime-f32-gelu": own("elementwise", op="gelu"),
            "litert": by_litert("TANH", scales=(1 / 16, 1 / 128)),
        },
        tolerance=1.0,  # LiteRT rounds its table otherwise
        dtype="s8",
    ),
    "quantize": Operation(
        lambda x: np.clip(np.rint(x * 16), -128, 127),
        {
            "pyruntime": own("quantize", "s8"),
            "numpy": by_numpy(numpy_quantize),
            "onnxruntime": by_onnxruntime("quantize"),
            "openvino": by_openvino("quantize"),
        },
        dtype="s8",
    ),
}
CASES = [
    pytest.param(name, shape, subject, id=f"{name}-{shape[0]}x{shape[1]}-t1-{subject}")
    for name, operation in OPERATIONS.items()
    for shape in SHAPES
    for subject in operation.subjects
]


@pytest.mark.parametrize(("name", "shape", "subject"), CASES)
def bench_elementwise(benchmark: Any, name: str, shape: Shape, subject: str) -> None:
    operation = OPERATIONS[name]
    computes_it = subject != "pyruntime-f32-gelu"
    exact = operation.exact(operand(shape).astype(np.float64)) if computes_it else None
    peers.measure(
        benchmark,
        operation.subjects[subject](shape),
        group=f"{name}-{shape[0]}x{shape[1]}",
        operations=shape[0] * shape[1],
        expected=exact,
        tolerance=operation.tolerance,
        subject=subject,
        dtype=operation.dtype,
    )

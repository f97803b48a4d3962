"""QLinearConv and QLinearMatMul. Passes write them as Q/DQ pairs first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import DTypeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example_ints
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._quantization import (
    product_scale,
    saturating_round,
)
from pyruntime.ops._requantize import widen, wrap
from pyruntime.ops.conv import Geometry, convolve, read_geometry, resolve
from pyruntime.ops.matmul import matmul_dims

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value

EIGHT_BITS = (DType.S8, DType.U8)


@dataclass(frozen=True, slots=True)
class QLinearConvAttributes(Geometry):
    """Inputs: x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, bias?."""


@dataclass(frozen=True, slots=True)
class QLinearMatMulAttributes:
    """Inputs: a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point."""


def _conv_from_onnx(node: OnnxNode) -> tuple[QLinearConvAttributes, list[Value | None]]:
    return QLinearConvAttributes(**read_geometry(node, weight=3)), list(node.inputs)


def _matmul_from_onnx(node: OnnxNode) -> tuple[QLinearMatMulAttributes, list[Value | None]]:
    return QLinearMatMulAttributes(), list(node.inputs)


def _check(inputs: Sequence[Value | None]) -> DType:
    for index in (0, 2, 3, 5, 7):
        dtype = required(inputs, index).dtype
        if dtype not in EIGHT_BITS:
            raise DTypeError(f"input {index} is {dtype}; this operator takes s8 and u8")
    return required(inputs, 7).dtype


def _infer_conv(
    attributes: QLinearConvAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, w = required(inputs, 0), required(inputs, 3)
    dtype = _check(inputs)
    geometry = resolve(attributes, x.dims, w.dims)
    return [ValueType(dtype, (x.dims[0], w.dims[0], *geometry.outputs))]


def _infer_matmul(
    attributes: QLinearMatMulAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    dtype = _check(inputs)
    return [ValueType(dtype, matmul_dims(required(inputs, 0).dims, required(inputs, 3).dims))]


def _in_column(parameter: Array, column: tuple[int, ...]) -> Array:
    return parameter.reshape(()) if parameter.size == 1 else parameter.reshape(column)


def _reference_conv(
    attributes: QLinearConvAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (
        required(inputs, i) for i in range(8)
    )
    column = (-1,) + (1,) * (x.ndim - 2)
    shifted = widen(w) - _in_column(w_zero.astype(np.float64), (*column, 1))
    acc = wrap(convolve(attributes, widen(x, int(x_zero.reshape(()))), shifted))
    bias = optional(inputs, 8)
    if bias is not None:
        acc = wrap(acc.astype(np.int64) + bias.astype(np.int64).reshape(column))
    f = acc.astype(np.float32) * _in_column(product_scale(x_scale, w_scale, y_scale), column)
    return [saturating_round(f, int(y_zero.reshape(())), DType.of(y_zero))]


def _reference_matmul(
    attributes: QLinearMatMulAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (
        required(inputs, i) for i in range(8)
    )
    left = widen(a) - _per_row(a_zero.astype(np.float64), a.ndim)
    right = widen(b) - b_zero.astype(np.float64)
    acc = wrap(np.asarray(np.matmul(left, right)))
    # Rows and columns broadcast against the product as they are.
    exact = _per_row(a_scale.astype(np.float64), a.ndim) * b_scale.astype(np.float64)
    f = acc.astype(np.float32) * (exact / y_scale.astype(np.float64)).astype(np.float32)
    return [np.asarray(saturating_round(f, y_zero.astype(np.int32), DType.of(y_zero)))]


def _per_row(parameter: Array, rank: int) -> Array:
    """A vector of one element per row of a matrix, as a column."""
    return (
        parameter.reshape(-1, 1)
        if parameter.ndim == 1 and parameter.size > 1 and rank > 1
        else parameter
    )


def _f32(*values: float) -> Array:
    return np.asarray(values if len(values) != 1 else values[0], np.float32)


def _u8(*shape: int, seed: int = 0) -> Array:
    return example_ints(*shape, lo=0, hi=255, dtype=np.uint8, seed=seed)


_SIGNED_W = (example_ints(3, 2, 3, 2, seed=1), _f32(0.01, 0.02, 0.005), np.zeros(3, np.int8))

QLINEAR_CONV = Operator(
    name="QLinearConv",
    attributes=QLinearConvAttributes,
    from_onnx={10: _conv_from_onnx},
    infer=_infer_conv,
    reference=_reference_conv,
    cases=(
        Case(
            "u8-per-channel",
            QLinearConvAttributes(pads=(1, 0, 1, 1)),
            (
                _u8(1, 2, 5, 6),
                _f32(0.02),
                np.asarray(110, np.uint8),
                *_SIGNED_W,
                _f32(0.05),
                np.asarray(7, np.uint8),
                example_ints(3, lo=-900, hi=900, dtype=np.int32),
            ),
        ),
        Case(
            "s8-u8-weights",
            QLinearConvAttributes(strides=(2, 2)),
            (
                example_ints(1, 2, 5, 6),
                _f32(0.02),
                np.asarray(-4, np.int8),
                _u8(3, 2, 2, 2),
                _f32(0.02),
                np.asarray(128, np.uint8),
                _f32(0.05),
                np.asarray(7, np.int8),
            ),
        ),
    ),
)
QLINEAR_MATMUL = Operator(
    name="QLinearMatMul",
    attributes=QLinearMatMulAttributes,
    from_onnx={10: _matmul_from_onnx},
    infer=_infer_matmul,
    reference=_reference_matmul,
    cases=(
        Case(
            "u8",
            QLinearMatMulAttributes(),
            (
                _u8(2, 5, 7),
                _f32(0.02),
                np.asarray(110, np.uint8),
                _u8(7, 3, seed=1),
                _f32(0.01),
                np.asarray(128, np.uint8),
                _f32(0.1),
                np.asarray(100, np.uint8),
            ),
        ),
        Case(
            "s8-no-rows",
            QLinearMatMulAttributes(),
            (
                example_ints(0, 7),
                _f32(0.02),
                np.asarray(0, np.int8),
                example_ints(7, 3),
                _f32(0.01),
                np.asarray(0, np.int8),
                _f32(0.1),
                np.asarray(-3, np.int8),
            ),
        ),
    ),
)
OPERATORS: tuple[Operator, ...] = (QLINEAR_CONV, QLINEAR_MATMUL)

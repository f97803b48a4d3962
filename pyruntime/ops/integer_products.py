"""MatMulInteger and ConvInteger: products of 8-bit integers whose result is the s32 accumulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import DTypeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example_ints
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._quantization import lower_signed, shifted_to_s8, zero_point_of
from pyruntime.ops._requantize import widen, wrap
from pyruntime.ops._spatial import crops
from pyruntime.ops.conv import Geometry, convolve, read_geometry, resolve
from pyruntime.ops.matmul import lower_gemm, matmul_dims

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class MatMulIntegerAttributes:
    """Inputs: a, b, a_zero_point?, b_zero_point? (scalars, or one per row of a / column of b)."""


@dataclass(frozen=True, slots=True)
class ConvIntegerAttributes(Geometry):
    """Inputs: x, w, x_zero_point? (scalar), w_zero_point? (scalar, or one per output channel)."""


def _matmul_from_onnx(node: OnnxNode) -> tuple[MatMulIntegerAttributes, list[Value | None]]:
    return MatMulIntegerAttributes(), list(node.inputs)


def _conv_from_onnx(node: OnnxNode) -> tuple[ConvIntegerAttributes, list[Value | None]]:
    return ConvIntegerAttributes(**read_geometry(node)), list(node.inputs)


def _check(inputs: Sequence[Value | None]) -> None:
    for index in range(4):
        value = optional(inputs, index)
        if value is not None and value.dtype not in (DType.S8, DType.U8):
            raise DTypeError(f"input {index} is {value.dtype}; this operator takes s8 and u8")


def _infer_matmul(
    attributes: MatMulIntegerAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    _check(inputs)
    return [ValueType(DType.S32, matmul_dims(required(inputs, 0).dims, required(inputs, 1).dims))]


def _infer_conv(
    attributes: ConvIntegerAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    _check(inputs)
    x, w = required(inputs, 0), required(inputs, 1)
    geometry = resolve(attributes, x.dims, w.dims)
    return [ValueType(DType.S32, (x.dims[0], w.dims[0], *geometry.outputs))]


def _zero(zero_point: Array | None, column: tuple[int, ...]) -> Array:
    if zero_point is None:
        return np.zeros(())
    exact = zero_point.astype(np.float64)
    if exact.size == 1:
        return exact.reshape(())
    return exact.reshape(column) if exact.ndim == 1 else exact


def _reference_matmul(
    attributes: MatMulIntegerAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    a, b = required(inputs, 0), required(inputs, 1)
    left = widen(a) - _zero(optional(inputs, 2), (-1, 1))
    right = widen(b) - _zero(optional(inputs, 3), (1, -1))
    return [wrap(np.asarray(np.matmul(left, right)))]


def _reference_conv(
    attributes: ConvIntegerAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, w = required(inputs, 0), required(inputs, 1)
    left = widen(x) - _zero(optional(inputs, 2), ())
    right = widen(w) - _zero(optional(inputs, 3), (-1,) + (1,) * (w.ndim - 1))
    return [wrap(convolve(attributes, left, right))]


def _signed_weights(node: Node, column: tuple[int, ...]) -> Array | None:
    """The s8 values w - w_zero_point, or None where it is not constant or does not fit."""
    w = required(node.inputs, 1)
    zero_point = zero_point_of(optional(node.inputs, 3))
    if w.constant is None or zero_point is None or zero_point.ndim > 1:
        return None
    return shifted_to_s8(w.constant, zero_point, column)


def _lower_matmul(node: Node, lowering: Lowering) -> None:
    a, b = required(node.inputs, 0), required(node.inputs, 1)
    zero_value = optional(node.inputs, 2)
    zero_point = zero_point_of(zero_value)
    weights = _signed_weights(node, (-1,)) if len(b.dims) == 2 else None
    scalar = zero_value is None or zero_value.dims in ((), (1,))
    if weights is None or not scalar:
        lowering.host(node)
        return
    signed, shift = lower_signed(lowering, a)
    right = lowering.constant(weights)
    if zero_point is not None:
        zero = int(zero_point.reshape(())) - shift
        _write_gemm(lowering, [signed, right], node.outputs[0], zero)
        return
    # The zero point is computed, as by DynamicQuantizeLinear: subtract zero_point * column sums.
    assert zero_value is not None
    columns = lowering.constant(weights.astype(np.int32).sum(0, dtype=np.int32))
    product = lowering.temporary(DType.S32, node.outputs[0].dims)
    _write_gemm(lowering, [signed, right], product, 0)
    zero_s32 = lowering.temporary(DType.S32, zero_value.dims)
    lowering.step("cast", [zero_value], [zero_s32])
    shifted = lowering.temporary(DType.S32, zero_value.dims)
    offset = lowering.constant(np.asarray(shift, np.int32))
    lowering.step("elementwise", [zero_s32, offset], [shifted], op="sub")
    correction = lowering.temporary(DType.S32, columns.dims)
    lowering.step("elementwise", [shifted, columns], [correction], op="mul")
    lowering.step("elementwise", [product, correction], [node.outputs[0]], op="sub")


def _write_gemm(lowering: Lowering, operands: list[Value], y: Value, zero_point: int) -> None:
    padded = [*operands, None, None, None, None]
    lower_gemm(lowering, padded, y, trans_a=False, trans_b=False, x_zero_point=zero_point)


def _lower_conv(node: Node, lowering: Lowering) -> None:
    attributes: ConvIntegerAttributes = node.attributes
    x, w = required(node.inputs, 0), required(node.inputs, 1)
    zero_point = zero_point_of(optional(node.inputs, 2))
    weights = _signed_weights(node, (-1,) + (1,) * (len(w.dims) - 1))
    native = len(x.dims) in (3, 4) and not crops(attributes.pads)
    if weights is None or zero_point is None or not native:
        lowering.host(node)
        return
    geometry = resolve(attributes, x.dims, w.dims)
    signed, shift = lower_signed(lowering, x)
    lowering.step(
        "conv",
        [signed, lowering.constant(weights), None, None, None, None],
        node.outputs,
        kernel=list(geometry.kernel),
        strides=list(geometry.strides),
        pads=list(geometry.pads),
        dilations=list(geometry.dilations),
        group=attributes.group,
        x_zero_point=int(zero_point.reshape(())) - shift,
    )


def _u8(*shape: int, seed: int = 0) -> Array:
    return example_ints(*shape, lo=0, hi=255, dtype=np.uint8, seed=seed)


MATMUL_INTEGER = Operator(
    name="MatMulInteger",
    attributes=MatMulIntegerAttributes,
    from_onnx={10: _matmul_from_onnx},
    infer=_infer_matmul,
    reference=_reference_matmul,
    lower=_lower_matmul,
    cases=(
        Case(
            "u8-s8",
            MatMulIntegerAttributes(),
            (_u8(2, 5, 7), example_ints(7, 3), np.asarray(110, np.uint8), np.asarray(0, np.int8)),
        ),
        Case(
            "rows-and-columns",
            MatMulIntegerAttributes(),
            (_u8(4, 7), _u8(7, 3), _u8(4, seed=2), _u8(3, seed=3)),
        ),
        Case("no-zero-points", MatMulIntegerAttributes(), (example_ints(7), example_ints(7, 3))),
        Case("empty", MatMulIntegerAttributes(), (_u8(0, 7), example_ints(7, 3))),
    ),
)
CONV_INTEGER = Operator(
    name="ConvInteger",
    attributes=ConvIntegerAttributes,
    from_onnx={10: _conv_from_onnx},
    infer=_infer_conv,
    reference=_reference_conv,
    lower=_lower_conv,
    cases=(
        Case(
            "u8-pads",
            ConvIntegerAttributes(pads=(1, 1, 0, 1)),
            (_u8(1, 3, 6, 5), _u8(4, 3, 2, 3), np.asarray(90, np.uint8), np.asarray(128, np.uint8)),
        ),
        Case(
            "s8-per-channel",
            ConvIntegerAttributes(group=2),
            (
                example_ints(1, 4, 6, 5),
                example_ints(4, 2, 2, 3),
                np.asarray(3, np.int8),
                example_ints(4, lo=-3, hi=3),
            ),
        ),
    ),
)
OPERATORS: tuple[Operator, ...] = (MATMUL_INTEGER, CONV_INTEGER)

"""Scales and zero points of ONNX's quantised operators, and what passes ask about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.types import DType
from pyruntime.ops._inputs import normal_axis, optional, required
from pyruntime.ops._operator import Array, Lowering

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value
    from pyruntime.ops.quantize_linear import DequantizeAttributes, QuantizeAttributes

RANGES = {
    DType.U8: (0, 255),
    DType.S8: (-128, 127),
    DType.U16: (0, 65535),
    DType.S16: (-32768, 32767),
    DType.U4: (0, 15),
    DType.S4: (-8, 7),
}


@dataclass(frozen=True, slots=True)
class QuantizationConstants:
    """Constant parameters of a QuantizeLinear or DequantizeLinear.

    Attributes:
        scale: f32, one element or one per index of `axis`.
        zero_point: s64, as many elements as scale.
        axis: the axis that they run along; None where there is one of each for the tensor.
    """

    scale: Array
    zero_point: Array
    axis: int | None


def spread_parameter(parameter: Array, shape: Sequence[int], axis: int, block_size: int) -> Array:
    """A scale or zero point in a shape that broadcasts against data of `shape`.

    Raises:
        ShapeError: it fits none of the three granularities.
    """
    if parameter.size == 1 and block_size == 0:
        return parameter.reshape(())
    axis = normal_axis(axis, len(shape))
    if block_size == 0:
        if parameter.ndim != 1 or parameter.size != shape[axis]:
            raise ShapeError(
                f"scale or zero point has dims {list(parameter.shape)}; axis {axis} of "
                f"{list(shape)} needs [{shape[axis]}]"
            )
        return parameter.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    repeated = np.repeat(parameter, block_size, axis)
    index = tuple(slice(0, size) for size in shape)
    if parameter.ndim != len(shape) or repeated.shape[axis] < shape[axis]:
        raise ShapeError(
            f"scale or zero point of dims {list(parameter.shape)} with blocks of {block_size} "
            f"along axis {axis} does not cover {list(shape)}"
        )
    return np.asarray(repeated[index])


def quantization_constants(node: Node) -> QuantizationConstants | None:
    """Scale and zero point of a QuantizeLinear or DequantizeLinear, for passes.

    Returns:
        None where they are not constant, not f32, or blocked.
    """
    attributes: QuantizeAttributes | DequantizeAttributes = node.attributes
    x, scale = required(node.inputs, 0), required(node.inputs, 1)
    zero_point = optional(node.inputs, 2)
    if scale.constant is None or scale.dtype is not DType.F32 or attributes.block_size:
        return None
    if zero_point is not None and zero_point.constant is None:
        return None
    flat = scale.constant.reshape(-1)
    zeros = (
        np.zeros(flat.size, np.int64)
        if zero_point is None or zero_point.constant is None
        else zero_point.constant.astype(np.int64).reshape(-1)
    )
    if flat.size == 0 or zeros.size != flat.size:
        return None
    if flat.size == 1:
        return QuantizationConstants(flat, zeros, None)
    return QuantizationConstants(flat, zeros, normal_axis(attributes.axis, len(x.dims)))


def saturating_round(f: Array, zero_point: Array | int, out: DType) -> Array:
    """Rounds f half to even, adds the zero point, saturates; NaN gives the zero point."""
    lo, hi = RANGES[out]
    exact = np.rint(f.astype(np.float64))
    exact = np.where(np.isnan(exact), 0.0, exact) + zero_point
    return np.clip(exact, lo, hi).astype(np.int32).astype(out.numpy)


def product_scale(x_scale: Array, w_scale: Array, y_scale: Array | None = None) -> Array:
    """The scale of x * scale of w / scale of y: float64, rounded to f32 once; flat."""
    exact = x_scale.astype(np.float64).reshape(-1) * w_scale.astype(np.float64).reshape(-1)
    if y_scale is not None:
        exact = exact / y_scale.astype(np.float64).reshape(-1)
    return exact.astype(np.float32)


def shifted_to_s8(w: Array, zero_point: Array | int, column: tuple[int, ...] = ()) -> Array | None:
    """The s8 values w - zero_point, or None where it does not fit.

    Args:
        w: u8 or s8 weights.
        zero_point: one, or one per index of an axis.
        column: the shape in which several zero points broadcast against w.
    """
    zero = np.asarray(zero_point, np.int32)
    shifted = w.astype(np.int32) - zero.reshape(() if zero.size == 1 else column)
    if shifted.size and (shifted.min() < -128 or shifted.max() > 127):
        return None
    return shifted.astype(np.int8)


def zero_point_of(value: Value | None) -> Array | None:
    """The elements of a constant zero point; 0 where it is absent; None where it is computed."""
    return np.zeros((), np.int32) if value is None else value.constant


def lower_signed(lowering: Lowering, x: Value) -> tuple[Value, int]:
    """(x as s8, what to subtract from its zero point); writes a `cast_sign` step for u8."""
    if x.dtype is DType.S8:
        return x, 0
    signed = lowering.temporary(DType.S8, x.dims)
    lowering.step("cast_sign", [x], [signed])
    return signed, 128

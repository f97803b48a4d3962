"""The numerics contract of integer steps in numpy: an independent statement of what kernels give.

Accumulators are exact modulo 2^32. Everything behind them is float32, each operation rounded,
clamped before it is rounded to an integer (docs/design/0002-step-families.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pyruntime.errors import ArgumentError, DTypeError, ShapeError
from pyruntime.graph.types import DType
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value
    from pyruntime.ops.qconv import QConvAttributes
    from pyruntime.ops.qmatmul import QMatMulAttributes


ProductAttributes: TypeAlias = "QConvAttributes | QMatMulAttributes"


def widen(q: Array, zero_point: int = 0) -> Array:
    """The integers q - zero_point as float64.

    Sums of products of two such arrays are exact there up to 2^53, far beyond any layer, and
    float64 products run on BLAS.
    """
    return q.astype(np.float64) - zero_point


def wrap(exact: Array) -> Array:
    """Integers (int64, or float64 below 2^53) modulo 2^32, as int32."""
    return exact.astype(np.int64).astype(np.uint32).view(np.int32)


def round_to_s8(f: Array, zero_point: int, q_lo: int = -128, q_hi: int = 127) -> Array:
    """Clamps f (f32) to [q_lo, q_hi] - zero_point, rounds half to even, adds the zero point."""
    clamped = np.minimum(
        np.maximum(f, np.float32(q_lo - zero_point)), np.float32(q_hi - zero_point)
    )
    return (np.rint(clamped).astype(np.int32) + zero_point).astype(np.int8)


def finish_product(
    attributes: ProductAttributes,
    acc: Array,
    inputs: Sequence[Array | None],
    column: tuple[int, ...],
) -> Array:
    """Bias, scale, residual, clamp and rounding of a product's accumulators.

    Args:
        attributes: zero points, bounds and output type.
        acc: s32, without the bias.
        inputs: x, w, bias?, scale?, residual?, residual_scale?.
        column: the shape in which bias [N] and scale [N] broadcast against acc.

    Returns:
        s8, s32 or f32 of the shape of acc.
    """
    bias, scale = optional(inputs, 2), optional(inputs, 3)
    residual, residual_scale = optional(inputs, 4), optional(inputs, 5)
    if bias is not None:
        acc = wrap(acc.astype(np.int64) + bias.astype(np.int64).reshape(column))
    if scale is None:
        return acc
    with np.errstate(over="ignore"):  # an infinity is clamped like any large value
        f = acc.astype(np.float32) * _in_column(scale, column)
    if residual is not None:
        real = (residual.astype(np.int32) - attributes.residual_zero_point).astype(np.float32)
        f = f + real * required((residual_scale,), 0).astype(np.float32).reshape(())
    if attributes.out is DType.F32:
        return np.minimum(np.maximum(f, np.float32(attributes.lo)), np.float32(attributes.hi))
    return round_to_s8(f, attributes.y_zero_point, attributes.q_lo, attributes.q_hi)


def _in_column(scale: Array, column: tuple[int, ...]) -> Array:
    return scale.reshape(()) if scale.size == 1 else scale.reshape(column)


def check_product(
    attributes: ProductAttributes, inputs: Sequence[Value | None], columns: object
) -> None:
    """Checks dtypes and sizes of bias, scale and residual of a quantised product.

    Raises:
        DTypeError: an input has another type than the contract says.
        ShapeError: bias or scale do not have `columns` elements.
        ArgumentError: the output type asks for a scale, or forbids it.
    """
    wanted = (DType.S8, DType.S8, DType.S32, DType.F32, DType.S8, DType.F32)
    for index, dtype in enumerate(wanted):
        value = optional(inputs, index)
        if value is not None and value.dtype is not dtype:
            raise DTypeError(f"input {index} is {value.dtype}; a quantised product needs {dtype}")
    for index, name in ((2, "bias"), (3, "scale")):
        value = optional(inputs, index)
        fits = (columns,) if index == 2 else (columns, 1)
        if value is not None and (len(value.dims) != 1 or value.dims[0] not in fits):
            raise ShapeError(f"{name} has dims {list(value.dims)}, expected [{columns}]")
    if (attributes.out is DType.S32) != (optional(inputs, 3) is None):
        raise ArgumentError(
            f"output {attributes.out}: s32 goes without a scale, s8 and f32 need one"
        )
    if (optional(inputs, 4) is None) != (optional(inputs, 5) is None):
        raise ArgumentError("residual and residual_scale come together")

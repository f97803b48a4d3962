"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import DTypeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._onnx_types import onnx_dtype
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._quantization import (
    RANGES,
    lower_signed,
    quantization_constants,
    saturating_round,
    spread_parameter,
)

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class QuantizeAttributes:
    """Inputs: x float or s32, y_scale ([], [1], [x.dims[axis]] or blocks), y_zero_point?.

    Attributes:
        axis: that scales run along, or that is blocked.
        block_size: elements along `axis` that share a scale; 0: not blocked.
        out: type of the output.
        precision: type in which the division is done; None: that of y_scale.
    """

    axis: int = 1
    block_size: int = 0
    out: DType = DType.U8
    precision: DType | None = None


@dataclass(frozen=True, slots=True)
class DequantizeAttributes:
    """Inputs: x integer, x_scale ([], [1], [x.dims[axis]] or blocks), x_zero_point?.

    Attributes:
        axis: that scales run along, or that is blocked.
        block_size: elements along `axis` that share a scale; 0: not blocked.
        out: type of the output.
    """

    axis: int = 1
    block_size: int = 0
    out: DType = DType.F32


@dataclass(frozen=True, slots=True)
class DynamicQuantizeAttributes:
    """Input: x f32. Outputs: y u8, scale f32 [], zero_point u8 []."""


def _quantize_from_onnx(node: OnnxNode) -> tuple[QuantizeAttributes, list[Value | None]]:
    found = node.attributes
    zero_point = optional(node.inputs, 2)
    named = int(found.get("output_dtype", 0))
    out = onnx_dtype(named, node.where) if named else DType.U8
    if zero_point is not None:
        out = zero_point.dtype
    if out not in RANGES:
        raise DTypeError(f"{node.where}: output type {out} is not supported; use {list(RANGES)}")
    precision = int(found.get("precision", 0))
    attributes = QuantizeAttributes(
        axis=int(found.get("axis", 1)),
        block_size=int(found.get("block_size", 0)),
        out=out,
        precision=onnx_dtype(precision, node.where) if precision else None,
    )
    return attributes, list(node.inputs)


def _dequantize_from_onnx(node: OnnxNode) -> tuple[DequantizeAttributes, list[Value | None]]:
    found = node.attributes
    named = int(found.get("output_dtype", 0))
    attributes = DequantizeAttributes(
        axis=int(found.get("axis", 1)),
        block_size=int(found.get("block_size", 0)),
        out=onnx_dtype(named, node.where) if named else required(node.inputs, 1).dtype,
    )
    return attributes, list(node.inputs)


def _dynamic_from_onnx(node: OnnxNode) -> tuple[DynamicQuantizeAttributes, list[Value | None]]:
    return DynamicQuantizeAttributes(), list(node.inputs)


def _infer_quantize(
    attributes: QuantizeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, zero_point = required(inputs, 0), optional(inputs, 2)
    required(inputs, 1)
    if zero_point is not None and zero_point.dtype is not attributes.out:
        raise DTypeError(f"the zero point is {zero_point.dtype}, the output {attributes.out}")
    return [ValueType(attributes.out, x.dims)]


def _reference_quantize(
    attributes: QuantizeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, scale, zero_point = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    precision = scale.dtype if attributes.precision is None else attributes.precision.numpy
    divisor = spread_parameter(scale, x.shape, attributes.axis, attributes.block_size)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        f = x.astype(precision) / divisor.astype(precision)
    zeros: Array | int = 0
    if zero_point is not None:
        zeros = spread_parameter(
            zero_point.astype(np.int32), x.shape, attributes.axis, attributes.block_size
        )
    return [np.asarray(saturating_round(f, zeros, attributes.out))]


def _lower_quantize(node: Node, lowering: Lowering) -> None:
    attributes: QuantizeAttributes = node.attributes
    x, y = required(node.inputs, 0), node.outputs[0]
    constants = quantization_constants(node)
    native = attributes.precision in (None, DType.F32) and x.dtype is DType.F32
    if constants is None or not native or y.dtype not in (DType.S8, DType.U8):
        lowering.host(node)
        return
    # The family works on s8; u8 = s8 + 128 afterwards.
    shift = 128 if y.dtype is DType.U8 else 0
    target = lowering.temporary(DType.S8, y.dims) if shift else y
    lowering.step(
        "quantize",
        [x, lowering.constant(constants.scale)],
        [target],
        axis=0 if constants.axis is None else constants.axis,
        zero_point=[int(z) - shift for z in constants.zero_point],
    )
    if shift:
        lowering.step("cast_sign", [target], [y])


def _infer_dequantize(
    attributes: DequantizeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, zero_point = required(inputs, 0), optional(inputs, 2)
    required(inputs, 1)
    if x.dtype not in RANGES and x.dtype is not DType.S32:
        raise DTypeError(f"input 0 is {x.dtype}; DequantizeLinear takes integers of 4 to 32 bits")
    if zero_point is not None and zero_point.dtype is not x.dtype:
        raise DTypeError(f"the zero point is {zero_point.dtype}, the input {x.dtype}")
    return [ValueType(attributes.out, x.dims)]


def _reference_dequantize(
    attributes: DequantizeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, scale, zero_point = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    factor = spread_parameter(scale, x.shape, attributes.axis, attributes.block_size)
    q = x.astype(np.int32)
    if zero_point is not None:
        q = q - spread_parameter(
            zero_point.astype(np.int32), x.shape, attributes.axis, attributes.block_size
        )
    real = q.astype(np.float32) * factor.astype(np.float32)
    return [np.asarray(real).astype(attributes.out.numpy, copy=False)]


def _lower_dequantize(node: Node, lowering: Lowering) -> None:
    attributes: DequantizeAttributes = node.attributes
    x = required(node.inputs, 0)
    constants = quantization_constants(node)
    native = attributes.out is DType.F32 and x.dtype in (DType.S8, DType.U8, DType.S32)
    if constants is None or not native:
        lowering.host(node)
        return
    shift = 0
    if x.dtype is DType.U8:
        x, shift = lower_signed(lowering, x)
    lowering.step(
        "dequantize",
        [x, lowering.constant(constants.scale)],
        node.outputs,
        axis=0 if constants.axis is None else constants.axis,
        zero_point=[int(z) - shift for z in constants.zero_point],
    )


def _infer_dynamic(
    attributes: DynamicQuantizeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    if x.dtype is not DType.F32:
        raise DTypeError(f"input 0 is {x.dtype}; DynamicQuantizeLinear takes f32")
    return [ValueType(DType.U8, x.dims), ValueType(DType.F32, ()), ValueType(DType.U8, ())]


def _reference_dynamic(
    attributes: DynamicQuantizeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    hi = np.max(x, initial=np.float32(0))
    lo = np.min(x, initial=np.float32(0))
    # A tensor of zeros has no range; any scale represents it, and 1 is what other runtimes give.
    scale = np.float32(hi - lo) / np.float32(255) if hi > lo else np.float32(1)
    zero_point = np.rint(np.clip(np.float32(0) - lo / scale, 0, 255))
    y = saturating_round(x / scale, int(zero_point), DType.U8)
    return [y, np.asarray(scale, np.float32), np.asarray(zero_point, np.uint8)]


def _lower_dynamic(node: Node, lowering: Lowering) -> None:
    lowering.step("dynamic_quantize", node.inputs, node.outputs)


def _zero(dtype: type, *values: int) -> Array:
    return np.asarray(values if len(values) != 1 else values[0], dtype)


_X = example(2, 3, 4)
_SCALES = np.asarray([0.02, 0.5, 0.031], np.float32)
_SCALE = np.asarray(0.04, np.float32)

QUANTIZE_LINEAR = Operator(
    name="QuantizeLinear",
    attributes=QuantizeAttributes,
    from_onnx={10: _quantize_from_onnx},
    infer=_infer_quantize,
    reference=_reference_quantize,
    lower=_lower_quantize,
    cases=(
        Case("u8", QuantizeAttributes(), (_X, _SCALE, _zero(np.uint8, 100))),
        Case("s8-axis", QuantizeAttributes(out=DType.S8), (_X, _SCALES, _zero(np.int8, 1, -5, 7))),
        Case("no-zero-point", QuantizeAttributes(axis=-2), (_X, _SCALES)),
        Case("s16", QuantizeAttributes(out=DType.S16), (_X, _SCALE, _zero(np.int16, 9))),
        Case(
            "ties-nan-infinity",
            QuantizeAttributes(out=DType.S8),
            (
                np.asarray([0.5, 1.5, -2.5, np.nan, np.inf, -np.inf, 1e30], np.float32),
                np.asarray(1, np.float32),
                _zero(np.int8, 3),
            ),
        ),
        Case(
            "blocked",
            QuantizeAttributes(axis=2, block_size=3),
            (
                _X,
                np.abs(example(2, 3, 2)) + np.float32(0.1),
                _zero(np.uint8, *[5] * 12).reshape(2, 3, 2),
            ),
        ),
        Case("empty", QuantizeAttributes(), (_X[:0], _SCALE, _zero(np.uint8, 100))),
    ),
)
_Q = example_ints(2, 3, 4)
DEQUANTIZE_LINEAR = Operator(
    name="DequantizeLinear",
    attributes=DequantizeAttributes,
    from_onnx={10: _dequantize_from_onnx},
    infer=_infer_dequantize,
    reference=_reference_dequantize,
    lower=_lower_dequantize,
    cases=(
        Case("s8", DequantizeAttributes(), (_Q, _SCALE, _zero(np.int8, -3))),
        Case(
            "u8-axis",
            DequantizeAttributes(),
            (_Q.view(np.uint8), _SCALES, _zero(np.uint8, 1, 255, 7)),
        ),
        Case("s32", DequantizeAttributes(axis=0), (_Q.astype(np.int32) * 99999, _SCALES[:2])),
        Case("f16", DequantizeAttributes(out=DType.F16), (_Q, _SCALE.astype(np.float16))),
        Case(
            "blocked",
            DequantizeAttributes(axis=2, block_size=2),
            (_Q, np.abs(example(2, 3, 2)), example_ints(2, 3, 2, seed=2)),
        ),
        Case("empty", DequantizeAttributes(), (_Q[:0], _SCALE, _zero(np.int8, -3))),
    ),
)
DYNAMIC_QUANTIZE_LINEAR = Operator(
    name="DynamicQuantizeLinear",
    attributes=DynamicQuantizeAttributes,
    from_onnx={11: _dynamic_from_onnx},
    infer=_infer_dynamic,
    reference=_reference_dynamic,
    lower=_lower_dynamic,
    cases=(
        Case("mixed", DynamicQuantizeAttributes(), (_X,)),
        Case("positive", DynamicQuantizeAttributes(), (np.abs(_X),)),
        Case("zeros", DynamicQuantizeAttributes(), (np.zeros((3, 2), np.float32),)),
        Case("empty", DynamicQuantizeAttributes(), (np.zeros((0, 2), np.float32),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (QUANTIZE_LINEAR, DEQUANTIZE_LINEAR, DYNAMIC_QUANTIZE_LINEAR)

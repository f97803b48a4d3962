"""QLinearConv and QLinearMatMul, and how passes turn them into QConv and QMatMul."""

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
    constant_of,
    product_scale,
    saturating_round,
    shifted_to_s8,
)
from pyruntime.ops._requantize import widen, wrap
from pyruntime.ops.conv import Geometry, convolve, read_geometry, resolve
from pyruntime.ops.matmul import matmul_dims
from pyruntime.ops.qconv import QCONV, QConvAttributes
from pyruntime.ops.qelementwise import CAST_SIGN, CastSignAttributes
from pyruntime.ops.qmatmul import QMATMUL, QMatMulAttributes

if TYPE_CHECKING:
    from pyruntime.graph.graph import Graph, Node, Value

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


@dataclass(frozen=True, slots=True)
class _Constants:
    """What a QLinear node needs to become a Q node: all of it constant."""

    w: Array  # s8, zero point subtracted
    scale: Array  # f32, [1] or one per output channel
    x_zero_point: int  # as s8
    y_zero_point: int  # as s8


def _constants(node: Node, column: tuple[int, ...]) -> _Constants | None:
    arrays = [constant_of(optional(node.inputs, index)) for index in range(1, 8)]
    x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = arrays
    if x_scale is None or x_zero is None or w is None or w_scale is None:
        return None
    if w_zero is None or y_scale is None or y_zero is None:
        return None
    if any(p.size != 1 for p in (x_scale, x_zero, y_scale, y_zero)):
        return None
    if any(p.size != 1 and p.ndim != 1 for p in (w_scale, w_zero)):
        return None
    shifted = shifted_to_s8(w, w_zero, column)
    scale = product_scale(x_scale, w_scale, y_scale)
    if shifted is None or not np.all(np.isfinite(scale) & (scale > np.finfo(np.float32).tiny)):
        return None
    zeros = [int(z.reshape(())) - (128 if z.dtype == np.uint8 else 0) for z in (x_zero, y_zero)]
    return _Constants(shifted, scale, *zeros)


def _signed_chain(
    graph: Graph, node: Node, build: object, operands: list[Value | None]
) -> list[Node]:
    """Nodes [CastSign?, Q node, CastSign?]; the last one's output stands for the old output."""
    nodes: list[Node] = []
    x = required(operands, 0)
    if x.dtype is DType.U8:
        nodes.append(graph.make(CAST_SIGN, CastSignAttributes(), [x]))
        x = nodes[-1].outputs[0]
    operator = QCONV if isinstance(build, QConvAttributes) else QMATMUL
    nodes.append(graph.make(operator, build, [x, *operands[1:]], name=node.name))
    if node.outputs[0].dtype is DType.U8:
        nodes.append(graph.make(CAST_SIGN, CastSignAttributes(), [nodes[-1].outputs[0]]))
    return nodes


def qlinear_conv_as_qconv(graph: Graph, node: Node) -> list[Node] | None:
    """The same computation as nodes [CastSign?, QConv, CastSign?], not yet placed.

    The output of the last one replaces that of `node`.

    Returns:
        None where a scale, zero point or the weights are not constant, or w - w_zero_point needs
        more than 8 bits.
    """
    attributes: QLinearConvAttributes = node.attributes
    x, w, bias = required(node.inputs, 0), required(node.inputs, 3), optional(node.inputs, 8)
    constants = _constants(node, (-1,) + (1,) * (len(w.dims) - 1))
    if constants is None or (bias is not None and bias.constant is None):
        return None
    build = QConvAttributes(
        attributes.strides,
        attributes.pads,
        attributes.dilations,
        attributes.group,
        attributes.auto_pad,
        x_zero_point=constants.x_zero_point,
        y_zero_point=constants.y_zero_point,
    )
    weights = graph.constant(constants.w, graph.unique(w.name))
    scale = graph.constant(constants.scale, graph.unique(f"{w.name}.scale"))
    return _signed_chain(graph, node, build, [x, weights, bias, scale])


def qlinear_matmul_as_qmatmul(graph: Graph, node: Node) -> list[Node] | None:
    """The same as [CastSign?, QMatMul, CastSign?], not yet placed; see `qlinear_conv_as_qconv`."""
    a, b = required(node.inputs, 0), required(node.inputs, 3)
    constants = _constants(node, (-1,))
    if constants is None or (constants.scale.size > 1 and len(b.dims) < 2):
        return None
    build = QMatMulAttributes(
        x_zero_point=constants.x_zero_point, y_zero_point=constants.y_zero_point
    )
    weights = graph.constant(constants.w, graph.unique(b.name))
    scale = graph.constant(constants.scale, graph.unique(f"{b.name}.scale"))
    return _signed_chain(graph, node, build, [a, weights, None, scale])


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

"""Softmax, LogSoftmax and Hardmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.dims import product
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import normal_axis, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class SoftmaxAttributes:
    """Input: x of any dims.

    Attributes:
        axis: that sums to one.
        flatten: all dims from `axis` on form that axis together, as before opset 13.
    """

    axis: int = -1
    flatten: bool = False


def _from_onnx_1(node: OnnxNode) -> tuple[SoftmaxAttributes, list[Value | None]]:
    return SoftmaxAttributes(int(node.attributes.get("axis", 1)), flatten=True), list(node.inputs)


def _from_onnx_13(node: OnnxNode) -> tuple[SoftmaxAttributes, list[Value | None]]:
    return SoftmaxAttributes(int(node.attributes.get("axis", -1))), list(node.inputs)


def _infer(
    attributes: SoftmaxAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    _axis(attributes, len(x.dims))
    return [ValueType(x.dtype, x.dims)]


def _axis(attributes: SoftmaxAttributes, rank: int) -> int:
    if attributes.flatten and attributes.axis == rank:
        return rank  # one element per row, allowed before opset 13
    return normal_axis(attributes.axis, rank)


def _rows(attributes: SoftmaxAttributes, x: Array) -> tuple[Array, int]:
    """(x in the form that has one softmax axis, that axis)."""
    axis = _axis(attributes, x.ndim)
    if not attributes.flatten:
        return (x.reshape(1), 0) if x.ndim == 0 else (x, axis)
    outer = int(np.prod(x.shape[:axis]))
    return x.reshape(outer, int(np.prod(x.shape[axis:]))), 1


def _reference_softmax(
    attributes: SoftmaxAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    rows, axis = _rows(attributes, x)
    e = np.exp(_shifted(rows, axis))
    y = e / e.sum(axis=axis, keepdims=True)
    return [y.astype(x.dtype).reshape(x.shape)]


def _reference_log(
    attributes: SoftmaxAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    rows, axis = _rows(attributes, x)
    shifted = _shifted(rows, axis)
    y = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return [y.astype(x.dtype).reshape(x.shape)]


def _shifted(rows: Array, axis: int) -> Array:
    """Rows minus their maximum, so that exp cannot overflow; half types become f32."""
    rows = rows.astype(np.float32) if rows.dtype.itemsize == 2 else rows
    top = rows.max(axis=axis, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):  # a row of -inf gives NaN, as the formula does
        return np.asarray(rows - top)


def _reference_hardmax(
    attributes: SoftmaxAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    rows, axis = _rows(attributes, x)
    y = np.zeros(rows.shape, x.dtype)
    if rows.size:
        first = np.expand_dims(rows.argmax(axis=axis), axis)
        np.put_along_axis(y, first, 1, axis=axis)
    return [y.reshape(x.shape)]


def _lower(node: Node, lowering: Lowering, log: int) -> None:
    x, y = required(node.inputs, 0), node.outputs[0]
    if x.dtype is not DType.F32 or not x.dims:
        lowering.host(node)
        return
    rank = len(x.dims)
    axis = _axis(node.attributes, rank)
    single = axis < rank and all(d == 1 for d in x.dims[axis + 1 :])
    if single or not node.attributes.flatten:
        lowering.step("softmax", [x], [y], axis=axis, log=log)
        return
    dims = (product(x.dims[:axis]), product(x.dims[axis:]))
    rows, normalised = lowering.temporary(x.dtype, dims), lowering.temporary(x.dtype, dims)
    lowering.step("reshape", [x], [rows])
    lowering.step("softmax", [rows], [normalised], axis=1, log=log)
    lowering.step("reshape", [normalised], [y])


def _lower_softmax(node: Node, lowering: Lowering) -> None:
    _lower(node, lowering, 0)


def _lower_log(node: Node, lowering: Lowering) -> None:
    _lower(node, lowering, 1)


_FROM_ONNX = {1: _from_onnx_1, 13: _from_onnx_13}
_LARGE = example(3, 5) * np.float32(300)
_CASES = (
    Case("last", SoftmaxAttributes(), (example(2, 3, 5),)),
    Case("middle", SoftmaxAttributes(1), (example(2, 3, 5),)),
    Case("flatten", SoftmaxAttributes(1, flatten=True), (example(2, 3, 5),)),
    Case("large-values", SoftmaxAttributes(), (_LARGE,)),
    Case("f16", SoftmaxAttributes(0), (example(7, 3).astype(np.float16),)),
    Case("empty", SoftmaxAttributes(), (example(0, 5),)),
)

SOFTMAX = Operator(
    name="Softmax",
    attributes=SoftmaxAttributes,
    from_onnx=_FROM_ONNX,
    infer=_infer,
    reference=_reference_softmax,
    lower=_lower_softmax,
    cases=_CASES,
)
LOG_SOFTMAX = Operator(
    name="LogSoftmax",
    attributes=SoftmaxAttributes,
    from_onnx=_FROM_ONNX,
    infer=_infer,
    reference=_reference_log,
    lower=_lower_log,
    cases=_CASES,
)
HARDMAX = Operator(
    name="Hardmax",
    attributes=SoftmaxAttributes,
    from_onnx=_FROM_ONNX,
    infer=_infer,
    reference=_reference_hardmax,
    cases=(*_CASES, Case("ties", SoftmaxAttributes(), (np.ones((2, 3), np.float32),))),
)
OPERATORS: tuple[Operator, ...] = (SOFTMAX, LOG_SOFTMAX, HARDMAX)

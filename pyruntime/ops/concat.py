"""Concat: inputs joined along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import Dim
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import check_same_dtype, normal_axis, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._shapes import read_axis

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class ConcatAttributes:
    """`axis` may be negative."""

    axis: int


def _from_onnx(node: OnnxNode) -> tuple[ConcatAttributes, list[Value | None]]:
    return ConcatAttributes(read_axis(node, 1)), list(node.inputs)  # opset 1 had a default


def _infer(
    attributes: ConcatAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    dtype = check_same_dtype(inputs, *range(len(inputs)))
    first = required(inputs, 0)
    axis = normal_axis(attributes.axis, len(first.dims))
    dims = list(first.dims)
    for index in range(1, len(inputs)):
        other = required(inputs, index)
        if len(other.dims) != len(dims):
            raise ShapeError(f"input {index} has rank {len(other.dims)}, input 0 {len(dims)}")
        for position, (a, b) in enumerate(zip(dims, other.dims, strict=True)):
            if position == axis:
                continue
            if isinstance(a, int) and isinstance(b, int) and a != b:
                raise ShapeError(
                    f"input {index} has dims {list(other.dims)}, input 0 {list(first.dims)}; they "
                    f"must agree except along axis {axis}"
                )
            if isinstance(b, int):
                dims[position] = b
        joined: Dim = dims[axis] + other.dims[axis]
        dims[axis] = joined
    return [ValueType(dtype, tuple(dims))]


def _reference(
    attributes: ConcatAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    arrays = [required(inputs, index) for index in range(len(inputs))]
    return [np.concatenate(arrays, axis=attributes.axis)]


def _lower(node: Node, lowering: Lowering) -> None:
    axis = normal_axis(node.attributes.axis, len(node.outputs[0].dims))
    lowering.step("concat", node.inputs, node.outputs, axis=axis)


CONCAT = Operator(
    name="Concat",
    attributes=ConcatAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    shape_arithmetic=True,
    cases=(
        Case("first", ConcatAttributes(0), (example(3, 5), example(1, 5), example(2, 5, seed=1))),
        Case("last", ConcatAttributes(-1), (example(2, 3, 5), example(2, 3, 1, seed=1))),
        Case("one", ConcatAttributes(1), (example(3, 5),)),
        Case("s8", ConcatAttributes(1), (example_ints(3, 5), example_ints(3, 2))),
        Case("empty", ConcatAttributes(0), (example(0, 5), example(3, 5))),
    ),
)
OPERATORS: tuple[Operator, ...] = (CONCAT,)

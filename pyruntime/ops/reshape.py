"""Reshape: the same elements in other dims; -1 is inferred and 0 copies a dim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import Dim, product
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._shapes import (
    axes_input,
    check_count,
    flat_ints,
    known_dims,
    quotient,
    stack_ints,
)

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class ReshapeAttributes:
    """`allowzero`: a 0 in the shape is a dim of zero, not a copy of x's dim."""

    allowzero: bool = False


def reshaped_dims(
    dims: tuple[Dim, ...], shape: Sequence[Dim], allowzero: bool = False
) -> tuple[Dim, ...]:
    """The dims that `shape` means for an x of `dims`.

    Raises:
        ShapeError: the numbers of elements differ or a 0 or -1 cannot be resolved.
    """
    result = list(shape)
    for axis, dim in enumerate(result):
        if dim == 0 and not allowzero:
            if axis >= len(dims):
                raise ShapeError(f"shape {list(shape)} copies dim {axis} of dims {list(dims)}")
            result[axis] = dims[axis]
        elif isinstance(dim, int) and dim < -1:
            raise ShapeError(f"shape {list(shape)} has a negative dim")
    if result.count(-1) > 1:
        raise ShapeError(f"shape {list(shape)} has more than one -1")
    if -1 in result:
        hole = result.index(-1)
        others = result[:hole] + result[hole + 1 :]
        if product(tuple(others)) == 0 and allowzero:
            raise ShapeError(f"shape {list(shape)} has both a 0 and a -1")
        result[hole] = quotient(dims, others)
    check_count(product(dims), product(tuple(result)), f"cannot reshape dims {list(dims)}")
    return tuple(result)


def _from_attribute(node: OnnxNode) -> tuple[ReshapeAttributes, list[Value | None]]:
    return ReshapeAttributes(), axes_input(node, "shape")


def _from_onnx(node: OnnxNode) -> tuple[ReshapeAttributes, list[Value | None]]:
    return ReshapeAttributes(bool(node.attributes.get("allowzero", 0))), list(node.inputs)


def _infer(
    attributes: ReshapeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    return [ValueType(x.dtype, reshaped_dims(x.dims, known_dims(inputs, 1), attributes.allowzero))]


def _reference(
    attributes: ReshapeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, shape = required(inputs, 0), flat_ints(required(inputs, 1)) or ()
    if not attributes.allowzero:
        shape = tuple(x.shape[axis] if dim == 0 else dim for axis, dim in enumerate(shape))
    if x.size == 0 and -1 in shape:
        shape = tuple(int(d) for d in reshaped_dims(x.shape, shape, True) if isinstance(d, int))
    return [x.reshape(shape)]


def lower_alias(node: Node, lowering: Lowering) -> None:
    """The same bytes under other dims."""
    lowering.step("reshape", node.inputs[:1], node.outputs)


CASES = (
    Case("plain", ReshapeAttributes(), (example(4, 6), stack_ints([3, 8]))),
    Case("minus-one", ReshapeAttributes(), (example(3, 5, 7), stack_ints([5, -1]))),
    Case("copy", ReshapeAttributes(), (example(3, 5, 7), stack_ints([0, -1]))),
    Case("to-scalar", ReshapeAttributes(), (example(1), stack_ints([]))),
    Case("from-scalar", ReshapeAttributes(), (np.asarray(1.5), stack_ints([1, 1]))),
    Case("empty", ReshapeAttributes(), (example(0, 5), stack_ints([0, 1, 5]))),
    Case("empty-minus-one", ReshapeAttributes(), (example(0, 5), stack_ints([5, -1]))),
    Case("allowzero", ReshapeAttributes(True), (example(0, 5), stack_ints([5, 0]))),
    Case("s64", ReshapeAttributes(), (np.arange(6), stack_ints([2, 3]))),
)
RESHAPE = Operator(
    name="Reshape",
    attributes=ReshapeAttributes,
    from_onnx={1: _from_attribute, 5: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=lower_alias,
    shape_arithmetic=True,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (RESHAPE,)

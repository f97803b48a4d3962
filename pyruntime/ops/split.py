"""Split: a tensor cut into pieces along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import Dim, dim_max, dim_min
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import normal_axis, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._shapes import check_count, flat_ints, known_dims, read_axis, stack_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class SplitAttributes:
    """Inputs: x, sizes? [outputs]. Without sizes the pieces are equal, the last one smaller."""

    axis: int = 0


def _from_attribute(node: OnnxNode) -> tuple[SplitAttributes, list[Value | None]]:
    sizes = node.attributes.get("split")
    inputs = list(node.inputs)
    if sizes is not None:
        inputs = [inputs[0], node.constant(np.asarray(sizes, np.int64))]
    return SplitAttributes(read_axis(node, 0)), inputs


def _from_onnx(node: OnnxNode) -> tuple[SplitAttributes, list[Value | None]]:
    return SplitAttributes(read_axis(node, 0)), list(node.inputs)


def _sizes(total: Dim, given: Sequence[Dim] | None, outputs: int) -> tuple[Dim, ...]:
    if given is not None:
        if len(given) != outputs:
            raise ShapeError(f"split has {len(given)} sizes but the node has {outputs} outputs")
        whole: Dim = 0
        for size in given:
            whole = whole + size
        check_count(total, whole, "split")
        return tuple(given)
    if isinstance(total, int) and total % outputs == 0:
        return (total // outputs,) * outputs
    piece = (total + (outputs - 1)) // outputs
    begins = [piece * index for index in range(outputs)]
    return tuple(dim_max(0, dim_min(piece, total - begin)) for begin in begins)


def _infer(
    attributes: SplitAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    axis = normal_axis(attributes.axis, len(x.dims))
    given = None if optional(inputs, 1) is None else known_dims(inputs, 1)
    return [
        ValueType(x.dtype, (*x.dims[:axis], size, *x.dims[axis + 1 :]))
        for size in _sizes(x.dims[axis], given, outputs)
    ]


def _reference(
    attributes: SplitAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, given = required(inputs, 0), flat_ints(optional(inputs, 1))
    sizes = _sizes(x.shape[attributes.axis], given, outputs)
    ends = np.cumsum(np.asarray(sizes, np.int64))[:-1]
    return [np.ascontiguousarray(part) for part in np.split(x, ends, axis=attributes.axis)]


def _lower(node: Node, lowering: Lowering) -> None:
    x = required(node.inputs, 0)
    rank = len(x.dims)
    axis = normal_axis(node.attributes.axis, rank)
    begin: Dim = 0
    for output in node.outputs:
        starts: list[Dim] = [0] * rank
        starts[axis] = begin
        lowering.step("slice", [x], [output], starts=starts, steps=[1] * rank)
        begin = begin + output.dims[axis]


SPLIT = Operator(
    name="Split",
    attributes=SplitAttributes,
    from_onnx={1: _from_attribute, 13: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    shape_arithmetic=True,
    cases=(
        Case("equal", SplitAttributes(), (example(6, 5),), outputs=3),
        Case("uneven", SplitAttributes(1), (example(3, 7),), outputs=3),
        Case("sizes", SplitAttributes(-1), (example(3, 7), stack_ints([2, 0, 5])), outputs=3),
        Case("s8", SplitAttributes(), (example_ints(4, 3), stack_ints([1, 3])), outputs=2),
        Case("empty", SplitAttributes(), (example(0, 5),), outputs=2),
    ),
)
OPERATORS: tuple[Operator, ...] = (SPLIT,)

"""Gather: slices of x along an axis, chosen by indices; negative ones count from the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import DTypeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import normal_axis, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._shapes import read_axis, stack_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

INDEX_DTYPES = (DType.S32, DType.S64)


@dataclass(frozen=True, slots=True)
class GatherAttributes:
    """`axis` may be negative."""

    axis: int = 0


def read_gather(node: OnnxNode) -> tuple[GatherAttributes, list[Value | None]]:
    """Reads the operators whose only attribute is an axis that defaults to 0."""
    return GatherAttributes(read_axis(node, 0)), list(node.inputs)


def check_indices(value: Value) -> None:
    """Indices are s32 or s64.

    Raises:
        DTypeError: they are not.
    """
    if value.dtype not in INDEX_DTYPES:
        raise DTypeError(f"indices are {value.dtype} but must be s32 or s64; cast them")


def _infer(
    attributes: GatherAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, indices = required(inputs, 0), required(inputs, 1)
    check_indices(indices)
    axis = normal_axis(attributes.axis, len(x.dims))
    return [ValueType(x.dtype, (*x.dims[:axis], *indices.dims, *x.dims[axis + 1 :]))]


def _reference(
    attributes: GatherAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, indices = required(inputs, 0), required(inputs, 1).astype(np.int64)
    return [np.asarray(np.take(x, indices, axis=attributes.axis), dtype=x.dtype)]


def _lower(node: Node, lowering: Lowering) -> None:
    axis = normal_axis(node.attributes.axis, len(required(node.inputs, 0).dims))
    lowering.step("gather", node.inputs, node.outputs, axis=axis)


GATHER = Operator(
    name="Gather",
    attributes=GatherAttributes,
    from_onnx={1: read_gather},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    shape_arithmetic=True,
    cases=(
        Case("rows", GatherAttributes(), (example(5, 7), stack_ints([4, 0, 0]))),
        Case("axis", GatherAttributes(1), (example(3, 5, 7), stack_ints([[1, -1], [0, 4]]))),
        Case("scalar", GatherAttributes(), (example(5), np.asarray(-2))),
        Case("s32", GatherAttributes(-1), (example_ints(3, 5), np.asarray([3], np.int32))),
        Case("no-indices", GatherAttributes(), (example(5, 7), stack_ints([]))),
    ),
)
OPERATORS: tuple[Operator, ...] = (GATHER,)

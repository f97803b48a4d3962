"""Flatten: to two dims, split at an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import product
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._shapes import read_axis
from pyruntime.ops.reshape import lower_alias

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class FlattenAttributes:
    """Dims before `axis` become the first, all others the second."""

    axis: int = 1


def _split(axis: int, rank: int) -> int:
    if not -rank <= axis <= rank:
        raise ShapeError(f"axis {axis} is outside of rank {rank}; the model is damaged")
    return axis + rank if axis < 0 else axis


def _from_onnx(node: OnnxNode) -> tuple[FlattenAttributes, list[Value | None]]:
    return FlattenAttributes(read_axis(node, 1)), list(node.inputs)


def _infer(
    attributes: FlattenAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    axis = _split(attributes.axis, len(x.dims))
    return [ValueType(x.dtype, (product(x.dims[:axis]), product(x.dims[axis:])))]


def _reference(
    attributes: FlattenAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    axis = _split(attributes.axis, x.ndim)
    return [x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:]))]


FLATTEN = Operator(
    name="Flatten",
    attributes=FlattenAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=lower_alias,
    shape_arithmetic=True,
    cases=(
        Case("default", FlattenAttributes(), (example(3, 5, 7),)),
        Case("zero", FlattenAttributes(0), (example(3, 5, 7),)),
        Case("last", FlattenAttributes(3), (example(3, 5, 7),)),
        Case("negative", FlattenAttributes(-1), (example(3, 5, 7),)),
        Case("empty", FlattenAttributes(), (example(0, 5),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (FLATTEN,)

"""Transpose: the axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyruntime.errors import ShapeError
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class TransposeAttributes:
    """Axis i of y is axis `perm[i]` of x."""

    perm: tuple[int, ...]


def _from_onnx(node: OnnxNode) -> tuple[TransposeAttributes, list[Value | None]]:
    rank = len(required(node.inputs, 0).dims)
    perm = node.attributes.get("perm", range(rank)[::-1])
    return TransposeAttributes(tuple(int(axis) for axis in perm)), list(node.inputs)


def _infer(
    attributes: TransposeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    if sorted(attributes.perm) != list(range(len(x.dims))):
        raise ShapeError(f"perm {list(attributes.perm)} does not order dims {list(x.dims)}")
    return [ValueType(x.dtype, tuple(x.dims[axis] for axis in attributes.perm))]


def _reference(
    attributes: TransposeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    return [required(inputs, 0).transpose(attributes.perm)]


def _lower(node: Node, lowering: Lowering) -> None:
    lowering.step("transpose", node.inputs, node.outputs, perm=list(node.attributes.perm))


TRANSPOSE = Operator(
    name="Transpose",
    attributes=TransposeAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    shape_arithmetic=True,
    cases=(
        Case("2d", TransposeAttributes((1, 0)), (example(5, 7),)),
        Case("nhwc", TransposeAttributes((0, 2, 3, 1)), (example(2, 3, 5, 7),)),
        Case("same", TransposeAttributes((0, 1, 2)), (example(2, 3, 5),)),
        Case("inner", TransposeAttributes((1, 0, 2)), (example_ints(5, 3, 7),)),
        Case("bool", TransposeAttributes((1, 0)), (example(5, 7) > 0,)),
        Case("empty", TransposeAttributes((1, 0)), (example(0, 7),)),
        Case("scalar", TransposeAttributes(()), (example(),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (TRANSPOSE,)

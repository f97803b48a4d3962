"""Tile: repeats x along every axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, Operator
from pyruntime.ops._pointwise import read_plain
from pyruntime.ops._shapes import flat_ints, known_dims, stack_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


def _infer(attributes: None, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    x, repeats = required(inputs, 0), known_dims(inputs, 1)
    if len(repeats) != len(x.dims):
        raise ShapeError(f"{len(repeats)} repeats for dims {list(x.dims)}; give one per axis")
    return [ValueType(x.dtype, tuple(d * r for d, r in zip(x.dims, repeats, strict=True)))]


def _reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    x = required(inputs, 0)
    return [np.asarray(np.tile(x, flat_ints(required(inputs, 1)) or ()), x.dtype)]


def _lower(node: Node, lowering: Lowering) -> None:
    lowering.step("tile", node.inputs[:1], node.outputs)


TILE = Operator(
    name="Tile",
    from_onnx={6: read_plain},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    shape_arithmetic=True,
    cases=(
        Case("plain", None, (example(3, 5), stack_ints([2, 3]))),
        Case("one-axis", None, (example_ints(2, 3, 5), stack_ints([1, 4, 1]))),
        Case("none", None, (example(3, 5), stack_ints([1, 0]))),
        Case("empty", None, (example(0, 5), stack_ints([2, 2]))),
    ),
)
OPERATORS: tuple[Operator, ...] = (TILE,)

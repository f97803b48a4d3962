"""Expand: broadcasts x to a shape, in both directions as numpy does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.dims import broadcast
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, Operator
from pyruntime.ops._pointwise import read_plain
from pyruntime.ops._shapes import flat_ints, known_dims, stack_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


def _infer(attributes: None, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    x = required(inputs, 0)
    return [ValueType(x.dtype, broadcast(x.dims, known_dims(inputs, 1)))]


def _reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    x, shape = required(inputs, 0), flat_ints(required(inputs, 1)) or ()
    return [np.broadcast_to(x, np.broadcast_shapes(x.shape, shape)).copy()]


def _lower(node: Node, lowering: Lowering) -> None:
    lowering.step("expand", node.inputs[:1], node.outputs)


EXPAND = Operator(
    name="Expand",
    from_onnx={8: read_plain},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    shape_arithmetic=True,
    cases=(
        Case("plain", None, (example(3, 1), stack_ints([3, 5]))),
        Case("new-axes", None, (example(3, 1), stack_ints([2, 1, 5]))),
        Case("both-ways", None, (example(3, 5), stack_ints([1, 1]))),
        Case("s8", None, (example_ints(1, 7), stack_ints([5, 7]))),
        Case("scalar", None, (np.asarray(3), stack_ints([4]))),
        Case("empty", None, (example(3, 1), stack_ints([3, 0]))),
    ),
)
OPERATORS: tuple[Operator, ...] = (EXPAND,)

"""ConstantOfShape: a tensor of given dims with every element the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._shapes import flat_ints, known_dims, stack_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class ConstantOfShapeAttributes:
    """`value`: [1], the element."""

    value: Array


def _from_onnx(node: OnnxNode) -> tuple[ConstantOfShapeAttributes, list[Value | None]]:
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    return ConstantOfShapeAttributes(value.reshape(1)), list(node.inputs)


def _infer(
    attributes: ConstantOfShapeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    return [ValueType(DType.of(attributes.value), known_dims(inputs, 0))]


def _reference(
    attributes: ConstantOfShapeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    shape = flat_ints(required(inputs, 0)) or ()
    return [np.full(shape, attributes.value[0], attributes.value.dtype)]


def _lower(node: Node, lowering: Lowering) -> None:
    lowering.step("fill", [lowering.constant(node.attributes.value)], node.outputs)


CONSTANT_OF_SHAPE = Operator(
    name="ConstantOfShape",
    attributes=ConstantOfShapeAttributes,
    from_onnx={9: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=tuple(
        Case(name, ConstantOfShapeAttributes(np.asarray([value], dtype)), (stack_ints(shape),))
        for name, value, dtype, shape in (
            ("f32", 1.5, np.float32, [3, 5]),
            ("s64", -7, np.int64, [4]),
            ("bool", True, bool, [2, 3]),
            ("scalar", 2.0, np.float32, []),
            ("empty", 2.0, np.float32, [3, 0]),
        )
    ),
)
OPERATORS: tuple[Operator, ...] = (CONSTANT_OF_SHAPE,)

"""Constant: a tensor that the model carries; import makes it a constant of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.errors import UnsupportedError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class ConstantAttributes:
    """The tensor."""

    value: Array


# How ONNX writes small constants without a tensor.
_PLAIN = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def _from_onnx(node: OnnxNode) -> tuple[ConstantAttributes, list[Value | None]]:
    for name in ("value", "sparse_value"):
        if name in node.attributes:
            return ConstantAttributes(node.attributes[name]), []
    for name, dtype in _PLAIN.items():
        if name in node.attributes:
            return ConstantAttributes(np.asarray(node.attributes[name], dtype)), []
    raise UnsupportedError(
        f"{node.where}: has no number or tensor but {sorted(node.attributes)}; strings are not "
        "supported"
    )


def _infer(
    attributes: ConstantAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    return [ValueType(DType.of(attributes.value), attributes.value.shape)]


def _reference(attributes: ConstantAttributes, inputs: Sequence[Any], outputs: int) -> list[Array]:
    return [attributes.value]


CONSTANT = Operator(
    name="Constant",
    attributes=ConstantAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    cases=(
        Case("f32", ConstantAttributes(example(3, 5)), ()),
        Case("empty", ConstantAttributes(np.zeros(0, np.int64)), ()),
    ),
)
OPERATORS: tuple[Operator, ...] = (CONSTANT,)

"""OneHot: a new axis that is `on` at each index and `off` elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import ValueType
from pyruntime.ops._inputs import normal_axis, required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._shapes import DynamicSizeError, known_dims, read_axis, stack_ints

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class OneHotAttributes:
    """Inputs: indices, depth [], values [2] (off, on). `axis` is the new one."""

    axis: int = -1


def _from_onnx(node: OnnxNode) -> tuple[OneHotAttributes, list[Value | None]]:
    return OneHotAttributes(read_axis(node, -1)), list(node.inputs)


def _depth(inputs: Sequence[Value | None]) -> Dim:
    depth = required(inputs, 1)
    if depth.constant is not None:  # ONNX allows a float here
        return int(depth.constant.reshape(()))
    if not depth.dtype.is_integer:
        raise DynamicSizeError(
            f"input 1 ('{depth.name}') decides the size of the output but is only known at run "
            "time; fix the model inputs it comes from: import_onnx(..., constants={'name': array})"
        )
    return known_dims(inputs, 1)[0]


def _infer(
    attributes: OneHotAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    dims = required(inputs, 0).dims
    axis = normal_axis(attributes.axis, len(dims) + 1)
    return [ValueType(required(inputs, 2).dtype, (*dims[:axis], _depth(inputs), *dims[axis:]))]


def _reference(
    attributes: OneHotAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    indices, depth, values = (required(inputs, index) for index in range(3))
    size = int(depth.reshape(()))
    axis = normal_axis(attributes.axis, indices.ndim + 1)
    wanted = indices.astype(np.int64)
    wanted = np.expand_dims(np.where(wanted < 0, wanted + size, wanted), axis)
    numbers = np.arange(size).reshape([size if a == axis else 1 for a in range(wanted.ndim)])
    return [np.where(wanted == numbers, values[1], values[0]).astype(values.dtype)]


_VALUES = np.asarray([0.5, 2.0], np.float32)
ONE_HOT = Operator(
    name="OneHot",
    attributes=OneHotAttributes,
    from_onnx={9: _from_onnx},
    infer=_infer,
    reference=_reference,
    cases=(
        Case("last", OneHotAttributes(), (stack_ints([1, 0, -1, 9]), np.asarray(5), _VALUES)),
        Case("first", OneHotAttributes(0), (stack_ints([[1, 3]]), np.asarray([4]), _VALUES)),
        Case("s64", OneHotAttributes(), (stack_ints([2]), np.asarray(3), np.asarray([0, 7]))),
        Case("empty", OneHotAttributes(), (stack_ints([]), np.asarray(3), _VALUES)),
    ),
)
OPERATORS: tuple[Operator, ...] = (ONE_HOT,)

"""TopK: the k largest or smallest elements along an axis, and their indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import normal_axis, required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._shapes import known_dims, read_axis, stack_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class TopKAttributes:
    """Inputs: x, k [1]. Among equal elements the lower index comes first."""

    axis: int = -1
    largest: bool = True


def _from_attribute(node: OnnxNode) -> tuple[TopKAttributes, list[Value | None]]:
    k = node.constant(np.asarray([node.attributes["k"]], np.int64))
    return TopKAttributes(read_axis(node, -1)), [required(node.inputs, 0), k]


def _from_onnx(node: OnnxNode) -> tuple[TopKAttributes, list[Value | None]]:
    largest = bool(node.attributes.get("largest", 1))
    return TopKAttributes(read_axis(node, -1), largest), list(node.inputs)


def _infer(
    attributes: TopKAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, k = required(inputs, 0), known_dims(inputs, 1)[0]
    axis = normal_axis(attributes.axis, len(x.dims))
    size = x.dims[axis]
    if isinstance(k, int) and isinstance(size, int) and not 0 <= k <= size:
        raise ShapeError(f"k={k} elements of an axis of {size}; k must be in [0, {size}]")
    dims = (*x.dims[:axis], k, *x.dims[axis + 1 :])
    return [ValueType(x.dtype, dims), ValueType(DType.S64, dims)]


def _reference(
    attributes: TopKAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, k = required(inputs, 0), int(required(inputs, 1).reshape(()))
    axis = normal_axis(attributes.axis, x.ndim)
    if attributes.largest:  # a stable sort of the reversed axis, reversed, keeps low indices first
        order = x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis=axis, kind="stable")
        order = np.flip(order, axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    chosen = np.take(order, range(k), axis=axis).astype(np.int64)
    return [np.take_along_axis(x, chosen, axis), chosen]


_K = stack_ints([3])
TOP_K = Operator(
    name="TopK",
    attributes=TopKAttributes,
    from_onnx={1: _from_attribute, 10: _from_onnx},
    infer=_infer,
    reference=_reference,
    cases=(
        Case("largest", TopKAttributes(), (example(3, 7), _K), outputs=2),
        Case("smallest", TopKAttributes(0, False), (example(5, 3), _K), outputs=2),
        Case("ties", TopKAttributes(), (example_ints(9, lo=0, hi=2), _K), outputs=2),
        Case("empty", TopKAttributes(), (example(0, 5), _K), outputs=2),
    ),
)
OPERATORS: tuple[Operator, ...] = (TOP_K,)

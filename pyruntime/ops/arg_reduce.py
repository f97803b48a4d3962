"""ArgMax and ArgMin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import normal_axis, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class ArgReduceAttributes:
    """Input: x. Output: s64.

    Attributes:
        axis: that is searched.
        keepdims: the axis stays, with size 1.
        select_last_index: of equal values the last one counts, otherwise the first.
    """

    axis: int = 0
    keepdims: bool = True
    select_last_index: bool = False


def _from_onnx(node: OnnxNode) -> tuple[ArgReduceAttributes, list[Value | None]]:
    found = node.attributes
    attributes = ArgReduceAttributes(
        axis=int(found.get("axis", 0)),
        keepdims=bool(found.get("keepdims", 1)),
        select_last_index=bool(found.get("select_last_index", 0)),
    )
    return attributes, list(node.inputs)


def _infer(
    attributes: ArgReduceAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    axis = normal_axis(attributes.axis, len(x.dims))
    if x.dims and x.dims[axis] == 0:
        raise ShapeError(f"axis {axis} of dims {list(x.dims)} is empty; nothing can be selected")
    kept = (1,) if attributes.keepdims and x.dims else ()
    return [ValueType(DType.S64, (*x.dims[:axis], *kept, *x.dims[axis + 1 :]))]


def _reference(attributes: ArgReduceAttributes, x: Array, search_max: bool) -> list[Array]:
    if x.ndim == 0:
        return [np.zeros((), np.int64)]
    axis = normal_axis(attributes.axis, x.ndim)
    last = attributes.select_last_index
    ordered = np.flip(x, axis) if last else x
    found = (np.argmax if search_max else np.argmin)(
        ordered, axis=axis, keepdims=attributes.keepdims
    )
    return [np.asarray(x.shape[axis] - 1 - found if last else found).astype(np.int64)]


def _reference_max(
    attributes: ArgReduceAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    return _reference(attributes, required(inputs, 0), search_max=True)


def _reference_min(
    attributes: ArgReduceAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    return _reference(attributes, required(inputs, 0), search_max=False)


def _lower(node: Node, lowering: Lowering, op: str) -> None:
    attributes: ArgReduceAttributes = node.attributes
    x = required(node.inputs, 0)
    if x.dtype not in (DType.F32, DType.S32, DType.S64) or not x.dims:
        lowering.host(node)
        return
    lowering.step(
        "arg_reduce",
        [x],
        node.outputs,
        op=op,
        axis=normal_axis(attributes.axis, len(x.dims)),
        select_last=int(attributes.select_last_index),
    )


def _lower_max(node: Node, lowering: Lowering) -> None:
    _lower(node, lowering, "max")


def _lower_min(node: Node, lowering: Lowering) -> None:
    _lower(node, lowering, "min")


_TIES = np.asarray([[1, 3, 3, 0], [2, 2, 0, 0]], np.float32)
_CASES = (
    Case("first", ArgReduceAttributes(axis=1), (_TIES,)),
    Case("last", ArgReduceAttributes(axis=-1, keepdims=False, select_last_index=True), (_TIES,)),
    Case("axis0", ArgReduceAttributes(), (example(3, 5, 2),)),
    Case("s32", ArgReduceAttributes(axis=1), (example_ints(3, 5, dtype=np.int32),)),
    Case("u8", ArgReduceAttributes(axis=1), (example_ints(3, 5, lo=0, dtype=np.uint8),)),
    Case("empty-batch", ArgReduceAttributes(axis=1), (example(0, 5),)),
)
ARG_MAX = Operator(
    name="ArgMax",
    attributes=ArgReduceAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference_max,
    lower=_lower_max,
    cases=_CASES,
)
ARG_MIN = Operator(
    name="ArgMin",
    attributes=ArgReduceAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference_min,
    lower=_lower_min,
    cases=_CASES,
)
OPERATORS: tuple[Operator, ...] = (ARG_MAX, ARG_MIN)

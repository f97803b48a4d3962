"""Range: start, start + delta, ... below limit."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError, UnsupportedError
from pyruntime.graph.dims import Dim, dim_max
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._content import known_array
from pyruntime.ops._inputs import check_same_dtype, required
from pyruntime.ops._operator import Array, Case, Lowering, Operator, content_of
from pyruntime.ops._pointwise import read_plain
from pyruntime.ops._shapes import known_dims

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

# Dtypes of the `range` family.
NATIVE = frozenset({DType.S32, DType.S64, DType.F32, DType.F64})


def _count(start: Dim, limit: Dim, delta: Dim) -> Dim:
    if not isinstance(delta, int):
        raise UnsupportedError(f"delta is {delta}, which depends on the model's input dimensions")
    if delta == 0:
        raise ShapeError("delta is 0; the model is damaged")
    if delta > 0:
        return dim_max(0, (limit - start + (delta - 1)) // delta)
    return dim_max(0, (start - limit + (-delta - 1)) // -delta)


def _infer(attributes: None, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    dtype = check_same_dtype(inputs, 0, 1, 2)
    known = [known_array(required(inputs, index)) for index in range(3)]
    if dtype.is_float and all(array is not None for array in known):
        first, last, step = (float(array.reshape(())) for array in known if array is not None)
        if step == 0:
            raise ShapeError("delta is 0; the model is damaged")
        return [ValueType(dtype, (max(0, ceil((last - first) / step)),))]
    start, limit, delta = (known_dims(inputs, index)[0] for index in range(3))
    return [ValueType(dtype, (_count(start, limit, delta),))]


def _reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    start, limit, delta = (required(inputs, index).reshape(()) for index in range(3))
    count = max(0, ceil((float(limit) - float(start)) / float(delta)))
    if start.dtype.kind in "iu":
        count = len(range(int(start), int(limit), int(delta)))
    return [(start + np.arange(count).astype(start.dtype) * delta).astype(start.dtype)]


def _lower(node: Node, lowering: Lowering) -> None:
    start, delta = (content_of(value) for value in (node.inputs[0], node.inputs[2]))
    if start is None or delta is None or node.outputs[0].dtype not in NATIVE:
        return lowering.host(node)
    first, step = start.reshape(-1)[0], delta.reshape(-1)[0]
    return lowering.step("range", [], node.outputs, start=first, step=step)


def _case(name: str, dtype: type, *numbers: float) -> Case:
    return Case(name, None, tuple(np.asarray(number, dtype) for number in numbers))


RANGE = Operator(
    name="Range",
    from_onnx={11: read_plain},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=(
        _case("up", np.int64, 1, 8, 3),
        _case("down", np.int32, 10, 4, -2),
        _case("float", np.float32, 1.0, 5.5, 0.5),
        _case("none", np.int64, 3, 3, 1),
        _case("wrong-way", np.int64, 3, 0, 1),
    ),
)
OPERATORS: tuple[Operator, ...] = (RANGE,)

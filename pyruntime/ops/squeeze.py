"""Squeeze and Unsqueeze: removing and adding dims of 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import Dim
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import normal_axis, optional, required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._pointwise import read_plain
from pyruntime.ops._shapes import axes_input, flat_ints, known_ints, optional_ints, stack_ints
from pyruntime.ops.reshape import lower_alias

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


def _from_attribute(node: OnnxNode) -> tuple[None, list[Value | None]]:
    return None, axes_input(node)


def _squeezed(dims: Sequence[Dim], axes: Sequence[int] | None) -> tuple[Dim, ...]:
    if axes is None:
        return tuple(dim for dim in dims if dim != 1)
    removed = {normal_axis(axis, len(dims)) for axis in axes}
    for axis in removed:
        dim = dims[axis]
        if isinstance(dim, int) and dim != 1:
            raise ShapeError(f"cannot squeeze axis {axis} of dims {list(dims)}; it is not 1")
    return tuple(dim for axis, dim in enumerate(dims) if axis not in removed)


def _unsqueezed(dims: Sequence[Dim], axes: Sequence[int]) -> tuple[Dim, ...]:
    rank = len(dims) + len(axes)
    added = {normal_axis(axis, rank) for axis in axes}
    if len(added) != len(axes):
        raise ShapeError(f"axes {list(axes)} repeat an axis")
    rest = iter(dims)
    return tuple(1 if axis in added else next(rest) for axis in range(rank))


def _infer_squeeze(
    attributes: None, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    return [ValueType(x.dtype, _squeezed(x.dims, optional_ints(inputs, 1)))]


def _squeeze(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    x, axes = required(inputs, 0), flat_ints(optional(inputs, 1))
    return [np.asarray(np.squeeze(x, axis=axes), dtype=x.dtype)]


def _infer_unsqueeze(
    attributes: None, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    return [ValueType(x.dtype, _unsqueezed(x.dims, known_ints(inputs, 1)))]


def _unsqueeze(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    x, axes = required(inputs, 0), flat_ints(required(inputs, 1)) or ()
    return [np.expand_dims(x, axes)]


SQUEEZE = Operator(
    name="Squeeze",
    from_onnx={1: _from_attribute, 13: read_plain},
    infer=_infer_squeeze,
    reference=_squeeze,
    lower=lower_alias,
    shape_arithmetic=True,
    cases=(
        Case("all", None, (example(1, 3, 1, 5),)),
        Case("some", None, (example(1, 3, 1, 5), stack_ints([0]))),
        Case("negative", None, (example(1, 3, 1, 5), stack_ints([-2]))),
        Case("to-scalar", None, (example(1), stack_ints([0]))),
        Case("empty", None, (example(0, 1), stack_ints([1]))),
    ),
)
UNSQUEEZE = Operator(
    name="Unsqueeze",
    from_onnx={1: _from_attribute, 13: read_plain},
    infer=_infer_unsqueeze,
    reference=_unsqueeze,
    lower=lower_alias,
    shape_arithmetic=True,
    cases=(
        Case("front", None, (example(3, 5), stack_ints([0]))),
        Case("several", None, (example(3, 5), stack_ints([3, 0]))),
        Case("negative", None, (example(3, 5), stack_ints([-1, -3]))),
        Case("scalar", None, (np.asarray(7), stack_ints([0]))),
        Case("empty", None, (example(0, 5), stack_ints([1]))),
    ),
)
OPERATORS: tuple[Operator, ...] = (SQUEEZE, UNSQUEEZE)

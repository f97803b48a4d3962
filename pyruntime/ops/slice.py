"""Slice: a range with a step along some axes; bounds are clamped and may count from the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import Dim, dim_max, dim_min
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import normal_axis, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._pointwise import read_plain
from pyruntime.ops._shapes import INT64_MAX, flat_ints, known_dims, known_ints, negative, stack_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

# Bounds from here on mean "to the end": exporters write INT64_MAX, INT32_MAX or 10^9.
_END = 10**9


def _from_attributes(node: OnnxNode) -> tuple[None, list[Value | None]]:
    inputs: list[Value | None] = [required(node.inputs, 0)]
    for name in ("starts", "ends", "axes"):
        given = node.attributes.get(name)
        inputs.append(None if given is None else node.constant(np.asarray(given, np.int64)))
    return None, inputs


def _forward(dim: Dim, start: Dim, end: Dim, step: int) -> tuple[Dim, Dim]:
    begin = dim_max(0, start + dim) if negative(start) else dim_min(start, dim)
    if negative(end):
        stop = dim_max(0, end + dim)
    else:
        stop = dim if isinstance(end, int) and end >= _END else dim_min(end, dim)
    return begin, dim_max(0, (stop - begin + (step - 1)) // step)


def _backward(dim: Dim, start: Dim, end: Dim, step: int) -> tuple[Dim, Dim]:
    last = dim - 1
    begin = dim_max(0, start + dim) if negative(start) else start
    begin = last if isinstance(begin, int) and begin >= _END else dim_min(begin, last)
    if isinstance(end, int) and end <= -_END:
        stop: Dim = -1
    else:
        stop = dim_max(-1, end + dim) if negative(end) else dim_min(end, last)
    return begin, dim_max(0, (begin - stop + (-step - 1)) // -step)


def _ranges(dims: tuple[Dim, ...], inputs: Sequence[Value | None]) -> list[tuple[Dim, int, Dim]]:
    """(start, step, size) for every axis."""
    starts, ends = known_dims(inputs, 1), known_dims(inputs, 2)
    axes = range(len(starts)) if optional(inputs, 3) is None else known_ints(inputs, 3)
    steps = (1,) * len(starts) if optional(inputs, 4) is None else known_ints(inputs, 4)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ShapeError("starts, ends, axes and steps must have the same length")
    result: list[tuple[Dim, int, Dim]] = [(0, 1, dim) for dim in dims]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step == 0:
            raise ShapeError("a step is 0; the model is damaged")
        axis = normal_axis(axis, len(dims))
        resolve = _forward if step > 0 else _backward
        begin, size = resolve(dims[axis], start, end, step)
        result[axis] = (begin, step, size)
    return result


def _infer(attributes: None, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    x = required(inputs, 0)
    return [ValueType(x.dtype, tuple(size for _, _, size in _ranges(x.dims, inputs)))]


def _reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    x = required(inputs, 0)
    starts = flat_ints(required(inputs, 1)) or ()
    ends = flat_ints(required(inputs, 2)) or ()
    axes = flat_ints(optional(inputs, 3)) or range(len(starts))
    steps = flat_ints(optional(inputs, 4)) or (1,) * len(starts)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # Python's rules are ONNX's, except that a negative step runs through 0 below -size.
        stop = None if step < 0 and end < -x.shape[axis] else end
        index[axis] = slice(start, stop, step)
    return [np.ascontiguousarray(x[tuple(index)]).reshape(x[tuple(index)].shape)]


def _lower(node: Node, lowering: Lowering) -> None:
    x = required(node.inputs, 0)
    ranges = _ranges(x.dims, node.inputs)
    lowering.step(
        "slice",
        [x],
        node.outputs,
        starts=[0 if size == 0 else start for start, _, size in ranges],
        steps=[step for _, step, _ in ranges],
    )


def _case(name: str, x: Array, *lists: Sequence[int]) -> Case:
    return Case(name, None, (x, *(stack_ints(values) for values in lists)))


SLICE = Operator(
    name="Slice",
    from_onnx={1: _from_attributes, 10: read_plain},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    shape_arithmetic=True,
    cases=(
        _case("plain", example(5, 7), [1, 2], [4, 6]),
        _case("axes", example(5, 7, 3), [1], [-1], [-2]),
        _case("steps", example(5, 7), [0, 1], [5, 7], [0, 1], [2, 3]),
        _case("clamped", example(5, 7), [-99, 3], [99, INT64_MAX]),
        _case("reversed", example(5, 7), [-1], [-INT64_MAX], [1], [-1]),
        _case("reversed-steps", example(9), [7], [0], [0], [-3]),
        _case("reversed-clamped", example(5), [99], [1], [0], [-1]),
        _case("nothing", example(5, 7), [4], [2], [0]),
        _case("beyond", example(5, 7), [9], [12], [0]),
        _case("s8", example_ints(5, 7), [1], [3], [1]),
        _case("empty", example(0, 7), [0], [3], [0]),
    ),
)
OPERATORS: tuple[Operator, ...] = (SLICE,)

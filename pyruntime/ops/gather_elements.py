"""GatherElements, GatherND, ScatterElements and ScatterND: single elements by index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import normal_axis, required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._pointwise import infer_same, quiet
from pyruntime.ops._shapes import read_axis, stack_ints
from pyruntime.ops.gather import GatherAttributes, check_indices, read_gather

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class GatherNDAttributes:
    """The first `batch_dims` dims of x and indices run together."""

    batch_dims: int = 0


@dataclass(frozen=True, slots=True)
class ScatterAttributes:
    """`reduction` (none, add, mul, max, min) combines an update with what is there."""

    axis: int = 0
    reduction: str = "none"


_REDUCE: dict[str, Any] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _infer_elements(
    attributes: GatherAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, indices = required(inputs, 0), required(inputs, 1)
    check_indices(indices)
    if len(x.dims) != len(indices.dims):
        raise ShapeError(f"indices have rank {len(indices.dims)} but x has {len(x.dims)}")
    return [ValueType(x.dtype, indices.dims)]


def _grid(indices: Array, axis: int, size: int) -> tuple[Array, ...]:
    """Index arrays: the position itself, but along `axis` the index (from the end if negative)."""
    grid: list[Array] = list(np.indices(indices.shape, sparse=True))
    wrapped = indices.astype(np.int64)
    grid[axis] = np.where(wrapped < 0, wrapped + size, wrapped)
    return tuple(grid)


def _elements(
    attributes: GatherAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, indices = required(inputs, 0), required(inputs, 1)
    axis = normal_axis(attributes.axis, x.ndim)
    return [np.asarray(x[_grid(indices, axis, x.shape[axis])])]


def _infer_nd(
    attributes: GatherNDAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, indices = required(inputs, 0), required(inputs, 1)
    check_indices(indices)
    depth = indices.dims[-1] if indices.dims else None
    if not isinstance(depth, int):
        raise ShapeError(f"the last dim of the indices is {depth}; it must be known")
    batch = attributes.batch_dims
    if batch + depth > len(x.dims):
        raise ShapeError(f"indices of {depth} numbers are too long for dims {list(x.dims)}")
    return [ValueType(x.dtype, (*indices.dims[:-1], *x.dims[batch + depth :]))]


def _nd(
    attributes: GatherNDAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, indices = required(inputs, 0), required(inputs, 1).astype(np.int64)
    batch, depth = attributes.batch_dims, indices.shape[-1]
    shape = (*indices.shape[:-1], *x.shape[batch + depth :])
    grid: tuple[Array, ...] = np.indices(indices.shape[:batch], sparse=True)
    extra = indices.ndim - 1 - batch
    batches = [g.reshape(g.shape + (1,) * extra) for g in grid]
    index = (*batches, *(indices[..., k] for k in range(depth)))
    return [np.asarray(np.broadcast_to(x[index], shape), x.dtype).copy()]


def _infer_scatter(
    attributes: ScatterAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    check_indices(required(inputs, 1))
    return infer_same(attributes, inputs, outputs)


def _put(y: Array, index: tuple[Array, ...], updates: Array, reduction: str) -> list[Array]:
    if reduction == "none":
        y[index] = updates
    else:
        _REDUCE[reduction].at(y, index, updates)
    return [y]


def _scatter(
    attributes: ScatterAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, indices, updates = (required(inputs, index) for index in range(3))
    axis = normal_axis(attributes.axis, x.ndim)
    grid = _grid(indices, axis, x.shape[axis])
    return _put(x.copy(), grid, updates, attributes.reduction)


def _scatter_nd(
    attributes: ScatterAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, indices, updates = (required(inputs, index) for index in range(3))
    index = tuple(indices[..., k].astype(np.int64) for k in range(indices.shape[-1]))
    return _put(x.copy(), index, updates, attributes.reduction)


def _read_nd(node: OnnxNode) -> tuple[GatherNDAttributes, list[Value | None]]:
    return GatherNDAttributes(int(node.attributes.get("batch_dims", 0))), list(node.inputs)


def _read_scatter(node: OnnxNode) -> tuple[ScatterAttributes, list[Value | None]]:
    reduction = str(node.attributes.get("reduction", "none"))
    return ScatterAttributes(read_axis(node, 0), reduction), list(node.inputs)


_INDICES = stack_ints([[0, 2, -1], [1, 1, 0]])
_SCATTERED = (example(5, 7), _INDICES, example(2, 3, seed=1))
GATHER_ELEMENTS = Operator(
    name="GatherElements",
    attributes=GatherAttributes,
    from_onnx={11: read_gather},
    infer=_infer_elements,
    reference=_elements,
    shape_arithmetic=True,
    cases=(
        Case("rows", GatherAttributes(), (example(3, 5), _INDICES)),
        Case("columns", GatherAttributes(-1), (example(3, 5), _INDICES)),
        Case("empty", GatherAttributes(), (example(3, 5), _INDICES[:0])),
    ),
)
GATHER_ND = Operator(
    name="GatherND",
    attributes=GatherNDAttributes,
    from_onnx={11: _read_nd},
    infer=_infer_nd,
    reference=_nd,
    cases=(
        Case("elements", GatherNDAttributes(), (example(3, 5), stack_ints([[0, 1], [2, -1]]))),
        Case("slices", GatherNDAttributes(), (example(3, 5), stack_ints([[2], [0], [0]]))),
        Case("batch", GatherNDAttributes(1), (example(2, 3, 5), stack_ints([[1], [-1]]))),
        Case("batch-3d", GatherNDAttributes(1), (example(2, 3, 5), stack_ints([[[1]], [[0]]]))),
        Case("empty", GatherNDAttributes(), (example(3, 5), np.zeros((0, 1), np.int64))),
    ),
)


def _scatter_operator(name: str, since: int, reference: Callable[..., list[Array]]) -> Operator:
    elements = name != "ScatterND"
    plain = _SCATTERED if elements else (example(5), stack_ints([[4], [0]]), example(2, seed=1))
    reduced = tuple(
        Case(reduction, ScatterAttributes(0, reduction), plain) for reduction in _REDUCE
    )
    return Operator(
        name=name,
        attributes=ScatterAttributes,
        from_onnx={since: _read_scatter},
        infer=_infer_scatter,
        reference=quiet(reference),
        cases=(
            Case("plain", ScatterAttributes(), plain),
            *(() if name == "Scatter" else reduced),
            *((Case("axis", ScatterAttributes(1), plain),) if elements else ()),
        ),
    )


SCATTER_ELEMENTS = _scatter_operator("ScatterElements", 11, _scatter)
SCATTER = _scatter_operator("Scatter", 9, _scatter)  # its name until opset 11
SCATTER_ND = _scatter_operator("ScatterND", 11, _scatter_nd)
OPERATORS: tuple[Operator, ...] = (
    *(GATHER_ELEMENTS, GATHER_ND, SCATTER_ELEMENTS, SCATTER, SCATTER_ND),
)

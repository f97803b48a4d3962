"""Pad: a border around x; negative pads crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import Dim
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import normal_axis, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._shapes import flat_ints, known_dims, optional_ints, stack_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class PadAttributes:
    """Inputs: x, pads (begins, then ends), value? [], axes?.

    Attributes:
        mode: constant, reflect, edge or wrap.
    """

    mode: str = "constant"


def _from_attributes(node: OnnxNode) -> tuple[PadAttributes, list[Value | None]]:
    x, found = required(node.inputs, 0), node.attributes
    pads = found.get("pads", found.get("paddings"))
    value = np.asarray(found.get("value", 0.0), x.dtype.numpy)
    inputs = [x, node.constant(np.asarray(pads, np.int64)), node.constant(value)]
    return PadAttributes(str(found.get("mode", "constant"))), list(inputs)


def _from_onnx(node: OnnxNode) -> tuple[PadAttributes, list[Value | None]]:
    return PadAttributes(str(node.attributes.get("mode", "constant"))), list(node.inputs)


def _full(rank: int, pads: Sequence[Any], axes: Sequence[int] | None) -> tuple[Any, ...]:
    """Pads for every axis: begins, then ends."""
    chosen = range(rank) if axes is None else [normal_axis(axis, rank) for axis in axes]
    if len(pads) != 2 * len(chosen):
        raise ShapeError(f"{len(pads)} pads for {len(chosen)} axes; there must be two per axis")
    result: list[Any] = [0] * (2 * rank)
    for position, axis in enumerate(chosen):
        result[axis] = pads[position]
        result[axis + rank] = pads[position + len(chosen)]
    return tuple(result)


def _pads(x: Value, inputs: Sequence[Value | None]) -> tuple[Dim, ...]:
    return _full(len(x.dims), known_dims(inputs, 1), optional_ints(inputs, 3))


def _infer(
    attributes: PadAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    rank = len(x.dims)
    pads = _pads(x, inputs)
    dims = tuple(dim + pads[axis] + pads[axis + rank] for axis, dim in enumerate(x.dims))
    for axis, dim in enumerate(dims):
        if isinstance(dim, int) and dim < 0:
            raise ShapeError(f"pads {list(pads)} crop more than axis {axis} of dims {list(x.dims)}")
        if attributes.mode != "constant" and x.dims[axis] == 0 and dim != 0:
            raise ShapeError(f"mode={attributes.mode} cannot pad axis {axis}, which is empty")
    return [ValueType(x.dtype, dims)]


def _reference(
    attributes: PadAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, value = required(inputs, 0), optional(inputs, 2)
    rank = x.ndim
    pads = _full(rank, flat_ints(required(inputs, 1)) or (), flat_ints(optional(inputs, 3)))
    widths = [(max(pads[axis], 0), max(pads[axis + rank], 0)) for axis in range(rank)]
    crop = tuple(slice(max(-pads[a], 0), x.shape[a] - max(-pads[a + rank], 0)) for a in range(rank))
    x = x[crop] if rank else x
    if not any(any(width) for width in widths):
        return [np.ascontiguousarray(x).reshape(x.shape)]
    if attributes.mode != "constant":
        return [np.pad(x, widths, mode=attributes.mode)]  # type: ignore[call-overload]
    y = np.full(
        [size + sum(width) for size, width in zip(x.shape, widths, strict=True)],
        0 if value is None else value.reshape(()),
        x.dtype,
    )
    y[tuple(slice(b, b + size) for size, (b, _) in zip(x.shape, widths, strict=True))] = x
    return [y]


def _lower(node: Node, lowering: Lowering) -> None:
    x, value = required(node.inputs, 0), optional(node.inputs, 2)
    if value is not None and value.constant is None:
        lowering.host(node)
        return
    fill = None
    if value is not None and value.constant is not None and attributes_use_value(node):
        fill = lowering.constant(value.constant.reshape(1))
    pads = list(_pads(x, node.inputs))
    lowering.step("pad", [x, fill], node.outputs, pads=pads, mode=node.attributes.mode)


def attributes_use_value(node: Node) -> bool:
    """Whether the third input means anything."""
    return bool(node.attributes.mode == "constant")


def _case(name: str, mode: str, x: Array, pads: Sequence[int], *more: Array | None) -> Case:
    return Case(name, PadAttributes(mode), (x, stack_ints(pads), *more))


CASES = (
    _case("zeros", "constant", example(3, 5), [1, 0, 2, 3]),
    _case("value", "constant", example(3, 5), [1, 2, 0, 0], np.asarray(1.5, np.float32)),
    _case("axes", "constant", example(3, 5, 7), [1, 2], None, stack_ints([-1])),
    _case("crop", "constant", example(5, 7), [-1, 2, -2, -3]),
    _case("reflect", "reflect", example(1, 2, 5, 7), [0, 0, 2, 3, 0, 0, 1, 2]),
    _case("edge", "edge", example(3, 5), [2, 3, 4, 1]),
    _case("wrap", "wrap", example(3, 5), [1, 2, 3, 4]),
    _case("s8", "constant", example_ints(3, 5), [1, 1, 1, 1], np.asarray(-7, np.int8)),
    _case("s64", "constant", np.arange(4), [1, 1], np.asarray(-7)),
    _case("empty", "constant", example(0, 5), [1, 0, 1, 0]),
)
PAD = Operator(
    name="Pad",
    attributes=PadAttributes,
    from_onnx={1: _from_attributes, 11: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (PAD,)

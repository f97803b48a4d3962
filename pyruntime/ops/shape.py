"""Shape and Size: dims as data, which is where shape arithmetic begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.dims import product
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._pointwise import read_plain

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class ShapeAttributes:
    """The dims [start, end), as Python slices them."""

    start: int = 0
    end: int | None = None


def _from_onnx(node: OnnxNode) -> tuple[ShapeAttributes, list[Value | None]]:
    end = node.attributes.get("end")
    start = int(node.attributes.get("start", 0))
    return ShapeAttributes(start, None if end is None else int(end)), list(node.inputs)


def _infer(
    attributes: ShapeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    dims = required(inputs, 0).dims[attributes.start : attributes.end]
    content = np.empty(len(dims), dtype=object)
    content[:] = dims
    return [ValueType(DType.S64, (len(dims),), content)]


def _reference(
    attributes: ShapeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    dims = required(inputs, 0).shape[attributes.start : attributes.end]
    return [np.asarray(dims, np.int64)]


def _infer_size(attributes: None, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    content = np.empty((), dtype=object)
    content[()] = product(required(inputs, 0).dims)
    return [ValueType(DType.S64, (), content)]


SHAPE = Operator(
    name="Shape",
    attributes=ShapeAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    cases=(
        Case("all", ShapeAttributes(), (example(3, 5, 7),)),
        Case("range", ShapeAttributes(-2, -1), (example(3, 5, 7),)),
        Case("outside", ShapeAttributes(1, 9), (example(3, 5, 7),)),
        Case("scalar", ShapeAttributes(), (example(),)),
        Case("empty", ShapeAttributes(), (example(0, 5),)),
    ),
)
SIZE = Operator(
    name="Size",
    from_onnx={1: read_plain},
    infer=_infer_size,
    reference=lambda attributes, inputs, outputs: [np.asarray(required(inputs, 0).size, np.int64)],
    cases=(
        Case("plain", None, (example(3, 5, 7),)),
        Case("scalar", None, (example(),)),
        Case("empty", None, (example(0, 5),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (SHAPE, SIZE)

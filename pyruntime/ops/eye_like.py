"""EyeLike: ones on a diagonal, zeros elsewhere, in the dims of x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import required
from pyruntime.ops._onnx_types import onnx_dtype
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class EyeLikeAttributes:
    """`k` counts diagonals upwards from the main one."""

    dtype: DType
    k: int = 0


def _from_onnx(node: OnnxNode) -> tuple[EyeLikeAttributes, list[Value | None]]:
    number = node.attributes.get("dtype")
    x = required(node.inputs, 0)
    dtype = x.dtype if number is None else onnx_dtype(number, node.where)
    return EyeLikeAttributes(dtype, int(node.attributes.get("k", 0))), list(node.inputs)


def _infer(
    attributes: EyeLikeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    if len(x.dims) != 2:
        raise ShapeError(f"dims {list(x.dims)} must be those of a matrix")
    return [ValueType(DType(attributes.dtype), x.dims)]


def _reference(
    attributes: EyeLikeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    rows, columns = required(inputs, 0).shape
    return [np.eye(rows, columns, attributes.k).astype(DType(attributes.dtype).numpy)]


EYE_LIKE = Operator(
    name="EyeLike",
    attributes=EyeLikeAttributes,
    from_onnx={9: _from_onnx},
    infer=_infer,
    reference=_reference,
    cases=(
        Case("square", EyeLikeAttributes(DType.F32), (example(5, 5),)),
        Case("above", EyeLikeAttributes(DType.S64, 1), (example(3, 5),)),
        Case("below", EyeLikeAttributes(DType.F64, -2), (example(5, 3),)),
        Case("empty", EyeLikeAttributes(DType.F32), (example(0, 3),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (EYE_LIKE,)

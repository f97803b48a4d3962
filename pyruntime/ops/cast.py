"""Cast and CastLike. Float to integer truncates and saturates; NaN becomes 0. To bool: x != 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._onnx_types import onnx_dtype
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._pointwise import UndecidedError, quiet

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

# Dtypes of the `cast` family.
NATIVE = frozenset(
    {
        *(DType.BOOL, DType.U8, DType.S8, DType.S32, DType.S64),
        *(DType.F32, DType.F64, DType.F16),
    }
)


@dataclass(frozen=True, slots=True)
class CastAttributes:
    """The new element type."""

    to: DType


def convert(x: Array, to: DType) -> Array:
    """The elements as `to`; floats outside of an integer type saturate, NaN becomes 0."""
    dtype = to.numpy
    if to is DType.BOOL:
        return np.asarray(x != 0)
    if x.dtype.kind in "iub" or not to.is_integer:
        wide = x.astype(np.float32) if _both_small(x.dtype, to) else x
        return wide.astype(dtype)
    wide = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
    if to in (DType.U4, DType.S4):  # outside of their range ONNX's tests keep the low bits
        return np.clip(wide, *_range(DType.S32)).astype(np.int64).astype(dtype)
    lo, hi = _range(to)
    result = np.clip(wide, lo, hi)
    # 2^63 and 2^64 have no float64 neighbour below that is the largest integer.
    exact = np.where(result >= hi, 0, result).astype(np.int64 if lo < 0 else np.uint64)
    return np.where(result >= hi, np.asarray(hi, exact.dtype), exact).astype(dtype)


def _both_small(dtype: np.dtype[np.generic], to: DType) -> bool:
    """ml_dtypes has no direct cast between its types and half."""
    return to in (DType.BF16, DType.U4, DType.S4) and dtype.itemsize <= 2 and dtype.kind != "b"


def _range(to: DType) -> tuple[int, int]:
    bits = int(to.value[1:])
    return (0, 2**bits - 1) if to.value[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _from_onnx(node: OnnxNode) -> tuple[CastAttributes, list[Value | None]]:
    return CastAttributes(onnx_dtype(node.attributes["to"], node.where)), list(node.inputs)


def _from_like(node: OnnxNode) -> tuple[CastAttributes, list[Value | None]]:
    return CastAttributes(required(node.inputs, 1).dtype), [required(node.inputs, 0)]


def _infer(
    attributes: CastAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    return [ValueType(DType(attributes.to), required(inputs, 0).dims)]


def _reference(
    attributes: CastAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, to = required(inputs, 0), DType(attributes.to)
    if x.dtype == object:
        if to is DType.BOOL:
            raise UndecidedError("whether a symbolic dimension is 0 is unknown")
        return [x]
    return [convert(x, to)]


def _lower(node: Node, lowering: Lowering) -> None:
    x, y = required(node.inputs, 0), node.outputs[0]
    if x.dtype is y.dtype:
        lowering.step("reshape", [x], [y])
    elif x.dtype in NATIVE and y.dtype in NATIVE:
        lowering.step("cast", [x], [y])
    else:
        lowering.host(node)


_FLOATS = np.asarray([0.0, -0.4, 1.5, -2.5, 127.9, 300.0, -1e10, 1e20, np.inf, -np.inf], np.float32)
_NAN = np.asarray([np.nan, 1.0], np.float32)
CASES = (
    *(Case(f"f32-{to}", CastAttributes(to), (_FLOATS,)) for to in DType if to is not DType.F32),
    *(Case(f"s32-{to}", CastAttributes(to), (example_ints(9, dtype=np.int32),)) for to in NATIVE),
    Case("nan-s32", CastAttributes(DType.S32), (_NAN,)),
    Case("nan-bool", CastAttributes(DType.BOOL), (_NAN,)),
    Case("bool-f32", CastAttributes(DType.F32), (example(3, 5) > 0,)),
    Case("f16-f32", CastAttributes(DType.F32), (example(3, 5).astype(np.float16),)),
    Case("f64-f32", CastAttributes(DType.F32), (example(3, 5).astype(np.float64),)),
    Case("same", CastAttributes(DType.F32), (example(3, 5),)),
    Case("empty", CastAttributes(DType.S8), (example(0, 5),)),
)
CAST = Operator(
    name="Cast",
    attributes=CastAttributes,
    from_onnx={6: _from_onnx},
    infer=_infer,
    reference=quiet(_reference),
    lower=_lower,
    shape_arithmetic=True,
    cases=CASES,
)
CAST_LIKE = Operator(
    name="CastLike",
    attributes=CastAttributes,
    from_onnx={15: _from_like},
    infer=_infer,
    reference=quiet(_reference),
    lower=_lower,
    shape_arithmetic=True,
    cases=CASES[:1],
)
OPERATORS: tuple[Operator, ...] = (CAST, CAST_LIKE)

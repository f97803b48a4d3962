"""Internal operators on 8-bit integers without products of weights.

QBinary, Lookup, Requantize and CastSign; passes make them, ONNX files never hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ArgumentError, DTypeError, ShapeError
from pyruntime.graph.dims import broadcast
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example_ints
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, Lowering, Operator
from pyruntime.ops._requantize import round_to_s8

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class QBinaryAttributes:
    """Inputs: a s8, b s8, a_scale f32 [1], b_scale f32 [1]? (add only). a and b broadcast.

    add: `float(a - a_zp) * a_scale + float(b - b_zp) * b_scale`, scales divided by that of y.
    mul: `float((a - a_zp) * (b - b_zp)) * a_scale`, a_scale = scale_a * scale_b / scale_y.

    Attributes:
        op: add or mul.
        a_zero_point: of a.
        b_zero_point: of b.
        y_zero_point: of the output.
        q_lo: lower bound of the output, zero point included.
        q_hi: upper bound of the output.
    """

    op: str
    a_zero_point: int = 0
    b_zero_point: int = 0
    y_zero_point: int = 0
    q_lo: int = -128
    q_hi: int = 127


@dataclass(frozen=True, slots=True)
class LookupAttributes:
    """Inputs: x s8, table s8 [256]. y = table[x + 128]."""


@dataclass(frozen=True, slots=True)
class RequantizeAttributes:
    """Inputs: x s8, scale f32 [1] (that of x divided by that of y).

    Attributes:
        x_zero_point: of x.
        y_zero_point: of the output.
    """

    x_zero_point: int = 0
    y_zero_point: int = 0


@dataclass(frozen=True, slots=True)
class CastSignAttributes:
    """Input: x u8 or s8; the output is the other one, the same byte with its top bit flipped."""


def _check_s8(inputs: Sequence[Value | None], *indices: int) -> None:
    for index in indices:
        dtype = required(inputs, index).dtype
        if dtype is not DType.S8:
            raise DTypeError(f"input {index} is {dtype}; this operator works on s8")


def _infer_binary(
    attributes: QBinaryAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    _check_s8(inputs, 0, 1)
    if attributes.op not in ("add", "mul"):
        raise ArgumentError(f"op is '{attributes.op}'; QBinary knows add and mul")
    if attributes.op == "add":
        required(inputs, 3)
    return [ValueType(DType.S8, broadcast(required(inputs, 0).dims, required(inputs, 1).dims))]


def _reference_binary(
    attributes: QBinaryAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    a = required(inputs, 0).astype(np.int32) - attributes.a_zero_point
    b = required(inputs, 1).astype(np.int32) - attributes.b_zero_point
    a_scale = required(inputs, 2).astype(np.float32).reshape(())
    if attributes.op == "mul":
        f = (a * b).astype(np.float32) * a_scale
    else:
        b_scale = required(inputs, 3).astype(np.float32).reshape(())
        f = a.astype(np.float32) * a_scale + b.astype(np.float32) * b_scale
    return [round_to_s8(f, attributes.y_zero_point, attributes.q_lo, attributes.q_hi)]


def _lower_binary(node: Node, lowering: Lowering) -> None:
    attributes: QBinaryAttributes = node.attributes
    # The family has no optional operands; mul does not read b_scale.
    b_scale = optional(node.inputs, 3) or lowering.constant(np.ones(1, np.float32))
    lowering.step(
        "qelementwise",
        [*node.inputs[:3], b_scale],
        node.outputs,
        op=attributes.op,
        a_zero_point=attributes.a_zero_point,
        b_zero_point=attributes.b_zero_point,
        y_zero_point=attributes.y_zero_point,
        q_lo=attributes.q_lo,
        q_hi=attributes.q_hi,
    )


def _infer_lookup(
    attributes: LookupAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    _check_s8(inputs, 0, 1)
    table = required(inputs, 1)
    if table.dims != (256,):
        raise ShapeError(f"the table has dims {list(table.dims)}, expected [256]")
    return [ValueType(DType.S8, required(inputs, 0).dims)]


def _reference_lookup(
    attributes: LookupAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, table = required(inputs, 0), required(inputs, 1)
    return [np.asarray(table[x.astype(np.int64) + 128])]


def _lower_lookup(node: Node, lowering: Lowering) -> None:
    lowering.step("lookup", node.inputs, node.outputs)


def _infer_requantize(
    attributes: RequantizeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    _check_s8(inputs, 0)
    return [ValueType(DType.S8, required(inputs, 0).dims)]


def _reference_requantize(
    attributes: RequantizeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0).astype(np.int32) - attributes.x_zero_point
    f = x.astype(np.float32) * required(inputs, 1).astype(np.float32).reshape(())
    return [round_to_s8(f, attributes.y_zero_point)]


def _lower_requantize(node: Node, lowering: Lowering) -> None:
    attributes: RequantizeAttributes = node.attributes
    lowering.step(
        "requantize",
        node.inputs,
        node.outputs,
        x_zero_point=attributes.x_zero_point,
        y_zero_point=attributes.y_zero_point,
    )


def _infer_cast_sign(
    attributes: CastSignAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    if x.dtype not in (DType.U8, DType.S8):
        raise DTypeError(f"input 0 is {x.dtype}; CastSign takes u8 or s8")
    return [ValueType(DType.S8 if x.dtype is DType.U8 else DType.U8, x.dims)]


def _reference_cast_sign(
    attributes: CastSignAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    flipped = np.ascontiguousarray(x).view(np.uint8) ^ np.uint8(0x80)
    return [flipped.view(np.int8 if x.dtype == np.uint8 else np.uint8).reshape(x.shape)]


def _lower_cast_sign(node: Node, lowering: Lowering) -> None:
    lowering.step("cast_sign", node.inputs, node.outputs)


def _scale(value: float) -> Array:
    return np.asarray([value], np.float32)


QBINARY = Operator(
    name="QBinary",
    domain="pyruntime",
    attributes=QBinaryAttributes,
    infer=_infer_binary,
    reference=_reference_binary,
    lower=_lower_binary,
    cases=(
        Case(
            "add-ties",
            QBinaryAttributes("add", a_zero_point=3, b_zero_point=-128, y_zero_point=-1),
            (example_ints(2, 3, 5), example_ints(2, 3, 5, seed=1), _scale(0.5), _scale(0.25)),
        ),
        Case(
            "mul-broadcast",
            QBinaryAttributes("mul", a_zero_point=-5, y_zero_point=7, q_lo=7, q_hi=100),
            (example_ints(2, 3, 5), example_ints(3, 1, seed=1), _scale(0.01)),
        ),
        Case(
            "empty",
            QBinaryAttributes("add"),
            (example_ints(0, 3), example_ints(3, seed=1), _scale(0.5), _scale(0.5)),
        ),
    ),
)
LOOKUP = Operator(
    name="Lookup",
    domain="pyruntime",
    attributes=LookupAttributes,
    infer=_infer_lookup,
    reference=_reference_lookup,
    lower=_lower_lookup,
    cases=(
        Case(
            "reverse",
            LookupAttributes(),
            (example_ints(3, 7), np.arange(127, -129, -1).astype(np.int8)),
        ),
        Case("empty", LookupAttributes(), (example_ints(0, 7), np.zeros(256, np.int8))),
    ),
)
REQUANTIZE = Operator(
    name="Requantize",
    domain="pyruntime",
    attributes=RequantizeAttributes,
    infer=_infer_requantize,
    reference=_reference_requantize,
    lower=_lower_requantize,
    cases=(
        Case("ties", RequantizeAttributes(1, -3), (example_ints(3, 7), _scale(0.5))),
        Case("saturate", RequantizeAttributes(-128, 127), (example_ints(5), _scale(3.1))),
    ),
)
CAST_SIGN = Operator(
    name="CastSign",
    domain="pyruntime",
    attributes=CastSignAttributes,
    infer=_infer_cast_sign,
    reference=_reference_cast_sign,
    lower=_lower_cast_sign,
    cases=(
        Case("s8", CastSignAttributes(), (example_ints(3, 7),)),
        Case("u8", CastSignAttributes(), (example_ints(5, lo=0, hi=255, dtype=np.uint8),)),
        Case("empty", CastSignAttributes(), (example_ints(0, 2),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (QBINARY, LOOKUP, REQUANTIZE, CAST_SIGN)

"""QMatMul (internal): product of 8-bit integers with the whole requantisation in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example_ints
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, Lowering, Operator
from pyruntime.ops._requantize import check_product, finish_product, widen, wrap
from pyruntime.ops.matmul import lower_gemm, matmul_dims, multiply

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class QMatMulAttributes:
    """Inputs: a s8, b s8, bias s32 [N]?, scale f32 [1 or N]?, residual s8?, residual_scale f32?.

    a is [.., M, K], b [.., K, N]; batch dims broadcast; 1-D operands as in numpy.

    Attributes:
        trans_a: a is [.., K, M].
        trans_b: b is [.., N, K].
        x_zero_point: of a.
        y_zero_point: of an s8 output.
        residual_zero_point: of the residual.
        q_lo: lower bound of an s8 output, zero point included.
        q_hi: upper bound of an s8 output.
        out: s8 or f32 (with scale), s32 (without: the accumulators).
        lo: lower bound of an f32 output.
        hi: upper bound of an f32 output.
    """

    trans_a: bool = False
    trans_b: bool = False
    x_zero_point: int = 0
    y_zero_point: int = 0
    residual_zero_point: int = 0
    q_lo: int = -128
    q_hi: int = 127
    out: DType = DType.S8
    lo: float = -inf
    hi: float = inf


def _infer(
    attributes: QMatMulAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    a, b = required(inputs, 0), required(inputs, 1)
    dims = matmul_dims(a.dims, b.dims, attributes.trans_a, attributes.trans_b)
    check_product(attributes, inputs, dims[-1] if len(b.dims) > 1 else 1)
    return [ValueType(attributes.out, dims)]


def _reference(
    attributes: QMatMulAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    a, b = required(inputs, 0), required(inputs, 1)
    exact = multiply(
        widen(a, attributes.x_zero_point), widen(b), attributes.trans_a, attributes.trans_b
    )
    column = (-1,) if b.ndim > 1 else ()
    return [np.asarray(finish_product(attributes, wrap(exact), inputs, column))]


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: QMatMulAttributes = node.attributes
    operands = [optional(node.inputs, index) for index in range(6)]
    lower_gemm(
        lowering,
        operands,
        node.outputs[0],
        trans_a=attributes.trans_a,
        trans_b=attributes.trans_b,
        x_zero_point=attributes.x_zero_point,
        y_zero_point=attributes.y_zero_point,
        residual_zero_point=attributes.residual_zero_point,
        q_lo=attributes.q_lo,
        q_hi=attributes.q_hi,
        lo=attributes.lo,
        hi=attributes.hi,
    )


_A, _B = example_ints(2, 5, 9), example_ints(9, 4, seed=1)
_BIAS = example_ints(4, lo=-5000, hi=5000, dtype=np.int32, seed=2)
_SCALE = np.linspace(0.001, 0.004, 4, dtype=np.float32)
_R_SCALE = np.asarray([0.37], np.float32)

CASES = (
    Case("s8", QMatMulAttributes(x_zero_point=-7, y_zero_point=5), (_A, _B, _BIAS, _SCALE)),
    Case(
        "transposed",
        QMatMulAttributes(trans_a=True, trans_b=True, out=DType.S32),
        (example_ints(9, 3), example_ints(4, 9, seed=1), _BIAS),
    ),
    Case("f32", QMatMulAttributes(out=DType.F32, hi=1.5), (_A, _B, _BIAS, _SCALE[:1])),
    Case(
        "residual",
        QMatMulAttributes(residual_zero_point=4, q_lo=0, q_hi=100),
        (_A, _B, None, _SCALE, example_ints(2, 5, 4, seed=3), _R_SCALE),
    ),
    Case("vector", QMatMulAttributes(), (_A[0, 0], _B, _BIAS, _SCALE)),
    Case("matrix-vector", QMatMulAttributes(), (_A, example_ints(9, seed=1), None, _SCALE[:1])),
    Case("no-rows", QMatMulAttributes(), (_A[:, :0], _B, _BIAS, _SCALE)),
    Case("no-inner", QMatMulAttributes(), (_A[..., :0], _B[:0], _BIAS, _SCALE)),
)

QMATMUL = Operator(
    name="QMatMul",
    domain="pyruntime",
    attributes=QMatMulAttributes,
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (QMATMUL,)

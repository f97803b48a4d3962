"""SignMatMul (internal): the signs of activations times weights of -1 and 1, scaled by channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, Lowering, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class SignMatMulAttributes:
    """Inputs: a f32 [.., K], w u8 [N, ceil(K / 8)], scale f32 [N], bias f32 [N]?.

    y = (sign(a) @ w) * scale + bias. Bit k % 8 of byte k / 8 of w is set where a weight is -1; the
    others are 1. The sign of a NaN is 0.
    """


def _infer(
    attributes: SignMatMulAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    a, w = required(inputs, 0), required(inputs, 1)
    return [ValueType(DType.F32, (*a.dims[:-1], w.dims[0]))]


def _reference(
    attributes: SignMatMulAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    a, bits, bias = required(inputs, 0), required(inputs, 1), optional(inputs, 3)
    negative = np.unpackbits(bits, axis=1, count=a.shape[-1], bitorder="little")
    signs = np.sign(np.where(np.isnan(a), np.float32(0), a)).astype(np.float64)
    exact = signs @ (1.0 - 2.0 * negative.T)
    y = np.asarray(exact.astype(np.float32) * required(inputs, 2))
    return [y if bias is None else y + bias]


def _lower(node: Node, lowering: Lowering) -> None:
    parameters = [optional(node.inputs, index) for index in range(1, 4)]
    lowering.step("gemm_sign", [required(node.inputs, 0), *parameters], node.outputs)


def _case(name: str, K: int, N: int, bias: bool, *a: int) -> Case:
    x = example(*a, K, seed=K)
    x.reshape(-1)[::7] = 0
    w = example_ints(N, -(-K // 8), lo=0, hi=255, dtype=np.uint8)
    scale, added = np.abs(example(N, seed=1)), example(N, seed=2) if bias else None
    return Case(name, SignMatMulAttributes(), (x, w, scale, added))


SIGN_MATMUL = Operator(
    name="SignMatMul",
    domain="pyruntime",
    attributes=SignMatMulAttributes,
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=(
        _case("bias", 130, 20, True, 2, 3),
        _case("odd", 65, 9, False, 5),
        _case("vector", 64, 8, True),
        _case("no-rows", 16, 4, False, 0),
    ),
)
OPERATORS: tuple[Operator, ...] = (SIGN_MATMUL,)

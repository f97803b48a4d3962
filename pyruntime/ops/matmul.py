"""MatMul, with the transpositions, bias, residual and clip that passes fuse into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import broadcast
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import check_same_dtype, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops.conv import clip

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class MatMulAttributes:
    """Inputs: a [.., M, K], b [.., K, N], bias? [N], residual? [.., M, N].

    Attributes:
        trans_a: a is [.., K, M]; has no effect on a 1-D a.
        trans_b: b is [.., N, K]; has no effect on a 1-D b.
        lo: lower bound of the output, applied after bias and residual.
        hi: upper bound of the output.
    """

    trans_a: bool = False
    trans_b: bool = False
    lo: float = -inf
    hi: float = inf


def matmul_dims(
    a: tuple[Dim, ...], b: tuple[Dim, ...], trans_a: bool = False, trans_b: bool = False
) -> tuple[Dim, ...]:
    """Dims of the product.

    Raises:
        ShapeError: an operand is a scalar or the inner dimensions differ.
    """
    if not a or not b:
        raise ShapeError(
            f"cannot multiply dims {list(a)} by {list(b)}; both need at least one dimension"
        )
    m, k = (None, a[0]) if len(a) == 1 else ((a[-1], a[-2]) if trans_a else (a[-2], a[-1]))
    n, inner = (None, b[0]) if len(b) == 1 else ((b[-2], b[-1]) if trans_b else (b[-1], b[-2]))
    if isinstance(k, int) and isinstance(inner, int) and k != inner:
        raise ShapeError(
            f"cannot multiply dims {list(a)} by {list(b)}: inner dimensions {k} and {inner} differ"
        )
    batch = broadcast(a[:-2], b[:-2])
    return (*batch, *(() if m is None else (m,)), *(() if n is None else (n,)))


def multiply(a: Array, b: Array, trans_a: bool, trans_b: bool) -> Array:
    """Numpy matmul of operands that may be transposed."""
    if trans_a and a.ndim > 1:
        a = np.swapaxes(a, -1, -2)
    if trans_b and b.ndim > 1:
        b = np.swapaxes(b, -1, -2)
    return np.asarray(np.matmul(a, b))


def _from_onnx(node: OnnxNode) -> tuple[MatMulAttributes, list[Value | None]]:
    return MatMulAttributes(), list(node.inputs)


def _infer(
    attributes: MatMulAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    dtype = check_same_dtype(inputs, 0, 1, 2, 3)
    a, b = required(inputs, 0), required(inputs, 1)
    return [ValueType(dtype, matmul_dims(a.dims, b.dims, attributes.trans_a, attributes.trans_b))]


def _reference(
    attributes: MatMulAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    a, b = required(inputs, 0), required(inputs, 1)
    dtype = a.dtype
    if dtype.kind not in "iub" and dtype.itemsize == 2:  # half types accumulate in single precision
        a, b = a.astype(np.float32), b.astype(np.float32)
    y = multiply(a, b, attributes.trans_a, attributes.trans_b)
    for addend in (optional(inputs, 2), optional(inputs, 3)):
        if addend is not None:
            y = y + addend.astype(y.dtype, copy=False)
    return [np.asarray(clip(y, attributes.lo, attributes.hi)).astype(dtype, copy=False)]


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: MatMulAttributes = node.attributes
    a, b = required(node.inputs, 0), required(node.inputs, 1)
    bias, residual = optional(node.inputs, 2), optional(node.inputs, 3)
    if a.dtype is not DType.F32 or (bias is not None and bias.constant is None):
        lowering.host(node)
        return
    lower_gemm(
        lowering,
        [a, b, bias, None, residual, None],
        node.outputs[0],
        trans_a=attributes.trans_a,
        trans_b=attributes.trans_b,
        lo=attributes.lo,
        hi=attributes.hi,
    )


def lower_gemm(
    lowering: Lowering,
    operands: Sequence[Value | None],
    output: Value,
    *,
    trans_a: bool,
    trans_b: bool,
    **attributes: int | float,
) -> None:
    """Writes a `gemm` step; 1-D operands become matrices, since the family knows nothing else."""
    a, b = required(operands, 0), required(operands, 1)
    flat_a, flat_b = len(a.dims) == 1, len(b.dims) == 1
    dims = output.dims
    if flat_b:
        dims = (*dims, 1)
    if flat_a:
        dims = (*dims[:-1], 1, dims[-1])
    if flat_a:
        a, trans_a = _reshaped(lowering, a, (1, a.dims[0])), False
    if flat_b:
        b, trans_b = _reshaped(lowering, b, (b.dims[0], 1)), False
    residual = optional(operands, 4)
    target = output
    if flat_a or flat_b:
        target = lowering.temporary(output.dtype, dims)
        if residual is not None:
            residual = _reshaped(lowering, residual, dims)
    lowering.step(
        "gemm",
        [a, b, *operands[2:4], residual, *operands[5:]],
        [target],
        trans_a=int(trans_a),
        trans_b=int(trans_b),
        **attributes,
    )
    if target is not output:
        lowering.step("reshape", [target], [output])


def _reshaped(lowering: Lowering, value: Value, dims: tuple[Dim, ...]) -> Value:
    if value.constant is not None:
        shape = tuple(dim for dim in dims if isinstance(dim, int))
        return lowering.constant(value.constant.reshape(shape))
    result = lowering.temporary(value.dtype, dims)
    lowering.step("reshape", [value], [result])
    return result


CASES = (
    Case("2d", MatMulAttributes(), (example(5, 7), example(7, 3, seed=1))),
    Case("batch-broadcast", MatMulAttributes(), (example(2, 1, 5, 7), example(3, 7, 4, seed=1))),
    Case("vector-matrix", MatMulAttributes(), (example(7), example(2, 7, 3, seed=1))),
    Case("matrix-vector", MatMulAttributes(), (example(2, 5, 7), example(7, seed=1))),
    Case("dot", MatMulAttributes(), (example(7), example(7, seed=1))),
    Case(
        "transposed",
        MatMulAttributes(trans_a=True, trans_b=True),
        (example(7, 5), example(3, 7, seed=1)),
    ),
    Case(
        "bias-residual-clip",
        MatMulAttributes(lo=0.0, hi=6.0),
        (example(5, 7), example(7, 3, seed=1), example(3, seed=2), example(5, 3, seed=3)),
    ),
    Case("no-rows", MatMulAttributes(), (example(0, 7), example(7, 3, seed=1))),
    Case("no-inner", MatMulAttributes(), (example(5, 0), example(0, 3, seed=1))),
    Case(
        "s32",
        MatMulAttributes(),
        (example_ints(3, 4, dtype=np.int32), example_ints(4, 2, dtype=np.int32, seed=1)),
    ),
)

MATMUL = Operator(
    name="MatMul",
    attributes=MatMulAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (MATMUL,)

"""Gemm: alpha * a' * b' + beta * c.

A pass rewrites it as MatMul where c is a bias, so that fusions see one operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import broadcast
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import check_same_dtype, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops.matmul import MATMUL, MatMulAttributes, matmul_dims, multiply

if TYPE_CHECKING:
    from pyruntime.graph.graph import Graph, Node, Value


@dataclass(frozen=True, slots=True)
class GemmAttributes:
    """Inputs: a [M, K], b [K, N], c? broadcastable to [M, N].

    Attributes:
        alpha: factor of the product.
        beta: factor of c.
        trans_a: a is [K, M].
        trans_b: b is [N, K].
    """

    alpha: float = 1.0
    beta: float = 1.0
    trans_a: bool = False
    trans_b: bool = False


def _from_onnx(node: OnnxNode) -> tuple[GemmAttributes, list[Value | None]]:
    found = node.attributes
    attributes = GemmAttributes(
        alpha=float(found.get("alpha", 1.0)),
        beta=float(found.get("beta", 1.0)),
        trans_a=bool(found.get("transA", 0)),
        trans_b=bool(found.get("transB", 0)),
    )
    return attributes, list(node.inputs)


def _infer(
    attributes: GemmAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    dtype = check_same_dtype(inputs, 0, 1, 2)
    a, b, c = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    if len(a.dims) != 2 or len(b.dims) != 2:
        raise ShapeError(f"Gemm needs two matrices, got dims {list(a.dims)} and {list(b.dims)}")
    dims = matmul_dims(a.dims, b.dims, attributes.trans_a, attributes.trans_b)
    if c is not None and len(broadcast(dims, c.dims)) != 2:
        raise ShapeError(f"c has dims {list(c.dims)} and cannot be broadcast to {list(dims)}")
    return [ValueType(dtype, dims)]


def _reference(
    attributes: GemmAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    a, b, c = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    dtype = a.dtype
    if dtype.kind not in "iub" and dtype.itemsize == 2:
        a, b = a.astype(np.float32), b.astype(np.float32)
    y = multiply(a, b, attributes.trans_a, attributes.trans_b)
    if attributes.alpha != 1.0:
        y = (y * attributes.alpha).astype(y.dtype)
    if c is not None and attributes.beta != 0.0:
        scaled = c.astype(y.dtype, copy=False)
        if attributes.beta != 1.0:
            scaled = (scaled * attributes.beta).astype(y.dtype)
        y = y + scaled
    return [y.astype(dtype, copy=False)]


def _bias_of(attributes: GemmAttributes, c: Value | None, columns: object) -> Array | None:
    """The product beta * c as a constant [N], or None where c is not a bias."""
    if c is None or c.constant is None or not isinstance(columns, int):
        return None
    if len(c.dims) > 1 and c.dims[0] != 1:
        return None
    row = np.broadcast_to(c.constant.reshape(-1), (columns,))
    return np.ascontiguousarray((row * attributes.beta).astype(c.constant.dtype))


def gemm_as_matmul(graph: Graph, node: Node) -> Node | None:
    """The same computation as a MatMul node, not yet placed, or None where it is not one.

    alpha moves into a constant operand, beta into a constant c; c must be one row (of a quantised
    model it is dequantised, so no constant yet).
    """
    attributes: GemmAttributes = node.attributes
    a, b, c = required(node.inputs, 0), required(node.inputs, 1), optional(node.inputs, 2)
    bias: Value | None = None
    if c is not None and attributes.beta != 0.0:
        columns = node.outputs[0].dims[1]
        if attributes.beta == 1.0 and c.dims == (columns,):
            bias = c
        else:
            row = _bias_of(attributes, c, columns)
            if row is None:
                return None
            bias = graph.constant(row, graph.unique(c.name))
    if attributes.alpha != 1.0:
        if b.constant is None:
            return None
        b = graph.constant(
            (b.constant * attributes.alpha).astype(b.constant.dtype), graph.unique(b.name)
        )
    matmul = MatMulAttributes(trans_a=attributes.trans_a, trans_b=attributes.trans_b)
    return graph.make(MATMUL, matmul, [a, b] if bias is None else [a, b, bias], name=node.name)


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: GemmAttributes = node.attributes
    a, b, c = required(node.inputs, 0), required(node.inputs, 1), optional(node.inputs, 2)
    y = node.outputs[0]
    if a.dtype is not DType.F32:
        lowering.host(node)
        return
    if attributes.beta == 0.0:
        c = None
    row = _bias_of(attributes, c, y.dims[1])
    plain = attributes.alpha == 1.0 and (c is None or row is not None)
    product = y if plain else lowering.temporary(y.dtype, y.dims)
    bias = lowering.constant(row) if plain and row is not None else None
    lowering.step(
        "gemm",
        [a, b, bias, None, None, None],
        [product],
        trans_a=int(attributes.trans_a),
        trans_b=int(attributes.trans_b),
    )
    if plain:
        return
    if attributes.alpha != 1.0:
        scaled = y if c is None else lowering.temporary(y.dtype, y.dims)
        _scale(lowering, product, attributes.alpha, scaled)
        product = scaled
    if c is not None:
        if attributes.beta != 1.0:
            scaled = lowering.temporary(c.dtype, c.dims)
            _scale(lowering, c, attributes.beta, scaled)
            c = scaled
        lowering.step("elementwise", [product, c], [y], op="add")


def _scale(lowering: Lowering, value: Value, factor: float, result: Value) -> None:
    lowering.step(
        "elementwise",
        [value, lowering.constant(np.asarray(factor, np.float32))],
        [result],
        op="mul",
    )


CASES = (
    Case(
        "bias",
        GemmAttributes(trans_b=True),
        (example(5, 7), example(3, 7, seed=1), example(3, seed=2)),
    ),
    Case("no-c", GemmAttributes(trans_a=True), (example(7, 5), example(7, 3, seed=1))),
    Case(
        "alpha-beta-matrix",
        GemmAttributes(alpha=0.5, beta=0.25),
        (example(5, 7), example(7, 3, seed=1), example(5, 3, seed=2)),
    ),
    Case(
        "column",
        GemmAttributes(beta=2.0),
        (example(5, 7), example(7, 3, seed=1), example(5, 1, seed=2)),
    ),
    Case(
        "scalar-c",
        GemmAttributes(beta=2.0),
        (example(5, 7), example(7, 3, seed=1), np.asarray(1.5, np.float32)),
    ),
    Case("no-rows", GemmAttributes(), (example(0, 7), example(7, 3, seed=1), example(1, 3))),
    Case(
        "s32",
        GemmAttributes(),
        (example_ints(3, 4, dtype=np.int32), example_ints(4, 2, dtype=np.int32, seed=1)),
    ),
)

GEMM = Operator(
    name="Gemm",
    attributes=GemmAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (GEMM,)

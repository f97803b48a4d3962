"""Attention: scaled dot products of queries and keys, softmax, and a product with the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ArgumentError, ShapeError
from pyruntime.graph.dims import Dim
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._onnx_types import onnx_dtype
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

Q, K, V, MASK, PAST_KEY, PAST_VALUE, VALID = range(7)


@dataclass(frozen=True, slots=True)
class AttentionAttributes:
    """Inputs: q, k, v, mask?, past key?, past value?, valid key counts? s64 [B].

    q, k, v are [B, heads, length, size], or [B, length, heads * size] with head counts given.
    Outputs: y like q, present key, present value, scores (see `scores_stage`).

    Attributes:
        causal: query i sees keys up to i + offset, the number of keys before the queries.
        scale: of the scores; None: 1 / sqrt(size).
        query_heads: of 3-D inputs; 0 otherwise.
        key_heads: of 3-D inputs; 0 otherwise.
        softcap: scores become softcap * tanh(scores / softcap); 0: they do not.
        precision: type of the softmax; None: that of q.
        scores_stage: what output 3 holds: 0 products, 1 after softcap, 2 with mask, 3 softmax.
        left_window: keys before a query's own position that it sees; -1: all.
        right_window: keys behind it; -1: all.
    """

    causal: bool = False
    scale: float | None = None
    query_heads: int = 0
    key_heads: int = 0
    softcap: float = 0.0
    precision: DType | None = None
    scores_stage: int = 0
    left_window: int = -1
    right_window: int = -1


def _from_onnx(node: OnnxNode) -> tuple[AttentionAttributes, list[Value | None]]:
    found = node.attributes
    precision = int(found.get("softmax_precision", 0))
    scale = found.get("scale")
    attributes = AttentionAttributes(
        causal=bool(found.get("is_causal", 0)),
        scale=None if scale is None else float(scale),
        query_heads=int(found.get("q_num_heads", 0)),
        key_heads=int(found.get("kv_num_heads", 0)),
        softcap=float(found.get("softcap", 0.0)),
        precision=onnx_dtype(precision, node.where) if precision else None,
        scores_stage=int(found.get("qk_matmul_output_mode", 0)),
        left_window=int(found.get("left_window_size", -1)),
        right_window=int(found.get("right_window_size", -1)),
    )
    if len(required(node.inputs, Q).dims) == 3 and not (
        attributes.query_heads and attributes.key_heads
    ):
        raise ArgumentError(f"{node.where}: 3-D inputs need q_num_heads and kv_num_heads")
    return attributes, list(node.inputs)


def _by_head(dims: tuple[Dim, ...], heads: int) -> tuple[Dim, ...]:
    """Dims [B, heads, length, size]."""
    if len(dims) == 4:
        return dims
    if len(dims) != 3 or not heads:
        raise ShapeError(f"dims {list(dims)} are neither 4-D nor 3-D with a number of heads")
    return (dims[0], heads, dims[1], dims[2] // heads)


def _infer(
    attributes: AttentionAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    q, k, v = (required(inputs, index) for index in (Q, K, V))
    q_dims = _by_head(q.dims, attributes.query_heads)
    k_dims = _by_head(k.dims, attributes.key_heads)
    v_dims = _by_head(v.dims, attributes.key_heads)
    past = optional(inputs, PAST_KEY)
    total = k_dims[2] if past is None else past.dims[2] + k_dims[2]
    y: tuple[Dim, ...] = (*q_dims[:3], v_dims[3])
    if len(q.dims) == 3:
        y = (q_dims[0], q_dims[2], q_dims[1] * v_dims[3])
    return [
        ValueType(q.dtype, y),
        ValueType(k.dtype, (*k_dims[:2], total, k_dims[3])),
        ValueType(v.dtype, (*v_dims[:2], total, v_dims[3])),
        ValueType(q.dtype, (*q_dims[:3], total)),
    ][: max(outputs, 1)]


def _heads_first(x: Array, heads: int) -> Array:
    if x.ndim == 4:
        return x
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def _allowed(attributes: AttentionAttributes, queries: int, keys: int, offset: Array) -> Array:
    """Which keys each query sees by causality and window, bool [B or 1, 1, queries, keys]."""
    distance = np.arange(queries)[:, None] + offset.reshape(-1, 1, 1, 1) - np.arange(keys)
    seen = np.ones(distance.shape, bool)
    if attributes.causal:
        seen &= distance >= 0
    if attributes.left_window >= 0:
        seen &= distance <= attributes.left_window
    if attributes.right_window >= 0:
        seen &= -distance <= attributes.right_window
    return seen


def _bias(
    attributes: AttentionAttributes, inputs: Sequence[Array | None], q: Array, keys: int
) -> Array:
    """What is added to the scores, broadcastable to [B, heads, queries, keys]; -inf hides a key."""
    mask, past, valid = (optional(inputs, index) for index in (MASK, PAST_KEY, VALID))
    queries = q.shape[2]
    hidden = q.dtype.type(-np.inf)
    offset = np.zeros(1, np.int64)
    if past is not None:
        offset = np.asarray([past.shape[2]])
    elif valid is not None:
        offset = valid.reshape(-1) - queries
    seen = _allowed(attributes, queries, keys, offset)
    if valid is not None:
        seen = seen & (np.arange(keys) < valid.reshape(-1, 1, 1, 1))
    bias: Array = np.where(seen, q.dtype.type(0), hidden)
    if mask is None:
        return bias
    missing = keys - mask.shape[-1]
    boolean = mask.dtype == np.bool_
    if missing > 0:
        widths = [*[(0, 0)] * (mask.ndim - 1), (0, missing)]
        mask = np.pad(mask, widths, constant_values=False if boolean else -np.inf)
    added: Array = np.where(mask, q.dtype.type(0), hidden) if boolean else mask.astype(q.dtype)
    return np.asarray(bias + added)


def _product(a: Array, b: Array) -> Array:
    """Matrix product; half types accumulate in single precision."""
    if a.dtype.itemsize > 2:
        return np.asarray(np.matmul(a, b))
    return np.asarray(np.matmul(a.astype(np.float32), b.astype(np.float32))).astype(a.dtype)


def _softmax(scores: Array) -> Array:
    top = np.max(scores, axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(scores - np.where(np.isneginf(top), 0, top).astype(scores.dtype))
    total = e.sum(axis=-1, keepdims=True)
    return np.asarray(e / np.where(total == 0, 1, total))


def _reference(
    attributes: AttentionAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    q, k, v = (required(inputs, index) for index in (Q, K, V))
    flat = q.ndim == 3
    dtype = q.dtype
    q = _heads_first(q, attributes.query_heads)
    k, v = (_heads_first(x, attributes.key_heads) for x in (k, v))
    past_key, past_value = optional(inputs, PAST_KEY), optional(inputs, PAST_VALUE)
    if past_key is not None and past_value is not None:
        k = np.concatenate([past_key, k], axis=2)
        v = np.concatenate([past_value, v], axis=2)
    present = [k, v]
    repeats = q.shape[1] // k.shape[1]
    k, v = (np.repeat(x, repeats, axis=1) if repeats > 1 else x for x in (k, v))
    scale = 1 / sqrt(q.shape[3]) if attributes.scale is None else attributes.scale
    root = dtype.type(sqrt(scale))  # on both factors, so that half types do not overflow
    scores = _product(q * root, k.swapaxes(2, 3) * root)
    stages = [scores]
    if attributes.softcap > 0:
        cap = dtype.type(attributes.softcap)
        scores = np.tanh(scores / cap) * cap
    stages.append(scores)
    bias = _bias(attributes, inputs, q, k.shape[2])
    with np.errstate(invalid="ignore"):
        scores = scores + bias
    stages.append(scores)
    if attributes.precision is not None:
        scores = scores.astype(attributes.precision.numpy)
    # A query that sees no key gives zeros.
    blind = np.isneginf(np.max(bias, axis=-1, keepdims=True, initial=-np.inf))
    probabilities = np.where(blind, 0, _softmax(scores)).astype(dtype)
    stages.append(probabilities)
    y = _product(probabilities, v.astype(dtype))
    if flat:
        y = y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1)
    shape = (*q.shape[:3], k.shape[2])
    chosen = np.broadcast_to(stages[attributes.scores_stage], shape).astype(dtype)
    return [np.ascontiguousarray(y), *present, chosen][: max(outputs, 1)]


def _lower(node: Node, lowering: Lowering) -> None:
    """Native for self or cross attention without cache, masks or groups of heads."""
    attributes: AttentionAttributes = node.attributes
    q, k, v = (required(node.inputs, index) for index in (Q, K, V))
    dims = [
        _by_head(value.dims, heads)
        for value, heads in (
            (q, attributes.query_heads),
            (k, attributes.key_heads),
            (v, attributes.key_heads),
        )
    ]
    size = dims[0][3]
    special = (
        any(value is not None for value in node.inputs[MASK:])
        or attributes.softcap > 0
        or attributes.precision not in (None, DType.F32)
        or attributes.left_window >= 0
        or attributes.right_window >= 0
        or len(node.outputs) > 1
    )
    lengths = (dims[0][2], dims[1][2])
    causal_known = not attributes.causal or all(isinstance(d, int) for d in lengths)
    if q.dtype is not DType.F32 or special or not causal_known or dims[0][1] != dims[1][1]:
        lowering.host(node)
        return
    if not isinstance(size, int):
        lowering.host(node)
        return
    by_head = [
        _lower_heads(lowering, value, shape) for value, shape in zip((q, k, v), dims, strict=True)
    ]
    scale = 1 / sqrt(size) if attributes.scale is None else attributes.scale
    score_dims = (*dims[0][:3], dims[1][2])
    scores, scaled, weights = (lowering.temporary(q.dtype, score_dims) for _ in range(3))
    lowering.step("gemm", [by_head[0], by_head[1], None, None, None, None], [scores], trans_b=1)
    factor = lowering.constant(np.asarray(scale, np.float32))
    lowering.step("elementwise", [scores, factor], [scaled], op="mul")
    if attributes.causal:
        queries, keys = (int(d) for d in lengths if isinstance(d, int))
        seen = _allowed(attributes, queries, keys, np.zeros(1, np.int64))[0, 0]
        masked = lowering.temporary(q.dtype, score_dims)
        bias = lowering.constant(np.where(seen, 0, -np.inf).astype(np.float32))
        lowering.step("elementwise", [scaled, bias], [masked], op="add")
        scaled = masked
    lowering.step("softmax", [scaled], [weights], axis=3)
    y = node.outputs[0]
    if len(q.dims) == 4:
        lowering.step("gemm", [weights, by_head[2], None, None, None, None], [y])
        return
    context = lowering.temporary(q.dtype, (*dims[0][:3], dims[2][3]))
    lowering.step("gemm", [weights, by_head[2], None, None, None, None], [context])
    order = (context.dims[0], context.dims[2], context.dims[1], context.dims[3])
    moved = lowering.temporary(q.dtype, order)
    lowering.step("transpose", [context], [moved], perm=[0, 2, 1, 3])
    lowering.step("reshape", [moved], [y])


def _lower_heads(lowering: Lowering, value: Value, dims: tuple[Dim, ...]) -> Value:
    if len(value.dims) == 4:
        return value
    split = lowering.temporary(value.dtype, (dims[0], dims[2], dims[1], dims[3]))
    lowering.step("reshape", [value], [split])
    result = lowering.temporary(value.dtype, dims)
    lowering.step("transpose", [split], [result], perm=[0, 2, 1, 3])
    return result


_QKV = (example(2, 4, 3, 5), example(2, 4, 6, 5, seed=1), example(2, 4, 6, 7, seed=2))
CASES = (
    Case("cross", AttentionAttributes(), _QKV),
    Case(
        "3d",
        AttentionAttributes(query_heads=4, key_heads=4, scale=0.3),
        (example(2, 3, 20), example(2, 6, 20, seed=1), example(2, 6, 12, seed=2)),
    ),
    Case("causal", AttentionAttributes(causal=True), _QKV, outputs=4),
    Case(
        "grouped-mask-cache",
        AttentionAttributes(softcap=2.0, scores_stage=2),
        (
            example(2, 4, 3, 5),
            example(2, 2, 3, 5, seed=1),
            example(2, 2, 3, 5, seed=2),
            np.tri(3, 7, 4) > 0,
            example(2, 2, 4, 5, seed=3),
            example(2, 2, 4, 5, seed=4),
        ),
        outputs=4,
    ),
    Case(
        "blind-queries",
        AttentionAttributes(causal=True),
        (*_QKV, None, None, None, np.asarray([2, 6], np.int64)),
    ),
    Case("no-queries", AttentionAttributes(), (_QKV[0][:, :, :0], *_QKV[1:])),
)

ATTENTION = Operator(
    name="Attention",
    attributes=AttentionAttributes,
    from_onnx={23: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (ATTENTION,)

"""Turns what stands between integer layers into integer operators.

Case 1: DQ, DQ -> Add or Mul (-> Relu or Clip) -> Q: one QBinary, the clip as bounds.
Case 2: DQ -> any elementwise function of one value -> Q: a table of 256 entries, made by the
function's reference.
Case 3: DQ -> average pooling -> Q: pooling of integers.
"""

from __future__ import annotations

from dataclasses import fields, replace
from math import inf

import numpy as np

from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops.binary import ADD, MUL
from pyruntime.ops.pool import AVERAGE_POOL, GLOBAL_AVERAGE_POOL
from pyruntime.ops.qelementwise import LOOKUP, QBINARY, LookupAttributes, QBinaryAttributes
from pyruntime.ops.qpool import QPOOL, QPoolAttributes
from pyruntime.passes._match import Consumers, sole_user
from pyruntime.passes._pass import Pass
from pyruntime.passes.fuse_epilogue import clip_bounds
from pyruntime.passes.integer._quantized import (
    Quantized,
    dequantized,
    quantized_bounds,
    sole_quantizer,
    storable_scale,
)
from pyruntime.passes.integer.supported import is_elementwise_function


def _signed(value: Value | None) -> Quantized | None:
    found = dequantized(value)
    if found is None or not found.per_tensor or found.q.dtype is not DType.S8:
        return None
    return found


def _ratio(graph: Graph, scale: float, divisor: np.float32) -> Value | None:
    ratio = storable_scale(scale / float(divisor))
    return None if ratio is None else graph.constant(ratio)


def _clipped_binary(
    graph: Graph, consumers: Consumers, node: Node
) -> tuple[Node, tuple[float, float]] | None:
    """The Add or Mul that only this Relu or Clip reads, and the bounds."""
    bounds = clip_bounds(node)
    source = node.inputs[0] if bounds is not None else None
    if bounds is None or source is None or source.producer is None:
        return None
    if (
        source.producer.operator not in (ADD, MUL)
        or sole_user(graph, consumers, source) is not node
    ):
        return None
    return source.producer, bounds


def _binary(
    graph: Graph, node: Node, target: Quantized, bounds: tuple[float, float]
) -> Node | None:
    a, b = _signed(node.inputs[0]), _signed(node.inputs[1])
    if a is None or b is None:
        return None
    if node.operator is ADD:
        scales = [
            _ratio(graph, float(a.single_scale), target.single_scale),
            _ratio(graph, float(b.single_scale), target.single_scale),
        ]
    else:
        product = float(a.single_scale) * float(b.single_scale)
        scales = [_ratio(graph, product, target.single_scale)]
    if any(scale is None for scale in scales):
        return None
    q_lo, q_hi = quantized_bounds(*bounds, target)
    attributes = QBinaryAttributes(
        op="add" if node.operator is ADD else "mul",
        a_zero_point=a.single_zero_point,
        b_zero_point=b.single_zero_point,
        y_zero_point=target.single_zero_point,
        q_lo=q_lo,
        q_hi=q_hi,
    )
    return graph.make(
        QBINARY, attributes, [a.q, b.q, *scales], [graph.unique(node.name)], node.name
    )


def function_table(node: Node, source: Quantized, target: Quantized) -> np.ndarray:
    """table[q + 128] = Q(f(DQ(q))) for every s8 q, as ONNX defines Q and DQ."""
    q = np.arange(-128, 128, dtype=np.int32)
    x = (q - source.single_zero_point).astype(np.float32) * source.single_scale
    arrays = [x, *(None if v is None else v.constant for v in node.inputs[1:])]
    with np.errstate(all="ignore"):
        y = node.operator.reference(node.attributes, arrays, 1)[0]
        steps = np.rint(y.astype(np.float32) / target.single_scale) + target.single_zero_point
    steps = np.where(np.isnan(steps), target.single_zero_point, steps)
    return np.clip(steps, -128, 127).astype(np.int8)


def _function(graph: Graph, node: Node, target: Quantized) -> Node | None:
    source = _signed(node.inputs[0])
    if source is None:
        return None
    table = graph.constant(function_table(node, source, target), f"{node.name}.table")
    return graph.make(
        LOOKUP, LookupAttributes(), [source.q, table], [graph.unique(node.name)], node.name
    )


def _pool(graph: Graph, node: Node, target: Quantized) -> Node | None:
    source = _signed(node.inputs[0])
    if source is None:
        return None
    attributes = QPoolAttributes(
        op="average",
        x_zero_point=source.single_zero_point,
        y_zero_point=target.single_zero_point,
    )
    if node.operator is AVERAGE_POOL:
        geometry = {
            entry.name: getattr(node.attributes, entry.name) for entry in fields(node.attributes)
        }
        attributes = replace(attributes, **geometry)
    scale = _ratio(graph, float(source.single_scale), target.single_scale)
    if scale is None:
        return None
    return graph.make(QPOOL, attributes, [source.q, scale], [graph.unique(node.name)], node.name)


def make_integer_between(graph: Graph) -> bool:
    """Applies the cases to every node whose only user is a QuantizeLinear to s8."""
    changed = False
    consumers = graph.consumers()
    for node in list(graph.nodes):
        found = sole_quantizer(graph, consumers, node.outputs[0]) if node.outputs else None
        if found is None or found[1].q.dtype is not DType.S8:
            continue
        integer: Node | None = None
        clipped = _clipped_binary(graph, consumers, node)
        if node.operator is ADD or node.operator is MUL:
            integer = _binary(graph, node, found[1], (-inf, inf))
        elif clipped is not None:
            integer = _binary(graph, clipped[0], found[1], clipped[1])
            if integer is not None:
                graph.nodes.remove(clipped[0])
        elif node.operator is AVERAGE_POOL or node.operator is GLOBAL_AVERAGE_POOL:
            integer = _pool(graph, node, found[1])
        if integer is None and is_elementwise_function(node):
            integer = _function(graph, node, found[1])
        if integer is None:
            continue
        output = found[0].outputs[0]
        integer.outputs = [output]
        output.producer = integer
        graph.nodes[graph.nodes.index(node)] = integer
        graph.nodes.remove(found[0])
        changed = True
        consumers = graph.consumers()
    return changed


BETWEEN = Pass(
    "integer_between",
    requires="integer_layers",
    ensures="additions, products, activations and average pools between DQ and Q are integer",
    run=make_integer_between,
)

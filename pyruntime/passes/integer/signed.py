"""Makes 8-bit values signed: u8 with zero point z is s8 with zero point z - 128.

After this every value between integer operators is s8, as the Program wants. u8 stays at graph
inputs and outputs and where an operator other than DequantizeLinear reads it; a CastSign turns one
into the other there.

Case 1: QuantizeLinear to u8.
Case 2: DequantizeLinear from u8: a constant is rewritten, any other value goes through CastSign.
A CastSign of a CastSign cancels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops.qelementwise import CAST_SIGN, CastSignAttributes
from pyruntime.ops.quantize_linear import DEQUANTIZE_LINEAR, QUANTIZE_LINEAR
from pyruntime.passes._match import input_at
from pyruntime.passes._pass import Pass

_OFFSET = 128


def _signed_zero_point(graph: Graph, node: Node) -> Value | None:
    """The zero point minus 128 as s8, or None if it is not a constant."""
    zero_point = input_at(node, 2)
    scale = node.inputs[1]
    if zero_point is None:
        if scale is None:
            return None
        shape = tuple(d for d in scale.dims if isinstance(d, int))
        return graph.constant(np.full(shape, -_OFFSET, dtype=np.int8))
    if zero_point.constant is None:
        return None
    return graph.constant((zero_point.constant.astype(np.int16) - _OFFSET).astype(np.int8))


def _cast(graph: Graph, value: Value) -> Node:
    return graph.make(
        CAST_SIGN,
        CastSignAttributes(),
        [value],
        [graph.unique(value.name)],
        graph.unique("cast_sign"),
    )


def _is_uncast(value: Value) -> bool:
    return value.producer is not None and value.producer.operator is CAST_SIGN


def _quantize(graph: Graph, node: Node) -> list[Node] | None:
    zero_point = _signed_zero_point(graph, node)
    if zero_point is None:
        return None
    old = node.outputs[0]
    signed = graph.make(
        QUANTIZE_LINEAR,
        replace(node.attributes, out=DType.S8),
        [node.inputs[0], node.inputs[1], zero_point],
        [graph.unique(old.name)],
        node.name,
    )
    if signed.outputs[0].dtype is not DType.S8:
        return None
    back = _cast(graph, signed.outputs[0])
    back.outputs = [old]
    old.producer = back
    return [signed, back]


def _dequantize(graph: Graph, node: Node) -> list[Node] | None:
    q = node.inputs[0]
    zero_point = _signed_zero_point(graph, node)
    if q is None or zero_point is None:
        return None
    node.inputs = [q, node.inputs[1], zero_point]
    if q.constant is not None:
        flipped = (q.constant.astype(np.int16) - _OFFSET).astype(np.int8)
        node.inputs[0] = graph.constant(flipped, graph.unique(q.name))
        return [node]
    if _is_uncast(q) and q.producer is not None:
        node.inputs[0] = q.producer.inputs[0]
        return [node]
    cast = _cast(graph, q)
    node.inputs[0] = cast.outputs[0]
    return [cast, node]


def make_signed(graph: Graph) -> bool:
    """Applies the cases to every Q and DQ of u8."""
    changed = False
    nodes: list[Node] = []
    for node in graph.nodes:
        replacement: list[Node] | None = None
        if node.operator is QUANTIZE_LINEAR and node.outputs[0].dtype is DType.U8:
            replacement = _quantize(graph, node)
        elif node.operator is DEQUANTIZE_LINEAR:
            q = node.inputs[0]
            if q is not None and q.dtype is DType.U8:
                replacement = _dequantize(graph, node)
        nodes.extend([node] if replacement is None else replacement)
        changed = changed or replacement is not None
    graph.nodes = nodes
    return changed


SIGNED = Pass(
    "signed",
    requires="nothing",
    ensures="Q and DQ with constant parameters work on s8",
    run=make_signed,
)

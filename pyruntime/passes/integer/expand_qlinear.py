"""Writes QLinearConv and QLinearMatMul as Q/DQ pairs around Conv and MatMul.

One set of passes then serves both ways of saying it; the integer operators that the pairs become
compute what QLinear* specifies.
"""

from __future__ import annotations

from pyruntime.graph import Graph, Node, Value
from pyruntime.ops.conv import CONV, ConvAttributes
from pyruntime.ops.matmul import MATMUL, MatMulAttributes
from pyruntime.ops.qlinear import QLINEAR_CONV, QLINEAR_MATMUL
from pyruntime.ops.quantize_linear import (
    DEQUANTIZE_LINEAR,
    QUANTIZE_LINEAR,
    DequantizeAttributes,
    QuantizeAttributes,
)
from pyruntime.passes._match import input_at
from pyruntime.passes._pass import Pass


def _constant_parameters(node: Node, positions: tuple[int, ...]) -> bool:
    values = [input_at(node, position) for position in positions]
    return all(value is not None and value.constant is not None for value in values)


def _dequantize(graph: Graph, node: Node, first: int, axis: int) -> Node:
    """DequantizeLinear of the (value, scale, zero point) triple that starts at input `first`."""
    return graph.make(
        DEQUANTIZE_LINEAR,
        DequantizeAttributes(axis=axis),
        node.inputs[first : first + 3],
        [graph.unique(f"{node.name}.dequantized")],
        graph.unique(f"{node.name}.dequantize"),
    )


def _quantize_back(graph: Graph, node: Node, real: Value, scale: int) -> Node:
    last = graph.make(
        QUANTIZE_LINEAR,
        QuantizeAttributes(out=node.outputs[0].dtype),
        [real, node.inputs[scale], node.inputs[scale + 1]],
        [graph.unique(f"{node.name}.quantized")],
        graph.unique(f"{node.name}.quantize"),
    )
    last.outputs = [node.outputs[0]]
    node.outputs[0].producer = last
    return last


def _conv(graph: Graph, node: Node) -> list[Node] | None:
    if not _constant_parameters(node, (1, 2, 3, 4, 5, 6, 7)):
        return None
    x, w = _dequantize(graph, node, 0, 1), _dequantize(graph, node, 3, 0)
    nodes = [x, w]
    inputs: list[Value | None] = [x.outputs[0], w.outputs[0]]
    bias = input_at(node, 8)
    if bias is not None:
        x_scale, w_scale = node.inputs[1], node.inputs[4]
        assert x_scale is not None
        assert x_scale.constant is not None
        assert w_scale is not None
        assert w_scale.constant is not None
        scale = (x_scale.constant.reshape(-1) * w_scale.constant.reshape(-1)).astype("float32")
        pair = graph.make(
            DEQUANTIZE_LINEAR,
            DequantizeAttributes(axis=0),
            [bias, graph.constant(scale if scale.size > 1 else scale.reshape(()))],
            [graph.unique(f"{node.name}.bias")],
            graph.unique(f"{node.name}.dequantize"),
        )
        nodes.append(pair)
        inputs.append(pair.outputs[0])
    a = node.attributes
    attributes = ConvAttributes(
        strides=a.strides, pads=a.pads, dilations=a.dilations, group=a.group, auto_pad=a.auto_pad
    )
    conv = graph.make(CONV, attributes, inputs, [graph.unique(f"{node.name}.real")], node.name)
    return [*nodes, conv, _quantize_back(graph, node, conv.outputs[0], 6)]


def _matmul(graph: Graph, node: Node) -> list[Node] | None:
    if not _constant_parameters(node, (1, 2, 4, 5, 6, 7)):
        return None
    b_value = node.inputs[3]
    assert b_value is not None
    a, b = _dequantize(graph, node, 0, 1), _dequantize(graph, node, 3, len(b_value.dims) - 1)
    product = graph.make(
        MATMUL,
        MatMulAttributes(),
        [a.outputs[0], b.outputs[0]],
        [graph.unique(f"{node.name}.real")],
        node.name,
    )
    return [a, b, product, _quantize_back(graph, node, product.outputs[0], 6)]


def expand_qlinear(graph: Graph) -> bool:
    """Replaces every QLinearConv and QLinearMatMul whose scales and zero points are constant."""
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes:
        replacement: list[Node] | None = None
        if node.operator is QLINEAR_CONV:
            replacement = _conv(graph, node)
        elif node.operator is QLINEAR_MATMUL:
            replacement = _matmul(graph, node)
        nodes.extend([node] if replacement is None else replacement)
        changed = changed or replacement is not None
    graph.nodes = nodes
    return changed


EXPAND_QLINEAR = Pass(
    "expand_qlinear",
    requires="nothing",
    ensures="QLinear operators with constant parameters are Q/DQ pairs",
    run=expand_qlinear,
)

"""Moves dequantisation behind operators that only move or select data, so that they work on bytes.

Case 1: all data inputs are dequantised with the same parameters: the operator runs on the integers.
Case 2: Concat of inputs with different parameters, quantised afterwards: each input is requantised
first.
Case 3: DequantizeLinear then QuantizeLinear with equal parameters: both vanish.
Case 4: the same with different parameters: one Requantize.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops.concat import CONCAT
from pyruntime.ops.qelementwise import REQUANTIZE, RequantizeAttributes
from pyruntime.ops.quantize_linear import QUANTIZE_LINEAR
from pyruntime.passes._pass import Pass
from pyruntime.passes.integer._quantized import (
    Quantized,
    dequantized,
    make_dequantize,
    quantizer,
    sole_quantizer,
    storable_scale,
)
from pyruntime.passes.integer.supported import keeps_scale


def _typed_zero(quantized: Quantized) -> NDArray[Any]:
    return np.array(quantized.single_zero_point, quantized.q.dtype.numpy)


def _data_inputs(node: Node) -> list[int]:
    return [
        index
        for index, value in enumerate(node.inputs)
        if value is not None and value.dtype is DType.F32
    ]


def _requantize(graph: Graph, source: Quantized, target: Quantized) -> Node | None:
    scale = storable_scale(float(source.single_scale) / float(target.single_scale))
    if scale is None:
        return None
    return graph.make(
        REQUANTIZE,
        RequantizeAttributes(
            x_zero_point=source.single_zero_point, y_zero_point=target.single_zero_point
        ),
        [source.q, graph.constant(scale)],
        [graph.unique(source.q.name)],
        graph.unique("requantize"),
    )


def _on_integers(graph: Graph, node: Node) -> list[Node] | None:
    """Case 1 and 2: the nodes that take the place of `node`."""
    positions = _data_inputs(node)
    sources = [dequantized(node.inputs[index]) for index in positions]
    known = [s for s in sources if s is not None and s.per_tensor and s.q.dtype is DType.S8]
    if not positions or len(known) != len(sources) or len(node.outputs) != 1:
        return None
    before: list[Node] = []
    target = known[0]
    if not all(target.same_parameters(other) for other in known):
        found = sole_quantizer(graph, graph.consumers(), node.outputs[0])
        if node.operator is not CONCAT or found is None or found[1].q.dtype is not DType.S8:
            return None
        target = found[1]
        for i, source in enumerate(known):
            if not source.same_parameters(target):
                step = _requantize(graph, source, target)
                if step is None:
                    return None
                before.append(step)
                known[i] = Quantized(step.outputs[0], target.scale, target.zero_point, 0)
    inputs: list[Value | None] = list(node.inputs)
    for index, source in zip(positions, known, strict=True):
        inputs[index] = source.q
    old = node.outputs[0]
    moved = graph.make(node.operator, node.attributes, inputs, [graph.unique(old.name)], node.name)
    back = make_dequantize(
        graph, moved.outputs[0], target.single_scale, _typed_zero(target), graph.unique(old.name)
    )
    back.outputs = [old]
    old.producer = back
    return [*before, moved, back]


def _cancel(graph: Graph, node: Node) -> list[Node] | None:
    """Case 3 and 4, for a QuantizeLinear."""
    source, target = dequantized(node.inputs[0]), quantizer(node)
    if source is None or target is None or not source.per_tensor:
        return None
    if source.same_parameters(target):
        graph.replace(node.outputs[0], source.q)
        return []
    if source.q.dtype is not DType.S8 or target.q.dtype is not DType.S8:
        return None
    step = _requantize(graph, source, target)
    if step is None:
        return None
    step.outputs = [node.outputs[0]]
    node.outputs[0].producer = step
    return [step]


def propagate(graph: Graph) -> bool:
    """Applies the cases in execution order, which carries a DQ through a whole chain."""
    changed = False
    for node in list(graph.nodes):
        replacement: list[Node] | None = None
        if node.operator is QUANTIZE_LINEAR:
            replacement = _cancel(graph, node)
        elif keeps_scale(node):
            replacement = _on_integers(graph, node)
        if replacement is not None:
            place = graph.nodes.index(node)
            graph.nodes[place : place + 1] = replacement
            changed = True
    return changed


PROPAGATE = Pass(
    "propagate",
    requires="signed",
    ensures="data movement between quantised operators works on s8",
    run=propagate,
)

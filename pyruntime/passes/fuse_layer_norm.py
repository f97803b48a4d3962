"""Recognises a layer norm over the last axis written in pieces.

d = x - mean(x), y = d / sqrt(mean(d * d) + epsilon), then perhaps * scale and + bias.
"""

from __future__ import annotations

import numpy as np

from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops.binary import ADD, DIV, MUL, POW, SUB
from pyruntime.ops.layer_normalization import LAYER_NORMALIZATION, LayerNormalizationAttributes
from pyruntime.ops.reduce import REDUCE_MEAN
from pyruntime.ops.unary import SQRT
from pyruntime.passes._match import Consumers, other_input, replace_node, scalar_of, sole_user
from pyruntime.passes._pass import Pass


def _mean_of(value: Value | None) -> Value | None:
    """X where the value is the mean of x over the last axis, which stays."""
    node = None if value is None else value.producer
    if node is None or node.operator is not REDUCE_MEAN or not node.attributes.keepdims:
        return None
    x = node.inputs[0]
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    if x is None or axes is None or axes.constant is None:
        return None
    last = len(x.dims) - 1
    return x if [int(a) % len(x.dims) for a in axes.constant.reshape(-1)] == [last] else None


def _is_square(value: Value, d: Value) -> bool:
    node = value.producer
    if node is None:
        return False
    if node.operator is POW:
        return node.inputs[0] is d and scalar_of(node.inputs[1]) == 2.0
    return node.operator is MUL and node.inputs[0] is d and node.inputs[1] is d


def _match(division: Node) -> tuple[Value, float] | None:
    """(x, epsilon) where the division is the end of a normalisation."""
    d, root = division.inputs
    if d is None or root is None or root.producer is None or root.producer.operator is not SQRT:
        return None
    total = root.producer.inputs[0]
    if total is None or total.producer is None or total.producer.operator is not ADD:
        return None
    for variance, added in (total.producer.inputs, total.producer.inputs[::-1]):
        epsilon, square = scalar_of(added), _mean_of(variance)
        if epsilon is None or epsilon < 0 or square is None or not _is_square(square, d):
            continue
        centre = d.producer
        if centre is None or centre.operator is not SUB:
            return None
        x = centre.inputs[0]
        return (x, epsilon) if x is not None and _mean_of(centre.inputs[1]) is x else None
    return None


def _vector(value: Value | None, n: int) -> Value | None:
    """A constant [n], as scales and biases are."""
    known = value is not None and value.constant is not None
    return value if known and value is not None and value.dims == (n,) else None


def _affine(
    graph: Graph, consumers: Consumers, last: Node, n: int
) -> tuple[Node, Value | None, Value | None]:
    """(last node, scale, bias) with what follows the division."""
    found: list[Value | None] = [None, None]
    for index, operator in enumerate((MUL, ADD)):
        user = sole_user(graph, consumers, last.outputs[0])
        if user is None or user.operator is not operator:
            continue
        found[index] = _vector(other_input(user, last.outputs[0]), n)
        if found[index] is not None:
            last = user
    return last, found[0], found[1]


def fuse_layer_norm(graph: Graph) -> bool:
    """Replaces the last node of each pattern; what only the pattern used is dead then."""
    changed = False
    consumers = graph.consumers()
    for node in list(graph.nodes):
        if node.operator is not DIV or node.outputs[0].dtype is not DType.F32:
            continue
        found = _match(node)
        if found is None:
            continue
        x, epsilon = found
        n = x.dims[-1]
        if not isinstance(n, int):
            continue
        last, scale, bias = _affine(graph, consumers, node, n)
        if scale is None:
            scale = graph.constant(np.ones(n, np.float32))
        attributes = LayerNormalizationAttributes(axis=-1, epsilon=epsilon)
        replace_node(graph, last, LAYER_NORMALIZATION, attributes, [x, scale, bias])
        changed = True
        consumers = graph.consumers()
    return changed


FUSE_LAYER_NORM = Pass(
    "fuse_layer_norm",
    requires="constants are folded",
    ensures="a layer norm over the last axis is one node",
    run=fuse_layer_norm,
)

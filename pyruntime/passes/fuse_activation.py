"""Recognises activations that exporters write in pieces.

Case 1: HardSwish: x * Clip(x + 3, 0, 6) / 6, the division before or after the product, or as a
product with 1/6.
Case 2: SiLU: x * Sigmoid(x).
"""

from __future__ import annotations

from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops.activations import SWISH, EluAttributes
from pyruntime.ops.binary import ADD, DIV, MUL
from pyruntime.ops.unary import HARD_SWISH, SIGMOID
from pyruntime.passes._match import Consumers, other_input, replace_node, scalar_of, sole_user
from pyruntime.passes._pass import Pass
from pyruntime.passes.fuse_epilogue import clip_bounds

_TOLERANCE = 1e-6


def _shifted(value: Value | None) -> Value | None:
    """X of x + 3."""
    node = None if value is None else value.producer
    if node is None or node.operator is not ADD:
        return None
    for index in (0, 1):
        if scalar_of(node.inputs[index]) == 3.0:
            return node.inputs[1 - index]
    return None


def _is_sixth(node: Node, value: Value) -> bool:
    """Whether the node divides the value by 6."""
    factor = scalar_of(other_input(node, value))
    if factor is None:
        return False
    if node.operator is DIV:
        return node.inputs[0] is value and factor == 6.0
    return node.operator is MUL and abs(factor - 1.0 / 6.0) < _TOLERANCE


def _hard_swish(graph: Graph, consumers: Consumers, clip: Node) -> tuple[Value, Node] | None:
    """(x, last node of the pattern) for the Clip within."""
    if clip_bounds(clip) != (0.0, 6.0):
        return None
    x = _shifted(clip.inputs[0])
    value = clip.outputs[0]
    if x is None:
        return None
    seen_product = seen_sixth = False
    node: Node | None = None
    for _ in range(2):
        user = sole_user(graph, consumers, value)
        if user is None:
            return None
        if not seen_product and user.operator is MUL and other_input(user, value) is x:
            seen_product = True
        elif not seen_sixth and _is_sixth(user, value):
            seen_sixth = True
        else:
            return None
        node, value = user, user.outputs[0]
    return (x, node) if node is not None else None


def _silu(graph: Graph, consumers: Consumers, sigmoid: Node) -> tuple[Value, Node] | None:
    x = sigmoid.inputs[0]
    user = sole_user(graph, consumers, sigmoid.outputs[0])
    if x is None or user is None or user.operator is not MUL:
        return None
    return (x, user) if other_input(user, sigmoid.outputs[0]) is x else None


def fuse_activation(graph: Graph) -> bool:
    """Replaces the last node of each pattern; what only the pattern used is dead then."""
    changed = False
    consumers = graph.consumers()
    for node in list(graph.nodes):
        found = None
        operator, attributes = HARD_SWISH, None
        if node.outputs[0].dtype is not DType.F32:
            continue
        if clip_bounds(node) is not None:
            found = _hard_swish(graph, consumers, node)
        elif node.operator is SIGMOID:
            found = _silu(graph, consumers, node)
            operator, attributes = SWISH, EluAttributes(alpha=1.0)
        if found is None or found[0].dims != found[1].outputs[0].dims:
            continue
        x, last = found
        replace_node(graph, last, operator, attributes, [x])
        changed = True
        consumers = graph.consumers()
    return changed


FUSE_ACTIVATION = Pass(
    "fuse_activation",
    requires="constants are folded",
    ensures="HardSwish and SiLU are one node",
    run=fuse_activation,
)

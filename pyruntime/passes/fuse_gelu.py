"""Recognises GELU written in pieces.

Case 1: x * 0.5 * (1 + erf(x / sqrt(2))), its factors in any order.
Case 2: the same with tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)).
"""

from __future__ import annotations

from collections.abc import Callable
from math import isclose, pi, sqrt

from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops.activations import GELU, GeluAttributes
from pyruntime.ops.binary import ADD, DIV, MUL, POW
from pyruntime.ops.unary import ERF, TANH
from pyruntime.passes._match import Consumers, other_input, replace_node, scalar_of, sole_user
from pyruntime.passes._pass import Pass

# Exporters round the constants to float, some to four digits: 1.4142, 0.7979.
_TOLERANCE = 1e-4


def _scaled(value: Value | None, factor: float) -> Value | None:
    """X where the value is x * factor."""
    node = None if value is None else value.producer
    if node is None or node.operator not in (MUL, DIV):
        return None
    for index in (0, 1) if node.operator is MUL else (1,):
        number = scalar_of(node.inputs[index])
        if number is None:
            continue
        wanted = factor if node.operator is MUL else 1.0 / factor
        if isclose(number, wanted, rel_tol=_TOLERANCE):
            return node.inputs[1 - index]
    return None


def _is_cube(value: Value | None, x: Value) -> bool:
    node = None if value is None else value.producer
    if node is None:
        return False
    if node.operator is POW:
        return node.inputs[0] is x and scalar_of(node.inputs[1]) == 3.0
    if node.operator is not MUL or x not in node.inputs:
        return False
    square = other_input(node, x)
    inner = None if square is None else square.producer
    if inner is None:
        return False
    if inner.operator is POW:
        return inner.inputs[0] is x and scalar_of(inner.inputs[1]) == 2.0
    return inner.operator is MUL and inner.inputs[0] is x and inner.inputs[1] is x


def _erf_argument(value: Value | None) -> Value | None:  # Case 1
    return _scaled(value, 1.0 / sqrt(2.0))


def _tanh_argument(value: Value | None) -> Value | None:  # Case 2
    total = _scaled(value, sqrt(2.0 / pi))
    node = None if total is None else total.producer
    if node is None or node.operator is not ADD:
        return None
    for x, cubic in (node.inputs, node.inputs[::-1]):
        if x is not None and _is_cube(_scaled(cubic, 0.044715), x):
            return x
    return None


_CASES: dict[str, tuple[Callable[[Value | None], Value | None], str]] = {
    ERF.name: (_erf_argument, "none"),
    TANH.name: (_tanh_argument, "tanh"),
}


def _product(graph: Graph, consumers: Consumers, value: Value, x: Value) -> Node | None:
    """The last node of x * 0.5 * value."""
    missing = {"half", "x"}
    node: Node | None = None
    while missing:
        user = sole_user(graph, consumers, value)
        if user is None or user.operator not in (MUL, DIV):
            return None
        other = other_input(user, value)
        number = scalar_of(other)
        if user.operator is DIV:
            found = {"half"} if user.inputs[0] is value and number == 2.0 else set()
        elif other is x:
            found = {"x"}
        elif number == 0.5:
            found = {"half"}
        else:
            found = {"half", "x"} if _scaled(other, 0.5) is x else set()
        if not found or not found <= missing:
            return None
        missing -= found
        node, value = user, user.outputs[0]
    return node


def fuse_gelu(graph: Graph) -> bool:
    """Replaces the last node of each pattern; what only the pattern used is dead then."""
    changed = False
    consumers = graph.consumers()
    for node in list(graph.nodes):
        if node.operator.name not in _CASES or node.outputs[0].dtype is not DType.F32:
            continue
        argument, approximate = _CASES[node.operator.name]
        x = argument(node.inputs[0])
        user = sole_user(graph, consumers, node.outputs[0])
        if x is None or user is None or user.operator is not ADD:
            continue
        if scalar_of(other_input(user, node.outputs[0])) != 1.0:
            continue
        last = _product(graph, consumers, user.outputs[0], x)
        if last is None or last.outputs[0].dims != x.dims:
            continue
        replace_node(graph, last, GELU, GeluAttributes(approximate), [x])
        changed = True
        consumers = graph.consumers()
    return changed


FUSE_GELU = Pass(
    "fuse_gelu",
    requires="constants are folded",
    ensures="GELU is one node",
    run=fuse_gelu,
)

"""Writes operators that say the same in one way, so that fusion and compression know one of each.

Case 1: Gemm is MatMul with a bias.
Case 2: Sum of two values is Add.
"""

from __future__ import annotations

from pyruntime.graph import Graph, Node
from pyruntime.ops.binary import ADD
from pyruntime.ops.gemm import GEMM, gemm_as_matmul
from pyruntime.ops.variadic import SUM
from pyruntime.passes._pass import Pass


def _canonical(graph: Graph, node: Node) -> Node | None:
    if node.operator is GEMM:
        return gemm_as_matmul(graph, node)
    if node.operator is SUM and len(node.inputs) == 2:
        return graph.make(ADD, None, node.inputs, [graph.unique(node.name)], node.name)
    return None


def canonicalize(graph: Graph) -> bool:
    """Replaces each such node; a Gemm whose alpha or beta cannot be folded stays."""
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes:
        replacement = _canonical(graph, node)
        if replacement is not None:
            output = node.outputs[0]
            replacement.outputs = [output]
            output.producer = replacement
            changed = True
        nodes.append(node if replacement is None else replacement)
    graph.nodes = nodes
    return changed


CANONICALIZE = Pass(
    "canonicalize",
    requires="constants are folded",
    ensures="Gemm remains only where its bias is no vector or no constant; no Sum of two",
    run=canonicalize,
)

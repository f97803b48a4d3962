"""Writes Gemm as MatMul with a bias, so that fusion and compression know one linear operator."""

from __future__ import annotations

from pyruntime.graph import Graph, Node
from pyruntime.ops.gemm import GEMM, gemm_as_matmul
from pyruntime.passes._pass import Pass


def replace_gemm(graph: Graph) -> bool:
    """Replaces each Gemm whose alpha and beta can be folded into constants."""
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes:
        replacement = gemm_as_matmul(graph, node) if node.operator is GEMM else None
        if replacement is not None:
            output = node.outputs[0]
            replacement.outputs = [output]
            output.producer = replacement
            changed = True
        nodes.append(node if replacement is None else replacement)
    graph.nodes = nodes
    return changed


GEMM_TO_MATMUL = Pass(
    "gemm_to_matmul",
    requires="constants are folded",
    ensures="Gemm remains only where its bias is no vector or no constant",
    run=replace_gemm,
)

"""Removes nodes whose results nobody uses."""

from __future__ import annotations

from pyruntime.graph import Graph
from pyruntime.passes._pass import Pass


def remove_dead_code(graph: Graph) -> bool:
    """Keeps the nodes that an output depends on; a kept node keeps all its outputs."""
    needed = {id(value) for value in graph.outputs}
    kept = []
    for node in reversed(graph.nodes):
        if any(id(output) in needed for output in node.outputs):
            kept.append(node)
            needed.update(id(value) for value in node.inputs if value is not None)
    changed = len(kept) != len(graph.nodes)
    graph.nodes = kept[::-1]
    return changed


DEAD_CODE = Pass(
    "dead_code", requires="nothing", ensures="each node has a used output", run=remove_dead_code
)

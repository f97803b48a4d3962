"""Removes nodes that give back their input.

Case 1: Identity, and Dropout in inference.
Case 2: Cast to the type the value has.
Case 3: Reshape, Transpose, Squeeze, Unsqueeze, Expand, Tile, Flatten, Slice or Pad that changes
neither dims nor order.
"""

from __future__ import annotations

from pyruntime.graph import Graph, Node
from pyruntime.ops.cast import CAST
from pyruntime.ops.dropout import DROPOUT
from pyruntime.ops.expand import EXPAND
from pyruntime.ops.flatten import FLATTEN
from pyruntime.ops.identity import IDENTITY as IDENTITY_OPERATOR
from pyruntime.ops.reshape import RESHAPE
from pyruntime.ops.squeeze import SQUEEZE, UNSQUEEZE
from pyruntime.ops.transpose import TRANSPOSE
from pyruntime.passes._pass import Pass

_SAME_ORDER = (RESHAPE, FLATTEN, EXPAND, SQUEEZE, UNSQUEEZE)


def _is_identity(node: Node, used: set[int]) -> bool:
    source = node.inputs[0] if node.inputs else None
    if source is None:
        return False
    result = node.outputs[0]
    if node.operator is DROPOUT:  # Case 1; its second output is the mask
        return not any(id(mask) in used for mask in node.outputs[1:])
    if len(node.outputs) != 1:
        return False
    if node.operator is IDENTITY_OPERATOR:
        return True
    if node.operator is CAST:  # Case 2
        return source.dtype is result.dtype
    if any(node.operator is operator for operator in _SAME_ORDER):  # Case 3
        return source.dims == result.dims
    if node.operator is TRANSPOSE:
        return tuple(node.attributes.perm) == tuple(range(len(source.dims)))
    return False


def remove_identities(graph: Graph) -> bool:
    """Lets the users of such a node read its input."""
    kept = []
    used = {*graph.consumers(), *(id(value) for value in graph.outputs)}
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else None
        if source is not None and _is_identity(node, used):
            graph.replace(node.outputs[0], source)
        else:
            kept.append(node)
    changed = len(kept) != len(graph.nodes)
    graph.nodes = kept
    return changed


IDENTITY = Pass(
    "identity",
    requires="nothing",
    ensures="every node changes something",
    run=remove_identities,
)

"""Merges nodes that compute the same from the same values."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyruntime.graph import Graph, Value
from pyruntime.passes._pass import Pass

# Bytes. Comparing large constants costs more than a duplicate; the file stores equal ones once
# anyway.
_MAX_COMPARED = 1 << 16


def _value_key(value: Value | None) -> Any:
    if value is None:
        return None
    if value.constant is not None and value.constant.nbytes <= _MAX_COMPARED:
        return (value.dtype, value.constant.shape, value.constant.tobytes())
    return id(value)


def _attribute_key(attributes: Any) -> str:
    with np.printoptions(threshold=1 << 30, floatmode="unique"):
        return repr(attributes)


def merge_common_subexpressions(graph: Graph) -> bool:
    """Keeps the first of equal nodes. Attributes are dataclasses, so equal text means equal."""
    seen: dict[Any, list[Value]] = {}
    replaced: dict[int, Value] = {}
    kept = []
    for node in graph.nodes:
        node.inputs = [
            value if value is None else replaced.get(id(value), value) for value in node.inputs
        ]
        key = (
            node.operator.domain,
            node.operator.name,
            _attribute_key(node.attributes),
            tuple(_value_key(value) for value in node.inputs),
            len(node.outputs),
        )
        first = seen.get(key)
        if first is None:
            seen[key] = node.outputs
            kept.append(node)
        else:
            replaced.update(
                (id(output), other) for output, other in zip(node.outputs, first, strict=True)
            )
    graph.outputs = [replaced.get(id(value), value) for value in graph.outputs]
    changed = bool(replaced)
    graph.nodes = kept
    return changed


COMMON_SUBEXPRESSIONS = Pass(
    "common_subexpressions",
    requires="nothing",
    ensures="no two nodes compute the same",
    run=merge_common_subexpressions,
)

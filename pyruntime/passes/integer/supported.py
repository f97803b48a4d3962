"""What integer kernels can do between quantised layers."""

from __future__ import annotations

from pyruntime.graph import Node
from pyruntime.ops.binary import ADD, MUL
from pyruntime.ops.concat import CONCAT
from pyruntime.ops.flatten import FLATTEN
from pyruntime.ops.pool import AVERAGE_POOL, GLOBAL_AVERAGE_POOL, GLOBAL_MAX_POOL, MAX_POOL
from pyruntime.ops.reshape import RESHAPE
from pyruntime.ops.slice import SLICE
from pyruntime.ops.squeeze import SQUEEZE, UNSQUEEZE
from pyruntime.ops.transpose import TRANSPOSE
from pyruntime.ops.unary import is_unary_function

_KEEP = (CONCAT, FLATTEN, GLOBAL_MAX_POOL, MAX_POOL, RESHAPE, SLICE, SQUEEZE, TRANSPOSE, UNSQUEEZE)
_MAKE = (ADD, MUL, AVERAGE_POOL, GLOBAL_AVERAGE_POOL)


def keeps_scale(node: Node) -> bool:
    """Whether the node moves or selects elements, so that its output has its inputs' scale."""
    return any(node.operator is operator for operator in _KEEP) and len(node.outputs) == 1


def makes_scale(node: Node) -> bool:
    """Whether an integer kernel computes the node with an output scale of its own."""
    if is_elementwise_function(node):
        return True
    if not any(node.operator is operator for operator in _MAKE):
        return False
    return all(value is not None and value.constant is None for value in node.inputs)


def is_elementwise_function(node: Node) -> bool:
    """Whether each output element is a function of one input element: a table for 8 bits."""
    if len(node.outputs) != 1 or not is_unary_function(node.operator):
        return False
    return all(value is None or value.constant is not None for value in node.inputs[1:])

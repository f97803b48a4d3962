"""Small questions that several passes ask of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.graph import Graph, Node, Value
from pyruntime.ops import Operator
from pyruntime.ops.conv import CONV
from pyruntime.ops.conv_transpose import CONV_TRANSPOSE
from pyruntime.ops.matmul import MATMUL

BIAS = 2
RESIDUAL = 3

Consumers = Mapping[int, Sequence[tuple[Node, int]]]


def sole_user(graph: Graph, consumers: Consumers, value: Value) -> Node | None:
    """The one node that reads the value, if it is read once and is no output."""
    users = consumers.get(id(value), [])
    return users[0][0] if len(users) == 1 and not graph.is_output(value) else None


def scalar_of(value: Value | None) -> float | None:
    """The element of a constant that has one."""
    if value is None or value.constant is None or value.constant.size != 1:
        return None
    return float(value.constant.reshape(()))


def other_input(node: Node, value: Value) -> Value | None:
    """The second operand of a binary node."""
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def replace_node(
    graph: Graph, last: Node, operator: Operator, attributes: Any, inputs: Sequence[Value | None]
) -> None:
    """Puts a node that makes the one output of `last` in its place."""
    fused = graph.make(operator, attributes, inputs, [graph.unique(last.name)], last.name)
    fused.outputs = [last.outputs[0]]
    last.outputs[0].producer = fused
    graph.nodes[graph.nodes.index(last)] = fused


def input_at(node: Node, index: int) -> Value | None:
    """The input, or None where absent."""
    return node.inputs[index] if index < len(node.inputs) else None


def set_input(node: Node, index: int, value: Value | None) -> None:
    """Sets an input that may lie beyond the present ones."""
    node.inputs.extend([None] * (index + 1 - len(node.inputs)))
    node.inputs[index] = value


def is_bare(node: Node) -> bool:
    """Conv or MatMul with nothing fused behind the bias yet.

    A MatMul of a vector has no channels along its last axis and is left alone.
    """
    if node.operator is not CONV and node.operator is not MATMUL:
        return False
    if any(value is not None and len(value.dims) < 2 for value in node.inputs[:2]):
        return False
    return input_at(node, RESIDUAL) is None and not has_clip(node)


def is_linear(node: Node) -> bool:
    """Conv or MatMul with constant weights, nothing fused behind the bias yet."""
    weights = input_at(node, 1)
    return is_bare(node) and weights is not None and weights.constant is not None


def is_transposed(node: Node) -> bool:
    """ConvTranspose with constant weights, nothing fused behind the bias yet."""
    weights = input_at(node, 1)
    constant = weights is not None and weights.constant is not None
    return node.operator is CONV_TRANSPOSE and constant and not has_clip(node)


def has_clip(node: Node) -> bool:
    """Whether a clip is fused into the node."""
    return bool(node.attributes.lo != -inf or node.attributes.hi != inf)


def channel_axis(node: Node) -> int:
    """The axis of the output of a linear node that runs along its output channels."""
    return len(node.outputs[0].dims) - 1 if node.operator is MATMUL else 1


def output_channels(node: Node) -> int:
    """Number of output channels of a linear node."""
    weights = node.inputs[1]
    assert weights is not None
    assert weights.constant is not None
    if node.operator is CONV:
        return int(weights.constant.shape[0])
    if node.operator is CONV_TRANSPOSE:
        return int(weights.constant.shape[1]) * int(node.attributes.group)
    return int(weights.constant.shape[-2 if node.attributes.trans_b else -1])


def per_channel(
    array: NDArray[Any], rank: int, axis: int, channels: int
) -> NDArray[np.float64] | None:
    """The array as one number per channel, if broadcasting it varies along `axis` only."""
    if array.ndim > rank:
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(size != 1 for i, size in enumerate(shape) if i != axis) or shape[axis] not in (
        1,
        channels,
    ):
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (channels,)).copy()


def finish(graph: Graph, node: Node, absorbed: Node) -> None:
    """Lets `node` make what `absorbed`, its only user, made, and removes `absorbed`."""
    output = absorbed.outputs[0]
    output.producer = node
    node.outputs = [output]
    graph.nodes.remove(absorbed)

"""Folds per-channel scaling and shifting behind a layer into its weights and bias.

Layers are Conv, ConvTranspose and MatMul.

Case 1: BatchNormalization (inference): y = (x - mean) / sqrt(var + epsilon) * scale + bias.
Case 2: Mul or Div by a constant that varies along the output channels only.
Case 3: Add or Sub of such a constant (the bias of an exported MatMul, mostly).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyruntime.graph import DType, Graph, Node
from pyruntime.ops.batch_normalization import BATCH_NORMALIZATION
from pyruntime.ops.binary import ADD, DIV, MUL, SUB
from pyruntime.ops.conv_transpose import CONV_TRANSPOSE
from pyruntime.ops.matmul import MATMUL
from pyruntime.passes._match import (
    BIAS,
    channel_axis,
    finish,
    input_at,
    is_linear,
    is_transposed,
    output_channels,
    per_channel,
    set_input,
    sole_user,
)
from pyruntime.passes._pass import Pass

Vector = NDArray[np.float64]


def _batch_normalization(node: Node, channels: int) -> tuple[Vector, Vector] | None:
    parameters = []
    for value in node.inputs[1:5]:
        if value is None or value.constant is None or value.constant.size != channels:
            return None
        parameters.append(value.constant.astype(np.float64).reshape(-1))
    scale, bias, mean, variance = parameters
    factor = scale / np.sqrt(variance + node.attributes.epsilon)
    return factor, bias - mean * factor


def _constant_operand(linear: Node, user: Node) -> tuple[Vector, bool] | None:
    """The other operand of a binary user, one number per channel, and whether it is the first."""
    first = user.inputs[1] is linear.outputs[0]
    other = user.inputs[0 if first else 1]
    if other is None or other.constant is None or user.outputs[0].dims != linear.outputs[0].dims:
        return None
    rank = len(linear.outputs[0].dims)
    vector = per_channel(other.constant, rank, channel_axis(linear), output_channels(linear))
    return None if vector is None else (vector, first)


def _affine(linear: Node, user: Node) -> tuple[Vector, Vector] | None:
    """(factor, shift) such that user's output = linear's output * factor + shift."""
    if user.operator is BATCH_NORMALIZATION:  # Case 1
        if user.attributes.training or len(user.outputs) != 1 or linear.operator is MATMUL:
            return None
        return _batch_normalization(user, output_channels(linear))
    found = _constant_operand(linear, user) if user.operator in (ADD, SUB, MUL, DIV) else None
    if found is None:
        return None
    vector, first = found
    ones, zeros = np.ones(vector.size), np.zeros(vector.size)
    if user.operator is MUL:  # Case 2
        return vector, zeros
    if user.operator is DIV:
        return None if first or not np.all(vector != 0) else (1.0 / vector, zeros)
    if user.operator is ADD:  # Case 3
        return ones, vector
    return (-ones, vector) if first else (ones, -vector)


def _scaled(linear: Node, weights: NDArray[np.float32], factor: Vector) -> NDArray[np.float32]:
    """The weights with each output channel multiplied by its factor."""
    wide = weights.astype(np.float64)
    if linear.operator is CONV_TRANSPOSE:  # [C, O/group, kernel]
        group = linear.attributes.group
        parts = wide.reshape(group, -1, *weights.shape[1:])
        factors = factor.reshape(group, 1, -1, *[1] * (weights.ndim - 2))
        return (parts * factors).reshape(weights.shape).astype(np.float32)
    shape = [1] * weights.ndim
    axis = 0
    if linear.operator is MATMUL:
        axis = weights.ndim - (2 if linear.attributes.trans_b else 1)
    shape[axis] = -1
    return (wide * factor.reshape(shape)).astype(np.float32)


def _apply(graph: Graph, linear: Node, factor: Vector, shift: Vector) -> None:
    weights = linear.inputs[1]
    assert weights is not None
    assert weights.constant is not None
    if not np.all(factor == 1.0):
        scaled = _scaled(linear, weights.constant, factor)
        linear.inputs[1] = graph.constant(scaled, graph.unique(weights.name))
    bias = input_at(linear, BIAS)
    old = np.zeros(factor.size) if bias is None else bias.constant
    assert old is not None
    if bias is None and not np.any(shift):
        return
    new = (old.astype(np.float64).reshape(-1) * factor + shift).astype(np.float32)
    set_input(linear, BIAS, graph.constant(new, graph.unique(f"{linear.name}.bias")))


def fuse_affine(graph: Graph) -> bool:
    """Applies the cases until none is left."""
    changed = False
    consumers = graph.consumers()
    for node in list(graph.nodes):
        layer = is_linear(node) or is_transposed(node)
        while layer and node.outputs[0].dtype is DType.F32:
            bias = input_at(node, BIAS)
            if bias is not None and bias.constant is None:
                break
            user = sole_user(graph, consumers, node.outputs[0])
            found = None if user is None else _affine(node, user)
            if user is None or found is None:
                break
            _apply(graph, node, *found)
            finish(graph, node, user)
            changed = True
    return changed


FUSE_AFFINE = Pass(
    "fuse_affine",
    requires="constants are folded",
    ensures="no per-channel constant scaling or shift follows a layer alone",
    run=fuse_affine,
)

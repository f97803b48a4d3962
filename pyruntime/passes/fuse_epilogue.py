"""Fuses what follows a Conv or MatMul into its epilogue, to save passes over the output.

Case 1: Add of another value of the same dims (the shortcut of a residual block).
Case 2: Relu, or Clip with constant bounds; behind a ConvTranspose too.
"""

from __future__ import annotations

import dataclasses
from math import inf

from pyruntime.graph import DType, Graph, Node
from pyruntime.ops.binary import ADD
from pyruntime.ops.clip import CLIP
from pyruntime.ops.unary import RELU
from pyruntime.passes._match import (
    RESIDUAL,
    Consumers,
    finish,
    has_clip,
    input_at,
    is_bare,
    is_transposed,
    set_input,
    sole_user,
)
from pyruntime.passes._pass import Pass


def clip_bounds(node: Node) -> tuple[float, float] | None:
    """(lo, hi) of a Relu or a Clip with constant bounds."""
    if node.operator is RELU:
        return 0.0, inf
    if node.operator is not CLIP:
        return None
    bounds = [-inf, inf]
    for index in (1, 2):
        value = input_at(node, index)
        if value is None:
            continue
        if value.constant is None:
            return None
        bounds[index - 1] = float(value.constant.reshape(()))
    return bounds[0], bounds[1]


def _fuse_residual(graph: Graph, consumers: Consumers, node: Node) -> bool:
    user = sole_user(graph, consumers, node.outputs[0])
    if user is None or user.operator is not ADD:
        return False
    other = user.inputs[1] if user.inputs[0] is node.outputs[0] else user.inputs[0]
    if other is None or other.constant is not None or other.dims != node.outputs[0].dims:
        return False
    set_input(node, RESIDUAL, other)
    # The shortcut may be computed after the node: the node moves to where the Add was.
    graph.nodes.remove(node)
    graph.nodes.insert(graph.nodes.index(user), node)
    finish(graph, node, user)
    return True


def _fuse_clip(graph: Graph, consumers: Consumers, node: Node) -> bool:
    user = sole_user(graph, consumers, node.outputs[0])
    bounds = None if user is None else clip_bounds(user)
    if user is None or bounds is None:
        return False
    node.attributes = dataclasses.replace(node.attributes, lo=bounds[0], hi=bounds[1])
    finish(graph, node, user)
    return True


def fuse_epilogue(graph: Graph) -> bool:
    """For an Add of two layers, the later one takes the earlier one's result."""
    changed = False
    for node in reversed(list(graph.nodes)):
        transposed = is_transposed(node)
        if not (is_bare(node) or transposed) or node.outputs[0].dtype is not DType.F32:
            continue
        consumers = graph.consumers()
        if not transposed and _fuse_residual(graph, consumers, node):
            changed = True
            consumers = graph.consumers()
        if not has_clip(node) and _fuse_clip(graph, consumers, node):
            changed = True
    return changed


FUSE_EPILOGUE = Pass(
    "fuse_epilogue",
    requires="fuse_affine",
    ensures="shortcut additions, Relu and constant Clip behind a Conv or MatMul are part of it",
    run=fuse_epilogue,
)

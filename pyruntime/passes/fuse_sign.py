"""Makes one SignMatMul of a Sign and the product behind it, where the weights are binary.

The weights of each output channel must be -s and s, for a positive s of its own. Scalings behind
the product are in them already (fuse_affine).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyruntime.graph import DType, Graph, Node
from pyruntime.ops.matmul import MATMUL
from pyruntime.ops.sign_matmul import SIGN_MATMUL, SignMatMulAttributes
from pyruntime.ops.unary import SIGN
from pyruntime.passes._match import BIAS, input_at, is_linear, replace_node
from pyruntime.passes._pass import Pass

# Sums of so many signs are whole numbers of f32.
_MAX_K = 1 << 24


def _binary(weights: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The magnitude of each row of [N, K], if it has one that is positive and finite."""
    if weights.size == 0 or weights.shape[1] > _MAX_K:
        return None
    magnitudes = np.abs(weights)
    first = np.ascontiguousarray(magnitudes[:, 0])
    alike = (magnitudes == first[:, None]).all() and (first > 0).all() and np.isfinite(first).all()
    return first if alike else None


def _match(node: Node) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """The weights [N, K] of a product that can be replaced, and their magnitudes."""
    if node.operator is not MATMUL or not is_linear(node) or node.attributes.trans_a:
        return None
    a, w, bias = node.inputs[0], node.inputs[1], input_at(node, BIAS)
    if a is None or a.producer is None or a.producer.operator is not SIGN:
        return None
    if w is None or w.constant is None or w.constant.ndim != 2 or a.dtype is not DType.F32:
        return None
    if bias is not None and (bias.constant is None or bias.constant.ndim != 1):
        return None
    weights = w.constant if node.attributes.trans_b else w.constant.T
    magnitudes = _binary(weights)
    return None if magnitudes is None else (weights, magnitudes)


def fuse_sign(graph: Graph) -> bool:
    """Replaces every match; the Sign stays for its other users."""
    changed = False
    for node in list(graph.nodes):
        found = _match(node)
        if found is None:
            continue
        weights, magnitudes = found
        sign = node.inputs[0]
        assert sign is not None
        assert sign.producer is not None
        bits = np.packbits(weights < 0, axis=1, bitorder="little")
        inputs = [
            sign.producer.inputs[0],
            graph.constant(bits, graph.unique(f"{node.name}.bits")),
            graph.constant(magnitudes, graph.unique(f"{node.name}.scale")),
            input_at(node, BIAS),
        ]
        replace_node(graph, node, SIGN_MATMUL, SignMatMulAttributes(), inputs)
        changed = True
    return changed


FUSE_SIGN = Pass(
    "fuse_sign",
    requires="fuse_affine has run, fuse_epilogue has not",
    ensures="no product of signs and binary weights is left",
    run=fuse_sign,
)

"""Computes at compile time what does not depend on the inputs: constants and shape arithmetic.

Case 1: all inputs of a node are constants: it is run once by its reference.
Case 2: the content of an output is known from the dimensions alone and has no symbol: it becomes a
constant.
"""

from __future__ import annotations

import logging

import numpy as np

from pyruntime.graph import Graph, Node, Value
from pyruntime.ops.quantize_linear import DEQUANTIZE_LINEAR
from pyruntime.passes._pass import Pass

_log = logging.getLogger(__name__)

# Elements. Larger results (ConstantOfShape of a billion) would cost more in the file than they save
# in a run.
MAX_ELEMENTS = 1 << 26


def _known_content(value: Value) -> bool:
    return value.content is not None and all(isinstance(d, int) for d in value.content.flat)


def _is_constant(value: Value | None) -> bool:
    return value is None or value.constant is not None


def _set_constant(value: Value, array: np.ndarray) -> None:
    value.constant = np.asarray(array).astype(value.dtype.numpy, copy=False)
    value.dims = tuple(int(d) for d in value.constant.shape)
    value.content = None
    value.producer = None


def _foldable(node: Node, *, weights: bool) -> bool:
    if not all(_is_constant(value) for value in node.inputs):
        return False
    if node.operator is DEQUANTIZE_LINEAR and not weights:
        return False
    for output in node.outputs:
        count = 1
        for dim in output.dims:
            if not isinstance(dim, int):
                return False
            count *= dim
        if count > MAX_ELEMENTS:
            return False
    return True


def _fold(graph: Graph, *, weights: bool) -> bool:
    kept = []
    for node in graph.nodes:
        if all(_known_content(output) for output in node.outputs):  # Case 2
            for output in node.outputs:
                assert output.content is not None
                _set_constant(output, output.content.astype(output.dtype.numpy))
        elif _foldable(node, weights=weights):  # Case 1
            arrays = [None if value is None else value.constant for value in node.inputs]
            with np.errstate(all="ignore"):
                results = node.operator.reference(node.attributes, arrays, len(node.outputs))
            for output, array in zip(node.outputs, results, strict=True):
                _set_constant(output, array)
        else:
            kept.append(node)
    changed = len(kept) != len(graph.nodes)
    _log.debug("folded %d nodes", len(graph.nodes) - len(kept))
    graph.nodes = kept
    return changed


FOLD_CONSTANTS = Pass(
    "fold_constants",
    requires="nothing",
    ensures="no node but DequantizeLinear has only constant inputs",
    run=lambda graph: _fold(graph, weights=False),
)

# Runs after the integer passes, which need to see the quantised weights.
FOLD_WEIGHTS = Pass(
    "fold_weights",
    requires="Q/DQ pairs that can become integer operators already are",
    ensures="no node has only constant inputs",
    run=lambda graph: _fold(graph, weights=True),
)

"""The network that tests of compression work on."""

from __future__ import annotations

import numpy as np

from pyruntime.graph import Graph
from pyruntime.graph.evaluate import evaluate
from pyruntime.ops.flatten import FLATTEN
from pyruntime.ops.unary import RELU
from tests.passes.build import Builder, operators

__all__ = ["network", "operators", "samples", "signal_to_noise", "weights"]


def network(seed: int = 0) -> Graph:
    """Conv, Relu, Conv, Relu, Flatten, MatMul on [N, 3, 6, 6]."""
    b = Builder(("N", 3, 6, 6), seed=seed)
    y = b.node(RELU, None, b.conv(b.x, 8, name="first")).outputs[0]
    y = b.node(RELU, None, b.conv(y, 16, name="second")).outputs[0]
    flat = b.node(FLATTEN, FLATTEN.attributes(axis=1), y).outputs[0]
    return b.output(b.matmul(flat, 10, name="last"))


def samples(count: int = 24) -> np.ndarray:
    """Inputs in [0, 1)."""
    return np.random.default_rng(1).uniform(0, 1, (count, 3, 6, 6)).astype(np.float32)


def weights(graph: Graph, name: str) -> np.ndarray:
    """The weights of a layer."""
    value = next(node for node in graph.nodes if node.name == name).inputs[1]
    assert value is not None
    assert value.constant is not None
    return value.constant


def signal_to_noise(graph: Graph, other: Graph, x: np.ndarray) -> float:
    """Of the first output, in decibels."""
    want, got = (evaluate(g, {"x": x})[g.output_names[0]] for g in (graph, other))
    noise = float(np.sum((want - got) ** 2))
    return float("inf") if noise == 0 else float(10 * np.log10(np.sum(want**2) / noise))

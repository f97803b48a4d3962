"""The layers that compression works on, seen as matrices whatever the operator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import ArgumentError
from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops.conv import CONV
from pyruntime.ops.gemm import GEMM
from pyruntime.ops.matmul import MATMUL

WEIGHT_INPUT = 1  # of every operator here


@dataclass(frozen=True, slots=True)
class Layer:
    """A node with constant float weights.

    Attributes:
        node: Conv, MatMul or Gemm.
        output_axis: the axis of the weights that runs along output channels.
    """

    node: Node
    output_axis: int

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def value(self) -> Value:
        """The weights as a value of the graph."""
        value = self.node.inputs[WEIGHT_INPUT]
        assert value is not None
        return value

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weights, in the operator's own shape."""
        weights = self.value.constant
        assert weights is not None
        return weights

    def set_weights(self, graph: Graph, weights: NDArray[Any]) -> Value:
        """Gives the node new weights of the same dtype; other users of the old ones keep theirs."""
        value = graph.constant(
            np.ascontiguousarray(weights, dtype=self.weights.dtype), graph.unique(self.value.name)
        )
        self.node.inputs[WEIGHT_INPUT] = value
        return value


def _output_axis(node: Node) -> int | None:
    if node.operator is CONV:
        return 0
    if node.operator is MATMUL or node.operator is GEMM:
        value = node.inputs[WEIGHT_INPUT]
        if value is None or len(value.dims) != 2:
            return None
        return 0 if node.attributes.trans_b else 1
    return None


def layers(graph: Graph, *, exclude: Sequence[str] = ()) -> Iterator[Layer]:
    """All layers with constant f32 weights, in execution order, but those named in `exclude`.

    Raises:
        ArgumentError: a name in `exclude` is no layer.
    """
    found = []
    for node in graph.nodes:
        axis = _output_axis(node)
        if axis is None:
            continue
        value = node.inputs[WEIGHT_INPUT]
        if value is not None and value.constant is not None and value.dtype is DType.F32:
            found.append(Layer(node, axis))
    names = [layer.name for layer in found]
    unknown = [name for name in exclude if name not in names]
    if unknown:
        raise ArgumentError(f"no layers called {unknown}; the model's layers are {names}")
    return iter([layer for layer in found if layer.name not in exclude])


def stored_bytes(weights: NDArray[Any]) -> int:
    """Bytes the file needs for the weights: all, or non-zero ones and positions if smaller.

    An estimate: positions take their entropy, which the file's codes exceed by up to 5 %.
    """
    nonzero = int(np.count_nonzero(weights))
    share = nonzero / max(weights.size, 1)
    bits = 0.0
    if 0 < share < 1:
        bits = -weights.size * (share * math.log2(share) + (1 - share) * math.log2(1 - share))
    return min(weights.nbytes, math.ceil(bits / 8) + nonzero * weights.itemsize)


def zero_share(weights: NDArray[Any]) -> float:
    """Share of exact zeros."""
    return 1.0 - np.count_nonzero(weights) / weights.size if weights.size else 0.0

"""Small graphs for tests of passes and compression, built by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyruntime.graph import DType, Graph, Node, Value, ValueType, symbol
from pyruntime.graph.evaluate import evaluate
from pyruntime.ops.conv import CONV, ConvAttributes
from pyruntime.ops.matmul import MATMUL, MatMulAttributes
from pyruntime.ops.quantize_linear import (
    DEQUANTIZE_LINEAR,
    QUANTIZE_LINEAR,
    DequantizeAttributes,
    QuantizeAttributes,
)


class Builder:
    """A graph with one input `x` and seeded weights."""

    def __init__(self, dims: tuple[Any, ...], dtype: DType = DType.F32, seed: int = 0) -> None:
        self.graph = Graph()
        self.random = np.random.default_rng(seed)
        self.x = self.graph.value(
            ValueType(dtype, tuple(symbol(d) if isinstance(d, str) else d for d in dims)), "x"
        )
        self.graph.inputs.append(self.x)

    def constant(self, *shape: int, low: float = -1.0, high: float = 1.0) -> Value:
        array = self.random.uniform(low, high, shape).astype(np.float32)
        return self.graph.constant(array)

    def node(self, operator: Any, attributes: Any, *inputs: Value | None, name: str = "") -> Node:
        return self.graph.append(operator, attributes, inputs, name=name)

    def conv(self, x: Value, channels: int, kernel: int = 3, pad: int = 1, name: str = "") -> Value:
        w = self.constant(channels, int(x.dims[1]), kernel, kernel, low=-0.5, high=0.5)
        bias = self.constant(channels)
        attributes = ConvAttributes(pads=(pad,) * 4)
        return self.node(CONV, attributes, x, w, bias, name=name).outputs[0]

    def matmul(self, x: Value, columns: int, name: str = "") -> Value:
        w = self.constant(int(x.dims[-1]), columns)
        return self.node(MATMUL, MatMulAttributes(), x, w, name=name).outputs[0]

    def fake_quantize(self, x: Value, scale: float, zero_point: int, kind: str = "int8") -> Value:
        """QuantizeLinear and DequantizeLinear."""
        parameters = [
            self.graph.constant(np.array(scale, np.float32)),
            self.graph.constant(np.array(zero_point, kind)),
        ]
        out = DType.S8 if kind == "int8" else DType.U8
        down = self.node(QUANTIZE_LINEAR, QuantizeAttributes(out=out), x, *parameters)
        up = self.node(DEQUANTIZE_LINEAR, DequantizeAttributes(), down.outputs[0], *parameters)
        return up.outputs[0]

    def quantized_weights(self, shape: tuple[int, ...], axis: int) -> Value:
        """DequantizeLinear of constant s8 weights, per channel."""
        q = self.random.integers(-127, 128, shape).astype(np.int8)
        scale = self.random.uniform(0.002, 0.01, shape[axis]).astype(np.float32)
        node = self.node(
            DEQUANTIZE_LINEAR,
            DequantizeAttributes(axis=axis),
            self.graph.constant(q),
            self.graph.constant(scale),
        )
        return node.outputs[0]

    def output(self, *values: Value) -> Graph:
        for position, value in enumerate(values):
            self.graph.outputs.append(value)
            self.graph.output_names.append(f"y{position}")
        return self.graph


def operators(graph: Graph) -> list[str]:
    """Operator names in execution order."""
    return [node.operator.name for node in graph.nodes]


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    """The first output."""
    return evaluate(graph, {"x": x})[graph.output_names[0]]

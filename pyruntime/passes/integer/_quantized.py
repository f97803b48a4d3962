"""Reading Q/DQ pairs."""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops.quantize_linear import (
    DEQUANTIZE_LINEAR,
    QUANTIZE_LINEAR,
    DequantizeAttributes,
)
from pyruntime.passes._match import Consumers, input_at


@dataclass(frozen=True, slots=True)
class Quantized:
    """An 8-bit (or s32 bias) value and what it stands for: real = scale * (q - zero_point).

    Attributes:
        q: the integer value.
        scale: f32, one element or one per index of `axis`.
        zero_point: s64, of the same size as scale.
        axis: the axis that scale runs along, counted from the front.
    """

    q: Value
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int

    @property
    def per_tensor(self) -> bool:
        """Whether one scale serves all."""
        return self.scale.size == 1

    @property
    def single_scale(self) -> np.float32:
        """The scale, per tensor."""
        return np.float32(self.scale.reshape(-1)[0])

    @property
    def single_zero_point(self) -> int:
        """The zero point, per tensor."""
        return int(self.zero_point.reshape(-1)[0])

    def same_parameters(self, other: Quantized) -> bool:
        """Whether both are per tensor with equal scale, zero point and type."""
        return (
            self.per_tensor
            and other.per_tensor
            and self.single_scale == other.single_scale
            and self.single_zero_point == other.single_zero_point
            and self.q.dtype == other.q.dtype
        )


def _parameters(node: Node, q: Value) -> Quantized | None:
    scale, zero_point = node.inputs[1], input_at(node, 2)
    if scale is None or scale.constant is None or node.attributes.block_size != 0:
        return None
    if node.operator is DEQUANTIZE_LINEAR and node.attributes.out is not DType.F32:
        return None
    if scale.constant.dtype != np.float32 or scale.constant.ndim > 1:
        return None
    if zero_point is not None and zero_point.constant is None:
        return None
    if not np.all(np.isfinite(scale.constant)) or not np.all(
        scale.constant >= np.finfo(np.float32).tiny
    ):
        return None
    zeros: NDArray[Any] = (
        np.zeros(scale.constant.shape, dtype=np.int64)
        if zero_point is None or zero_point.constant is None
        else zero_point.constant.astype(np.int64)
    )
    rank = len(q.dims)
    axis = node.attributes.axis % rank if rank and scale.constant.size > 1 else 0
    return Quantized(q, scale.constant, zeros, axis)


def dequantized(value: Value | None) -> Quantized | None:
    """What a value stands for, if a DequantizeLinear with constant parameters makes it."""
    if value is None or value.producer is None or value.producer.operator is not DEQUANTIZE_LINEAR:
        return None
    q = value.producer.inputs[0]
    return None if q is None else _parameters(value.producer, q)


def quantizer(node: Node | None) -> Quantized | None:
    """The parameters of a per-tensor QuantizeLinear with constant parameters; `q` is its output."""
    if node is None or node.operator is not QUANTIZE_LINEAR:
        return None
    found = _parameters(node, node.outputs[0])
    return found if found is not None and found.per_tensor else None


def sole_quantizer(
    graph: Graph, consumers: Consumers, value: Value
) -> tuple[Node, Quantized] | None:
    """The QuantizeLinear that is the only user of a value."""
    users = consumers.get(id(value), [])
    if len(users) != 1 or graph.is_output(value) or users[0][1] != 0:
        return None
    found = quantizer(users[0][0])
    return None if found is None else (users[0][0], found)


def quantized_bounds(lo: float, hi: float, target: Quantized) -> tuple[int, int]:
    """A clip of reals as a clip of integers; rounding is monotone, so both orders agree."""
    scale, zero_point = float(target.single_scale), target.single_zero_point

    def step(bound: float, infinite: int) -> int:
        if isinf(bound):
            return infinite
        return int(np.clip(np.rint(np.float32(bound) / np.float32(scale)) + zero_point, -128, 127))

    return step(lo, -128), step(hi, 127)


def storable_scale(exact: Any) -> NDArray[np.float32] | None:
    """A scale worked out in float64 as f32 [1] or [N]; None unless all are finite and normal.

    The numerics contract wants that of every scale, so what would need another stays in float.
    """
    with np.errstate(over="ignore", under="ignore"):
        scale: NDArray[np.float32] = np.atleast_1d(np.asarray(exact, np.float64)).astype(np.float32)
    usable = np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)
    return scale if bool(np.all(usable)) else None


def make_dequantize(graph: Graph, q: Value, scale: np.float32, zero_point: Any, name: str) -> Node:
    """A DequantizeLinear of an integer value."""
    return graph.make(
        DEQUANTIZE_LINEAR,
        DequantizeAttributes(),
        [q, graph.constant(np.array(scale, np.float32)), graph.constant(zero_point)],
        [name],
        graph.unique("dequantize"),
    )

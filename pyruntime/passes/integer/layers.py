"""Turns Conv and MatMul between DequantizeLinear and QuantizeLinear into integer layers.

The scale of the accumulator, s_x * s_w[n] (/ s_y), is computed once here in float64 and stored as
f32. A fused clip becomes bounds on the output integers, a fused residual stays fused. Without a
QuantizeLinear behind it the layer gives f32. Padding is exact because it holds the input's zero
point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops.conv import CONV
from pyruntime.ops.matmul import MATMUL
from pyruntime.ops.qconv import QCONV
from pyruntime.ops.qmatmul import QMATMUL
from pyruntime.passes._match import BIAS, RESIDUAL, input_at
from pyruntime.passes._pass import Pass
from pyruntime.passes.integer._quantized import (
    Quantized,
    dequantized,
    quantized_bounds,
    sole_quantizer,
    storable_scale,
)

# The accumulator is modulo 2^32; a layer whose sums could leave s32 stays in float.
_ACCUMULATOR_LIMIT = float(1 << 31)


@dataclass(frozen=True, slots=True)
class _Operands:
    x: Quantized
    weights: NDArray[np.int8]
    weight_scale: NDArray[np.float64]  # one element or one per output channel
    residual: Quantized | None


def _signed_weights(w: Quantized) -> NDArray[np.int8] | None:
    """The weights less their zero point, if that fits s8."""
    array = w.q.constant
    if array is None or w.q.dtype not in (DType.S8, DType.U8):
        return None
    shape = [1] * array.ndim
    if w.zero_point.size > 1:
        shape[w.axis] = -1
    shifted = array.astype(np.int16) - w.zero_point.reshape(shape if w.zero_point.size > 1 else ())
    if shifted.size and (shifted.min() < -128 or shifted.max() > 127):
        return None
    return shifted.astype(np.int8)


def _output_axis(node: Node, rank: int) -> int:
    if node.operator is CONV:
        return 0
    return rank - (2 if node.attributes.trans_b else 1)


def _operands(node: Node) -> _Operands | None:
    x, w = dequantized(node.inputs[0]), dequantized(node.inputs[1])
    if x is None or w is None or not x.per_tensor or x.q.dtype is not DType.S8:
        return None
    weights = _signed_weights(w)
    if weights is None or (
        node.operator is MATMUL and (weights.ndim != 2 or node.attributes.trans_a)
    ):
        return None
    if not w.per_tensor and w.axis != _output_axis(node, weights.ndim):
        return None
    residual = None
    value = input_at(node, RESIDUAL)
    if value is not None:
        residual = dequantized(value)
        if residual is None or not residual.per_tensor or residual.q.dtype is not DType.S8:
            return None
    return _Operands(x, weights, w.scale.astype(np.float64).reshape(-1), residual)


def _bias(node: Node, operands: _Operands) -> NDArray[np.int32] | bool | None:
    """The bias in steps of s_x * s_w; None where there is none; False if it does not fit."""
    value = input_at(node, BIAS)
    if value is None:
        return None
    step = float(operands.x.single_scale) * operands.weight_scale
    stored = dequantized(value)
    if stored is not None and stored.q.constant is not None and stored.q.dtype is DType.S32:
        if not np.any(stored.zero_point) and np.allclose(stored.scale, step, rtol=1e-5, atol=0):
            exact: NDArray[np.int32] = stored.q.constant.reshape(-1)
            return exact
        real = (stored.q.constant - stored.zero_point.reshape(-1)) * stored.scale.astype(np.float64)
    elif value.constant is not None:
        real = value.constant.astype(np.float64)
    else:
        return False
    steps = np.rint(real.reshape(-1) / step)
    if steps.size and np.abs(steps).max() >= _ACCUMULATOR_LIMIT:
        return False
    rounded: NDArray[np.int32] = steps.astype(np.int32)
    return rounded


def _fits(node: Node, operands: _Operands, bias: NDArray[np.int32] | None) -> bool:
    """Whether no sum can leave s32: |x - zero point| <= 128 + |zero point|."""
    axis = _output_axis(node, operands.weights.ndim)
    others = tuple(i for i in range(operands.weights.ndim) if i != axis)
    total = np.abs(operands.weights.astype(np.int64)).sum(axis=others)
    largest = total * (128.0 + abs(operands.x.single_zero_point))
    if bias is not None:
        largest = largest + np.abs(bias.astype(np.int64))
    return bool(largest.size == 0 or largest.max() < _ACCUMULATOR_LIMIT)


def _convert(graph: Graph, node: Node) -> Node | None:
    operands = _operands(node)
    if operands is None:
        return None
    bias = _bias(node, operands)
    if isinstance(bias, bool) or not _fits(node, operands, bias):
        return None
    found = sole_quantizer(graph, graph.consumers(), node.outputs[0])
    target = found[1] if found is not None and found[1].q.dtype is DType.S8 else None
    attributes: dict[str, Any] = {"x_zero_point": operands.x.single_zero_point}
    divisor = 1.0 if target is None else float(target.single_scale)
    scale = storable_scale(float(operands.x.single_scale) * operands.weight_scale / divisor)
    ratio = None
    if operands.residual is not None:
        ratio = storable_scale(float(operands.residual.single_scale) / divisor)
    if scale is None or (ratio is None and operands.residual is not None):
        return None
    if target is None:
        attributes.update(out=DType.F32, lo=node.attributes.lo, hi=node.attributes.hi)
    else:
        q_lo, q_hi = quantized_bounds(node.attributes.lo, node.attributes.hi, target)
        attributes.update(out=DType.S8, y_zero_point=target.single_zero_point, q_lo=q_lo, q_hi=q_hi)
    inputs: list[Value | None] = [
        operands.x.q,
        graph.constant(operands.weights, f"{node.name}.w"),
        None if bias is None else graph.constant(bias, f"{node.name}.bias_s32"),
        graph.constant(scale, f"{node.name}.scale"),
    ]
    if operands.residual is not None and ratio is not None:
        inputs += [operands.residual.q, graph.constant(ratio, f"{node.name}.residual_scale")]
        attributes["residual_zero_point"] = operands.residual.single_zero_point
    operator = QCONV if node.operator is CONV else QMATMUL
    if node.operator is CONV:
        a = node.attributes
        attributes.update(
            strides=a.strides,
            pads=a.pads,
            dilations=a.dilations,
            group=a.group,
            auto_pad=a.auto_pad,
        )
    else:
        attributes["trans_b"] = node.attributes.trans_b
    integer = graph.make(
        operator, operator.attributes(**attributes), inputs, [graph.unique(node.name)], node.name
    )
    replaced = node.outputs[0] if found is None or target is None else found[0].outputs[0]
    integer.outputs = [replaced]
    replaced.producer = integer
    place = graph.nodes.index(node)
    graph.nodes[place] = integer
    if found is not None and target is not None:
        graph.nodes.remove(found[0])
    return integer


def make_integer_layers(graph: Graph) -> bool:
    """Converts every Conv and MatMul whose operands are quantised with constant parameters."""
    changed = False
    for node in list(graph.nodes):
        if node.operator is CONV or node.operator is MATMUL:
            changed = _convert(graph, node) is not None or changed
    return changed


LAYERS = Pass(
    "integer_layers",
    requires="propagate; epilogues fused",
    ensures="Conv and MatMul between DQ and Q are integer",
    run=make_integer_layers,
)

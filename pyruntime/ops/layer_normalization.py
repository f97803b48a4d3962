"""LayerNormalization and RMSNormalization: statistics over the last dims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import normal_axis, optional, required
from pyruntime.ops._onnx_types import onnx_dtype
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class LayerNormalizationAttributes:
    """Inputs: x, scale, bias? (LayerNormalization only), both broadcastable to x.dims[axis:].

    Attributes:
        axis: first of the dims that are normalised together.
        epsilon: added to the variance, or to the mean square.
        stash: type of the first stage, before scale and bias, and of the statistics.
    """

    axis: int = -1
    epsilon: float = 1e-5
    stash: DType = DType.F32


def _from_onnx(node: OnnxNode) -> tuple[LayerNormalizationAttributes, list[Value | None]]:
    found = node.attributes
    attributes = LayerNormalizationAttributes(
        axis=int(found.get("axis", -1)),
        epsilon=float(found.get("epsilon", 1e-5)),
        stash=onnx_dtype(int(found.get("stash_type", 1)), node.where),
    )
    return attributes, list(node.inputs)


def _statistics_dims(
    attributes: LayerNormalizationAttributes, dims: tuple[Dim, ...]
) -> tuple[Dim, ...]:
    axis = normal_axis(attributes.axis, len(dims))
    return (*dims[:axis], *[1] * (len(dims) - axis))


def _infer(
    attributes: LayerNormalizationAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    required(inputs, 1)
    statistics = ValueType(attributes.stash, _statistics_dims(attributes, x.dims))
    return [ValueType(x.dtype, x.dims), statistics, statistics][: max(outputs, 1)]


def _reference_layer(
    attributes: LayerNormalizationAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, scale, bias = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    axes = tuple(range(normal_axis(attributes.axis, x.ndim), x.ndim))
    exact = x.astype(attributes.stash.numpy)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.prod([x.shape[axis] for axis in axes])
        mean = exact.sum(axis=axes, keepdims=True) / exact.dtype.type(count)
        centred = exact - mean
        variance = (centred * centred).sum(axis=axes, keepdims=True) / exact.dtype.type(count)
        inverse = 1 / np.sqrt(variance + exact.dtype.type(attributes.epsilon))
    y = (centred * inverse).astype(x.dtype) * scale
    if bias is not None:
        y = y + bias
    return [y.astype(x.dtype), mean, inverse.astype(exact.dtype)][: max(outputs, 1)]


def _reference_rms(
    attributes: LayerNormalizationAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, scale = required(inputs, 0), required(inputs, 1)
    axes = tuple(range(normal_axis(attributes.axis, x.ndim), x.ndim))
    exact = x.astype(attributes.stash.numpy)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = exact.dtype.type(np.prod([x.shape[axis] for axis in axes]))
        square = (exact * exact).sum(axis=axes, keepdims=True) / count
    normalised = exact / np.sqrt(square + exact.dtype.type(attributes.epsilon))
    return [(normalised.astype(x.dtype) * scale).astype(x.dtype)]


def _spread_constant(value: Value | None, dims: tuple[Dim, ...]) -> Array | None:
    """A constant in exactly these dims; None where it or they are not known."""
    if value is None or value.constant is None:
        return None
    shape = tuple(d for d in dims if isinstance(d, int))
    constant = value.constant
    while constant.ndim > len(dims) and constant.shape[0] == 1:
        constant = constant[0]
    if len(shape) != len(dims) or constant.ndim > len(dims):
        return None
    return np.ascontiguousarray(np.broadcast_to(constant, shape))


def _lower_layer(node: Node, lowering: Lowering) -> None:
    attributes: LayerNormalizationAttributes = node.attributes
    x, bias_value = required(node.inputs, 0), optional(node.inputs, 2)
    axis = normal_axis(attributes.axis, len(x.dims))
    scale = _spread_constant(required(node.inputs, 1), x.dims[axis:])
    bias = _spread_constant(bias_value, x.dims[axis:])
    known = scale is not None and (bias_value is None or bias is not None)
    if x.dtype is not DType.F32 or scale is None or not known or len(node.outputs) > 1:
        lowering.host(node)
        return
    lowering.step(
        "layer_norm",
        [x, lowering.constant(scale), None if bias is None else lowering.constant(bias)],
        node.outputs,
        axis=axis,
        epsilon=attributes.epsilon,
    )


def _lower_rms(node: Node, lowering: Lowering) -> None:
    attributes: LayerNormalizationAttributes = node.attributes
    x, scale, y = required(node.inputs, 0), required(node.inputs, 1), node.outputs[0]
    if any(value.dtype is not DType.F32 for value in (x, scale)):
        lowering.host(node)
        return
    axes = list(range(normal_axis(attributes.axis, len(x.dims)), len(x.dims)))
    reduced = _statistics_dims(attributes, x.dims)
    square, normalised = (lowering.temporary(x.dtype, x.dims) for _ in range(2))
    mean, raised, root = (lowering.temporary(x.dtype, reduced) for _ in range(3))
    epsilon = lowering.constant(np.asarray(attributes.epsilon, np.float32))
    lowering.step("elementwise", [x, x], [square], op="mul")
    lowering.step("reduce", [square], [mean], op="mean", axes=axes)
    lowering.step("elementwise", [mean, epsilon], [raised], op="add")
    lowering.step("elementwise", [raised], [root], op="sqrt")
    lowering.step("elementwise", [x, root], [normalised], op="div")
    lowering.step("elementwise", [normalised, scale], [y], op="mul")


_X, _SCALE, _BIAS = example(2, 3, 7), example(7, seed=1), example(7, seed=2)

LAYER_NORMALIZATION = Operator(
    name="LayerNormalization",
    attributes=LayerNormalizationAttributes,
    from_onnx={17: _from_onnx},
    infer=_infer,
    reference=_reference_layer,
    lower=_lower_layer,
    cases=(
        Case("last", LayerNormalizationAttributes(), (_X, _SCALE, _BIAS)),
        Case("no-bias", LayerNormalizationAttributes(epsilon=0.1), (_X, _SCALE)),
        Case("two-dims", LayerNormalizationAttributes(1), (_X, example(3, 7, seed=1), _BIAS)),
        Case("empty", LayerNormalizationAttributes(), (_X[:0], _SCALE, _BIAS)),
        Case("statistics", LayerNormalizationAttributes(1), (_X, _SCALE, _BIAS), outputs=3),
    ),
)
RMS_NORMALIZATION = Operator(
    name="RMSNormalization",
    attributes=LayerNormalizationAttributes,
    from_onnx={23: _from_onnx},
    infer=_infer,
    reference=_reference_rms,
    lower=_lower_rms,
    cases=(
        Case("last", LayerNormalizationAttributes(), (_X, _SCALE)),
        Case("two-dims", LayerNormalizationAttributes(1), (_X, example(3, 7, seed=1))),
        Case("empty", LayerNormalizationAttributes(), (_X[:0], _SCALE)),
    ),
)
OPERATORS: tuple[Operator, ...] = (LAYER_NORMALIZATION, RMS_NORMALIZATION)

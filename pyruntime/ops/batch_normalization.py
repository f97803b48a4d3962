"""BatchNormalization: with known statistics an affine map per channel, which passes fold away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class BatchNormalizationAttributes:
    """Inputs: x [N, C, ...], scale [C], bias [C], mean [C], variance [C].

    Attributes:
        epsilon: added to the variance.
        momentum: of the running statistics, in training.
        training: statistics are those of x; outputs are y, running mean, running variance.
    """

    epsilon: float = 1e-5
    momentum: float = 0.9
    training: bool = False


def _from_onnx(node: OnnxNode) -> tuple[BatchNormalizationAttributes, list[Value | None]]:
    found = node.attributes
    attributes = BatchNormalizationAttributes(
        epsilon=float(found.get("epsilon", 1e-5)),
        momentum=float(found.get("momentum", 0.9)),
        training=bool(found.get("training_mode", 0)),
    )
    return attributes, list(node.inputs)


def _infer(
    attributes: BatchNormalizationAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, mean, variance = required(inputs, 0), required(inputs, 3), required(inputs, 4)
    types = [
        ValueType(x.dtype, x.dims),
        ValueType(mean.dtype, mean.dims),
        ValueType(variance.dtype, variance.dims),
    ]
    return types[: max(outputs, 1)]


def _column(parameter: Array, rank: int) -> Array:
    return parameter.reshape(-1, *[1] * max(rank - 2, 0))


def _reference(
    attributes: BatchNormalizationAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, scale, bias, mean, variance = (required(inputs, index) for index in range(5))
    compute = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype
    exact = x.astype(compute, copy=False)
    used_mean, used_variance = mean.astype(compute), variance.astype(compute)
    if attributes.training:
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        used_mean, used_variance = exact.mean(axis=axes), exact.var(axis=axes)
    rank = x.ndim
    deviation = np.sqrt(used_variance + compute.type(attributes.epsilon))
    y = (exact - _column(used_mean, rank)) / _column(deviation, rank)
    y = y * _column(scale.astype(compute), rank) + _column(bias.astype(compute), rank)
    results = [y.astype(x.dtype)]
    if outputs > 1:
        keep = compute.type(attributes.momentum)
        for old, new in ((mean, used_mean), (variance, used_variance)):
            running = old.astype(compute) * keep + new * (1 - keep)
            results.append(running.astype(old.dtype))
    return results[: max(outputs, 1)]


def batch_normalization_affine(node: Node) -> tuple[Array, Array] | None:
    """(factor [C], offset [C]) in float64 with y = x * factor + offset.

    Returns:
        None in training or where a parameter is not constant.
    """
    attributes: BatchNormalizationAttributes = node.attributes
    arrays = [required(node.inputs, index).constant for index in range(1, 5)]
    scale, bias, mean, variance = (None if a is None else a.astype(np.float64) for a in arrays)
    if attributes.training or scale is None or bias is None or mean is None or variance is None:
        return None
    factor = scale / np.sqrt(variance + attributes.epsilon)
    return factor, bias - mean * factor


def _lower(node: Node, lowering: Lowering) -> None:
    x, y = required(node.inputs, 0), node.outputs[0]
    affine = batch_normalization_affine(node)
    if affine is None or x.dtype is not DType.F32 or len(node.outputs) > 1:
        lowering.host(node)
        return
    factor, offset = (
        lowering.constant(_column(part, len(x.dims)).astype(np.float32)) for part in affine
    )
    scaled = lowering.temporary(y.dtype, y.dims)
    lowering.step("elementwise", [x, factor], [scaled], op="mul")
    lowering.step("elementwise", [scaled, offset], [y], op="add")


def _parameters(channels: int) -> tuple[Array, ...]:
    variance = np.abs(example(channels, seed=4)) + np.float32(0.1)
    return (*(example(channels, seed=seed) for seed in (1, 2, 3)), variance)


BATCH_NORMALIZATION = Operator(
    name="BatchNormalization",
    attributes=BatchNormalizationAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=(
        Case("2d", BatchNormalizationAttributes(), (example(2, 3, 5, 4), *_parameters(3))),
        Case("dense", BatchNormalizationAttributes(), (example(5, 3), *_parameters(3))),
        Case("empty", BatchNormalizationAttributes(), (example(0, 3, 5), *_parameters(3))),
        Case(
            "training",
            BatchNormalizationAttributes(training=True),
            (example(2, 3, 5), *_parameters(3)),
            outputs=3,
        ),
    ),
)
OPERATORS: tuple[Operator, ...] = (BATCH_NORMALIZATION,)

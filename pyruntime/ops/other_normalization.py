"""LpNormalization, MeanVarianceNormalization and LRN: rare, so they run by their references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ArgumentError
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import normal_axis, required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._spatial import ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class LpNormalizationAttributes:
    """Input: x.

    Attributes:
        axis: along which the norm is taken.
        p: order of the norm, 1 or 2.
    """

    axis: int = -1
    p: int = 2


@dataclass(frozen=True, slots=True)
class MeanVarianceAttributes:
    """Input: x.

    Attributes:
        axes: over which mean and variance are taken.
    """

    axes: tuple[int, ...] = (0, 2, 3)


@dataclass(frozen=True, slots=True)
class LrnAttributes:
    """Input: x [N, C, ...].

    Attributes:
        size: number of neighbouring channels.
        alpha: factor of the mean square.
        beta: exponent.
        bias: added before the power.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0


def _lp_from_onnx(node: OnnxNode) -> tuple[LpNormalizationAttributes, list[Value | None]]:
    p = int(node.attributes.get("p", 2))
    if p not in (1, 2):
        raise ArgumentError(f"{node.where}: p={p}; only 1 and 2 are defined")
    return LpNormalizationAttributes(int(node.attributes.get("axis", -1)), p), list(node.inputs)


def _mean_variance_from_onnx(node: OnnxNode) -> tuple[MeanVarianceAttributes, list[Value | None]]:
    return MeanVarianceAttributes(ints(node.attributes.get("axes", (0, 2, 3)))), list(node.inputs)


def _lrn_from_onnx(node: OnnxNode) -> tuple[LrnAttributes, list[Value | None]]:
    found = node.attributes
    attributes = LrnAttributes(
        size=int(found["size"]),
        alpha=float(found.get("alpha", 1e-4)),
        beta=float(found.get("beta", 0.75)),
        bias=float(found.get("bias", 1.0)),
    )
    return attributes, list(node.inputs)


def _infer(attributes: object, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    x = required(inputs, 0)
    return [ValueType(x.dtype, x.dims)]


def _widened(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def _reference_lp(
    attributes: LpNormalizationAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    exact = _widened(x)
    axis = normal_axis(attributes.axis, x.ndim)
    if attributes.p == 1:
        norm = np.abs(exact).sum(axis=axis, keepdims=True)
    else:
        norm = np.sqrt((exact * exact).sum(axis=axis, keepdims=True))
    return [np.where(norm == 0, 0, exact / np.where(norm == 0, 1, norm)).astype(x.dtype)]


def _reference_mean_variance(
    attributes: MeanVarianceAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    if x.size == 0:
        return [x.copy()]
    exact = _widened(x)
    centred = exact - exact.mean(axis=attributes.axes, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=attributes.axes, keepdims=True))
    return [(centred / (deviation + exact.dtype.type(1e-9))).astype(x.dtype)]


def _reference_lrn(
    attributes: LrnAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    exact = _widened(x)
    before = (attributes.size - 1) // 2
    after = attributes.size - 1 - before
    squares = np.pad(exact * exact, [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)])
    total = np.zeros_like(exact)
    for offset in range(attributes.size):
        total += squares[:, offset : offset + x.shape[1]]
    scale = attributes.bias + attributes.alpha / attributes.size * total
    return [(exact / scale ** exact.dtype.type(attributes.beta)).astype(x.dtype)]


LP_NORMALIZATION = Operator(
    name="LpNormalization",
    attributes=LpNormalizationAttributes,
    from_onnx={1: _lp_from_onnx},
    infer=_infer,
    reference=_reference_lp,
    cases=(
        Case("l2", LpNormalizationAttributes(), (example(2, 3, 5),)),
        Case("l1-zeros", LpNormalizationAttributes(0, 1), (np.zeros((2, 3), np.float32),)),
        Case("empty", LpNormalizationAttributes(), (example(0, 3),)),
    ),
)
MEAN_VARIANCE_NORMALIZATION = Operator(
    name="MeanVarianceNormalization",
    attributes=MeanVarianceAttributes,
    from_onnx={1: _mean_variance_from_onnx},
    infer=_infer,
    reference=_reference_mean_variance,
    cases=(
        Case("default", MeanVarianceAttributes(), (example(2, 3, 5, 4),)),
        Case("rows", MeanVarianceAttributes((-1,)), (example(3, 5),)),
        Case("empty", MeanVarianceAttributes(), (example(0, 3, 5, 4),)),
    ),
)
LRN = Operator(
    name="LRN",
    attributes=LrnAttributes,
    from_onnx={1: _lrn_from_onnx},
    infer=_infer,
    reference=_reference_lrn,
    cases=(
        Case("odd", LrnAttributes(3, 0.5, 0.7, 2.0), (example(2, 7, 3, 2),)),
        Case("even", LrnAttributes(4), (example(2, 7, 3, 2),)),
        Case("empty", LrnAttributes(3), (example(0, 7, 3, 2),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (LP_NORMALIZATION, MEAN_VARIANCE_NORMALIZATION, LRN)

"""GroupNormalization and InstanceNormalization: statistics over groups of channels of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import required
from pyruntime.ops._onnx_types import onnx_dtype
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class GroupNormalizationAttributes:
    """Inputs: x [N, C, ...], scale [C], bias [C].

    Attributes:
        groups: divides C; 0 means one group per channel (instance normalization).
        epsilon: added to the variance.
        per_group: scale and bias have one element per group, as before opset 21.
        stash: type of the first stage, before scale and bias.
    """

    groups: int = 0
    epsilon: float = 1e-5
    per_group: bool = False
    stash: DType = DType.F32


def _instance_from_onnx(node: OnnxNode) -> tuple[GroupNormalizationAttributes, list[Value | None]]:
    x = required(node.inputs, 0)
    stash = DType.F64 if x.dtype is DType.F64 else DType.F32
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    return GroupNormalizationAttributes(epsilon=epsilon, stash=stash), list(node.inputs)


def _group(node: OnnxNode, per_group: bool) -> GroupNormalizationAttributes:
    found = node.attributes
    return GroupNormalizationAttributes(
        groups=int(found["num_groups"]),
        epsilon=float(found.get("epsilon", 1e-5)),
        per_group=per_group,
        stash=onnx_dtype(int(found.get("stash_type", 1)), node.where),
    )


def _group_from_onnx_18(node: OnnxNode) -> tuple[GroupNormalizationAttributes, list[Value | None]]:
    return _group(node, per_group=True), list(node.inputs)


def _group_from_onnx_21(node: OnnxNode) -> tuple[GroupNormalizationAttributes, list[Value | None]]:
    return _group(node, per_group=False), list(node.inputs)


def _infer(
    attributes: GroupNormalizationAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    required(inputs, 1), required(inputs, 2)
    if len(x.dims) < 2:
        raise ShapeError(f"x has dims {list(x.dims)}; expected [N, C, ...]")
    channels = x.dims[1]
    if attributes.groups and isinstance(channels, int) and channels % attributes.groups:
        raise ShapeError(f"{attributes.groups} groups do not divide {channels} channels")
    return [ValueType(x.dtype, x.dims)]


def _reference(
    attributes: GroupNormalizationAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, scale, bias = (required(inputs, index) for index in range(3))
    channels = x.shape[1]
    groups = attributes.groups or channels
    if x.size == 0:
        return [x.copy()]
    rows = x.reshape(x.shape[0], groups, -1).astype(attributes.stash.numpy)
    centred = rows - rows.mean(axis=2, keepdims=True)
    variance = (centred * centred).mean(axis=2, keepdims=True)
    normalised = centred / np.sqrt(variance + rows.dtype.type(attributes.epsilon))
    column = (channels, *[1] * (x.ndim - 2))
    repeats = channels // groups if attributes.per_group else 1
    y = normalised.astype(x.dtype).reshape(x.shape) * np.repeat(scale, repeats).reshape(column)
    return [(y + np.repeat(bias, repeats).reshape(column)).astype(x.dtype)]


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: GroupNormalizationAttributes = node.attributes
    x, scale, bias = (required(node.inputs, index) for index in range(3))
    channels = x.dims[1]
    constant = scale.constant is not None and bias.constant is not None
    if x.dtype is not DType.F32 or not constant or not isinstance(channels, int):
        lowering.host(node)
        return
    groups = attributes.groups or channels
    parameters = [scale, bias]
    if attributes.per_group:
        parameters = [
            lowering.constant(np.repeat(p.constant, channels // groups))
            for p in parameters
            if p.constant is not None
        ]
    lowering.step(
        "group_norm",
        [x, *parameters],
        node.outputs,
        groups=groups,
        epsilon=attributes.epsilon,
    )


_X, _SCALE, _BIAS = example(2, 6, 5, 3), example(6, seed=1), example(6, seed=2)

INSTANCE_NORMALIZATION = Operator(
    name="InstanceNormalization",
    attributes=GroupNormalizationAttributes,
    from_onnx={1: _instance_from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=(
        Case("2d", GroupNormalizationAttributes(), (_X, _SCALE, _BIAS)),
        Case("1d", GroupNormalizationAttributes(epsilon=0.01), (_X[..., 0], _SCALE, _BIAS)),
        Case("empty-batch", GroupNormalizationAttributes(), (_X[:0], _SCALE, _BIAS)),
    ),
)
GROUP_NORMALIZATION = Operator(
    name="GroupNormalization",
    attributes=GroupNormalizationAttributes,
    from_onnx={18: _group_from_onnx_18, 21: _group_from_onnx_21},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=(
        Case("two-groups", GroupNormalizationAttributes(groups=2), (_X, _SCALE, _BIAS)),
        Case(
            "per-group",
            GroupNormalizationAttributes(groups=3, per_group=True),
            (_X, _SCALE[:3], _BIAS[:3]),
        ),
        Case("empty-batch", GroupNormalizationAttributes(groups=2), (_X[:0], _SCALE, _BIAS)),
    ),
)
OPERATORS: tuple[Operator, ...] = (INSTANCE_NORMALIZATION, GROUP_NORMALIZATION)

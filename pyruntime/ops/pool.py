"""MaxPool, AveragePool, LpPool and their global forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._pooling import (
    PoolGeometry,
    lower_pool,
    lowest,
    pool_windows,
    read_pool,
    resolve_pool,
    window_count,
    window_max,
    window_sum,
)
from pyruntime.ops._spatial import as_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class MaxPoolAttributes(PoolGeometry):
    """Input: x [N, C, spatial]. Outputs: maxima, indices? s64 into the flattened x.

    Attributes:
        storage_order: 0: indices count rows first, as memory does; 1: columns first.
    """

    storage_order: int = 0


@dataclass(frozen=True, slots=True)
class AveragePoolAttributes(PoolGeometry):
    """Input: x [N, C, spatial].

    Attributes:
        count_include_pad: padding counts as zeros.
    """

    count_include_pad: bool = False


@dataclass(frozen=True, slots=True)
class LpPoolAttributes(PoolGeometry):
    """Input: x [N, C, spatial].

    Attributes:
        p: the exponent of the norm.
    """

    p: int = 2


def _max_from_onnx(node: OnnxNode) -> tuple[MaxPoolAttributes, list[Value | None]]:
    order = int(node.attributes.get("storage_order", 0))
    return MaxPoolAttributes(**read_pool(node), storage_order=order), list(node.inputs)


def _average_from_onnx(node: OnnxNode) -> tuple[AveragePoolAttributes, list[Value | None]]:
    include = bool(node.attributes.get("count_include_pad", 0))
    return AveragePoolAttributes(**read_pool(node), count_include_pad=include), list(node.inputs)


def _lp_from_onnx(node: OnnxNode) -> tuple[LpPoolAttributes, list[Value | None]]:
    return LpPoolAttributes(**read_pool(node), p=int(node.attributes.get("p", 2))), list(
        node.inputs
    )


def _global_from_onnx(
    attributes: type[PoolGeometry],
) -> Callable[[OnnxNode], tuple[PoolGeometry, list[Value | None]]]:
    def read(node: OnnxNode) -> tuple[PoolGeometry, list[Value | None]]:
        if attributes is LpPoolAttributes:
            return LpPoolAttributes(p=int(node.attributes.get("p", 2))), list(node.inputs)
        return attributes(), list(node.inputs)

    return read


def _infer(
    attributes: PoolGeometry, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    dims = (*x.dims[:2], *resolve_pool(attributes, x.dims).outputs)
    types = [ValueType(x.dtype, dims)]
    return [*types, ValueType(DType.S64, dims)] if outputs > 1 else types


def _reference_max(
    attributes: MaxPoolAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    geometry = resolve_pool(attributes, x.shape)
    if outputs < 2:
        return [window_max(geometry, x)]
    spatial = x.shape[2:]
    positions: Array = np.arange(prod(spatial), dtype=np.int64)
    if attributes.storage_order:
        positions = positions.reshape(spatial[::-1]).T
    positions = positions.reshape(1, 1, *spatial)
    shape = (*x.shape[:2], *as_ints(geometry.outputs))
    best = np.full(shape, lowest(x.dtype), x.dtype)
    index = np.full(shape, -1, np.int64)
    for view, where in zip(
        pool_windows(geometry, x, lowest(x.dtype)),
        pool_windows(geometry, positions, -1),
        strict=True,
    ):
        better = (where >= 0) & ((index < 0) | (view > best))
        best = np.where(better, view, best)
        index = np.where(better, where, index)
    planes = np.arange(prod(shape[:2]), dtype=np.int64).reshape(*shape[:2], *[1] * len(spatial))
    return [best, index + planes * prod(spatial)]


def _reference_average(
    attributes: AveragePoolAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    compute = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype
    geometry = resolve_pool(attributes, x.shape)
    count = window_count(geometry, x.shape[2:], attributes.count_include_pad)
    total = window_sum(geometry, x.astype(compute, copy=False))
    return [(total / count.astype(compute)).astype(x.dtype, copy=False)]


def _reference_lp(
    attributes: LpPoolAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    compute = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype
    powers = np.abs(x.astype(compute, copy=False)) ** attributes.p
    total = window_sum(resolve_pool(attributes, x.shape), powers)
    return [(total ** compute.type(1.0 / attributes.p)).astype(x.dtype, copy=False)]


def _lower_max(node: Node, lowering: Lowering) -> None:
    x = required(node.inputs, 0)
    if x.dtype not in (DType.F32, DType.S8) or len(node.outputs) > 1:
        lowering.host(node)
        return
    lower_pool(node, lowering, [x, None], "max")


def _lower_average(node: Node, lowering: Lowering) -> None:
    x = required(node.inputs, 0)
    if x.dtype is not DType.F32:
        lowering.host(node)
        return
    attributes: AveragePoolAttributes = node.attributes
    lower_pool(node, lowering, [x, None], "average", include_pad=attributes.count_include_pad)


_X = example(2, 3, 7, 5)

MAX_POOL = Operator(
    name="MaxPool",
    attributes=MaxPoolAttributes,
    from_onnx={1: _max_from_onnx},
    infer=_infer,
    reference=_reference_max,
    lower=_lower_max,
    cases=(
        Case("pads", MaxPoolAttributes((3, 2), (2, 2), (1, 0, 1, 1)), (_X,)),
        Case("dilated", MaxPoolAttributes((2, 2), dilations=(2, 3)), (_X,)),
        Case("ceil", MaxPoolAttributes((3, 3), (2, 3), ceil_mode=True), (_X,)),
        Case("same-lower", MaxPoolAttributes((2, 2), (2, 1), auto_pad="SAME_LOWER"), (_X,)),
        Case("1d", MaxPoolAttributes((3,)), (_X[..., 0],)),
        Case("3d", MaxPoolAttributes((2, 2, 1)), (example(1, 2, 3, 4, 3),)),
        Case("s8", MaxPoolAttributes((2, 2)), (example_ints(1, 2, 5, 5),)),
        Case("u8", MaxPoolAttributes((2, 2)), (example_ints(1, 2, 5, 5, lo=0, dtype=np.uint8),)),
        Case("empty-batch", MaxPoolAttributes((2, 2)), (_X[:0],)),
        Case("indices", MaxPoolAttributes((3, 2), (2, 2), (1, 0, 1, 1)), (_X,), outputs=2),
        Case("indices-columns", MaxPoolAttributes((2, 2), storage_order=1), (_X,), outputs=2),
    ),
)
AVERAGE_POOL = Operator(
    name="AveragePool",
    attributes=AveragePoolAttributes,
    from_onnx={1: _average_from_onnx},
    infer=_infer,
    reference=_reference_average,
    lower=_lower_average,
    cases=(
        Case("pads", AveragePoolAttributes((3, 2), (2, 2), (1, 0, 1, 1)), (_X,)),
        Case(
            "include-pad-ceil",
            AveragePoolAttributes(
                (3, 2), (2, 2), (1, 0, 1, 1), ceil_mode=True, count_include_pad=True
            ),
            (_X,),
        ),
        Case(
            "include-pad",
            AveragePoolAttributes((2, 2), pads=(1, 1, 1, 0), count_include_pad=True),
            (_X,),
        ),
        Case("same-upper", AveragePoolAttributes((2, 2), (2, 1), auto_pad="SAME_UPPER"), (_X,)),
        Case("1d", AveragePoolAttributes((3,)), (_X[..., 0],)),
        Case("empty-batch", AveragePoolAttributes((2, 2)), (_X[:0],)),
    ),
)
LP_POOL = Operator(
    name="LpPool",
    attributes=LpPoolAttributes,
    from_onnx={1: _lp_from_onnx},
    infer=_infer,
    reference=_reference_lp,
    cases=(
        Case("p3", LpPoolAttributes((3, 2), (2, 2), (1, 0, 1, 1), p=3), (_X,)),
        Case("empty-batch", LpPoolAttributes((2, 2)), (_X[:0],)),
    ),
)
GLOBAL_MAX_POOL = Operator(
    name="GlobalMaxPool",
    attributes=MaxPoolAttributes,
    from_onnx={1: _global_from_onnx(MaxPoolAttributes)},
    infer=_infer,
    reference=_reference_max,
    lower=_lower_max,
    cases=(
        Case("2d", MaxPoolAttributes(), (_X,)),
        Case("3d", MaxPoolAttributes(), (example(1, 2, 3, 4, 3),)),
        Case("empty-batch", MaxPoolAttributes(), (_X[:0],)),
    ),
)
GLOBAL_AVERAGE_POOL = Operator(
    name="GlobalAveragePool",
    attributes=AveragePoolAttributes,
    from_onnx={1: _global_from_onnx(AveragePoolAttributes)},
    infer=_infer,
    reference=_reference_average,
    lower=_lower_average,
    cases=(
        Case("2d", AveragePoolAttributes(), (_X,)),
        Case("1d", AveragePoolAttributes(), (_X[..., 0],)),
        Case("empty-batch", AveragePoolAttributes(), (_X[:0],)),
    ),
)
GLOBAL_LP_POOL = Operator(
    name="GlobalLpPool",
    attributes=LpPoolAttributes,
    from_onnx={1: _global_from_onnx(LpPoolAttributes)},
    infer=_infer,
    reference=_reference_lp,
    cases=(Case("2d", LpPoolAttributes(), (_X,)),),
)
OPERATORS: tuple[Operator, ...] = (
    MAX_POOL,
    AVERAGE_POOL,
    LP_POOL,
    GLOBAL_MAX_POOL,
    GLOBAL_AVERAGE_POOL,
    GLOBAL_LP_POOL,
)

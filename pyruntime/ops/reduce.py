"""The Reduce operators: one formula each over a set of axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import normal_axis, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator, content_of
from pyruntime.ops._shapes import DynamicSizeError

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReduceAttributes:
    """Inputs: x, axes? s64 (constant).

    Attributes:
        keepdims: reduced axes stay, with size 1.
        noop_with_empty_axes: no axes mean none; otherwise they mean all.
    """

    keepdims: bool = True
    noop_with_empty_axes: bool = False


def _from_onnx_attribute(node: OnnxNode) -> tuple[ReduceAttributes, list[Value | None]]:
    axes = node.attributes.get("axes")
    attributes = ReduceAttributes(keepdims=bool(node.attributes.get("keepdims", 1)))
    if axes is None:
        return attributes, list(node.inputs)
    return attributes, [*node.inputs, node.constant(np.asarray(axes, np.int64))]


def _from_onnx_input(node: OnnxNode) -> tuple[ReduceAttributes, list[Value | None]]:
    attributes = ReduceAttributes(
        keepdims=bool(node.attributes.get("keepdims", 1)),
        noop_with_empty_axes=bool(node.attributes.get("noop_with_empty_axes", 0)),
    )
    return attributes, list(node.inputs)


def _axes(attributes: ReduceAttributes, listed: Sequence[Any], rank: int) -> Axes:
    if not len(listed):
        return () if attributes.noop_with_empty_axes else tuple(range(rank))
    return tuple(sorted({normal_axis(int(axis), rank) for axis in listed}))


def _known_axes(attributes: ReduceAttributes, inputs: Sequence[Value | None], rank: int) -> Axes:
    value = optional(inputs, 1)
    if value is None:
        return _axes(attributes, (), rank)
    listed = content_of(value)
    if listed is None or not all(isinstance(axis, int) for axis in listed.flat):
        raise DynamicSizeError(
            f"axes '{value.name}' are computed when the model runs, so the output has no known "
            "rank; make them a constant"
        )
    return _axes(attributes, list(listed.flat), rank)


def _infer(
    attributes: ReduceAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    axes = _known_axes(attributes, inputs, len(x.dims))
    if attributes.keepdims:
        return [ValueType(x.dtype, tuple(1 if i in axes else d for i, d in enumerate(x.dims)))]
    return [ValueType(x.dtype, tuple(d for i, d in enumerate(x.dims) if i not in axes))]


Formula = Callable[[Array, Axes], Array]


def _sum(x: Array, axes: Axes) -> Array:
    return np.asarray(np.sum(x, axis=axes, keepdims=True, dtype=x.dtype))


def _mean(x: Array, axes: Axes) -> Array:
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    if x.dtype.kind in "iu":
        if count == 0:
            return np.zeros_like(_sum(x, axes))
        return np.asarray(np.trunc(np.sum(x, axis=axes, keepdims=True) / count), x.dtype)
    return np.asarray(_sum(x, axes) / x.dtype.type(count))


def _lowest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return False
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def _highest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return True
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.inf


def _max(x: Array, axes: Axes) -> Array:
    return np.asarray(np.max(x, axis=axes, keepdims=True, initial=_lowest(x.dtype)))


def _min(x: Array, axes: Axes) -> Array:
    return np.asarray(np.min(x, axis=axes, keepdims=True, initial=_highest(x.dtype)))


def _prod(x: Array, axes: Axes) -> Array:
    return np.asarray(np.prod(x, axis=axes, keepdims=True, dtype=x.dtype))


def _l1(x: Array, axes: Axes) -> Array:
    return _sum(np.abs(x), axes)


def _sum_square(x: Array, axes: Axes) -> Array:
    return _sum(x * x, axes)


def _l2(x: Array, axes: Axes) -> Array:
    return np.asarray(np.sqrt(_sum_square(x, axes))).astype(x.dtype)


def _log_sum(x: Array, axes: Axes) -> Array:
    return np.asarray(np.log(_sum(x, axes))).astype(x.dtype)


def _log_sum_exp(x: Array, axes: Axes) -> Array:
    exact = x.astype(np.float64) if x.dtype.kind in "iu" else x
    top = np.max(exact, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(exact.dtype)  # -inf - -inf would be NaN
    return np.asarray(np.log(_sum(np.exp(exact - top), axes)) + top).astype(x.dtype)


def _reference(
    formula: Formula, attributes: ReduceAttributes, inputs: Sequence[Array | None]
) -> list[Array]:
    x, listed = required(inputs, 0), optional(inputs, 1)
    axes = _axes(attributes, () if listed is None else list(listed.flat), x.ndim)
    half = x.dtype.kind not in "iubO" and x.dtype.itemsize == 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        y = formula(x.astype(np.float32) if half else x, axes)
    if not attributes.keepdims:
        y = y.reshape([size for axis, size in enumerate(y.shape) if axis not in axes])
    return [y.astype(x.dtype, copy=False)]


# Types beyond f32 that the family computes, by op.
_ALSO_INTEGER = ("sum", "max", "min")


def _lower(op: str, node: Node, lowering: Lowering) -> None:
    x, y = required(node.inputs, 0), node.outputs[0]
    axes = _known_axes(node.attributes, node.inputs, len(x.dims))
    integer = x.dtype in (DType.S32, DType.S64) and op in _ALSO_INTEGER
    if not axes or (x.dtype is not DType.F32 and not integer):
        lowering.host(node)
        return
    if op == "log_sum":
        total = lowering.temporary(y.dtype, y.dims)
        lowering.step("reduce", [x], [total], op="sum", axes=list(axes))
        lowering.step("elementwise", [total], [y], op="log")
        return
    lowering.step("reduce", [x], [y], op=op, axes=list(axes))


def _operator(
    name: str, op: str, formula: Formula, since: int = 18, shape_arithmetic: bool = False
) -> Operator:
    """The operator of that name; axes are an input from opset `since` on."""

    def reference(
        attributes: ReduceAttributes, inputs: Sequence[Array | None], outputs: int
    ) -> list[Array]:
        return _reference(formula, attributes, inputs)

    def lower(node: Node, lowering: Lowering) -> None:
        _lower(op, node, lowering)

    return Operator(
        name=name,
        attributes=ReduceAttributes,
        from_onnx={1: _from_onnx_attribute, since: _from_onnx_input},
        infer=_infer,
        reference=reference,
        lower=lower,
        shape_arithmetic=shape_arithmetic,
        cases=_CASES,
    )


def _s64(*axes: int) -> Array:
    return np.asarray(axes, np.int64)


_POSITIVE = np.abs(example(2, 3, 5)) + np.float32(0.1)
_CASES = (
    Case("all", ReduceAttributes(), (_POSITIVE,)),
    Case("last", ReduceAttributes(), (_POSITIVE, _s64(-1))),
    Case("two-dropped", ReduceAttributes(keepdims=False), (_POSITIVE, _s64(0, 2))),
    Case("noop", ReduceAttributes(noop_with_empty_axes=True), (_POSITIVE, _s64())),
    Case("s32", ReduceAttributes(), (example_ints(3, 4, lo=1, hi=5, dtype=np.int32), _s64(1))),
    Case("empty-kept", ReduceAttributes(), (_POSITIVE[:0], _s64(1))),
    Case("empty-reduced", ReduceAttributes(), (_POSITIVE[:, :0], _s64(1))),
)

REDUCE_SUM = _operator("ReduceSum", "sum", _sum, since=13, shape_arithmetic=True)
REDUCE_MEAN = _operator("ReduceMean", "mean", _mean)
REDUCE_MAX = _operator("ReduceMax", "max", _max)
REDUCE_MIN = _operator("ReduceMin", "min", _min)
REDUCE_PROD = _operator("ReduceProd", "prod", _prod, shape_arithmetic=True)
REDUCE_L1 = _operator("ReduceL1", "l1", _l1)
REDUCE_L2 = _operator("ReduceL2", "l2", _l2)
REDUCE_SUM_SQUARE = _operator("ReduceSumSquare", "sum_square", _sum_square)
REDUCE_LOG_SUM = _operator("ReduceLogSum", "log_sum", _log_sum)
REDUCE_LOG_SUM_EXP = _operator("ReduceLogSumExp", "log_sum_exp", _log_sum_exp)
OPERATORS: tuple[Operator, ...] = (
    REDUCE_SUM,
    REDUCE_MEAN,
    REDUCE_MAX,
    REDUCE_MIN,
    REDUCE_PROD,
    REDUCE_L1,
    REDUCE_L2,
    REDUCE_SUM_SQUARE,
    REDUCE_LOG_SUM,
    REDUCE_LOG_SUM_EXP,
)

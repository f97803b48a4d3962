"""Clip: y = min(max(x, lo), hi); the bounds are optional scalar inputs."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import check_same_dtype, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._pointwise import NUMBERS, combine, infer_same, read_plain

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


def _from_attributes(node: OnnxNode) -> tuple[None, list[Value | None]]:
    """Before opset 11 the bounds were attributes."""
    x = required(node.inputs, 0)
    bounds = [
        node.constant(np.asarray(node.attributes[key], x.dtype.numpy))
        if key in node.attributes
        else None
        for key in ("min", "max")
    ]
    return None, [x, *bounds]


def _infer(attributes: None, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    check_same_dtype(inputs, 0, 1, 2)
    return infer_same(attributes, inputs, outputs)


def _reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    y = required(inputs, 0)
    for index, (name, ufunc) in enumerate((("max", np.maximum), ("min", np.minimum)), start=1):
        bound = optional(inputs, index)
        if bound is not None:
            y = combine(name, ufunc, y, bound.reshape(()))
    return [y]


def _lower(node: Node, lowering: Lowering) -> None:
    x, y = required(node.inputs, 0), node.outputs[0]
    bounds = [optional(node.inputs, index) for index in (1, 2)]
    if x.dtype not in NUMBERS:
        lowering.host(node)
        return
    if x.dtype is DType.F32 and all(b is None or b.constant is not None for b in bounds):
        lo, hi = (
            default if b is None or b.constant is None else float(b.constant.reshape(()))
            for b, default in zip(bounds, (-inf, inf), strict=True)
        )
        lowering.step("elementwise", [x], [y], op="clip", alpha=lo, beta=hi)
        return
    steps = [(op, b) for op, b in zip(("max", "min"), bounds, strict=True) if b is not None]
    if not steps:
        lowering.step("reshape", [x], [y])
    for position, (operation, bound) in enumerate(steps):
        result = y if position == len(steps) - 1 else lowering.temporary(y.dtype, y.dims)
        lowering.step("elementwise", [x, bound], [result], op=operation)
        x = result


_LO, _HI = np.asarray(-0.5, np.float32), np.asarray(0.75, np.float32)
CASES = (
    Case("both", None, (example(3, 5, 7), _LO, _HI)),
    Case("lo", None, (example(5), _LO)),
    Case("hi", None, (example(5, 3), None, _HI)),
    Case("none", None, (example(5),)),
    Case("crossed", None, (example(5), _HI, _LO)),
    Case("nan", None, (np.asarray([np.nan, np.inf, -np.inf], np.float32), _LO, _HI)),
    Case("empty", None, (example(0, 5), _LO, _HI)),
    Case("s8", None, (example_ints(5, 3), np.asarray(-7, np.int8), np.asarray(100, np.int8))),
    Case("s64", None, (example_ints(5, dtype=np.int64), np.asarray(-7), np.asarray(9))),
)
CLIP = Operator(
    name="Clip",
    from_onnx={1: _from_attributes, 11: read_plain},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    shape_arithmetic=True,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (CLIP,)

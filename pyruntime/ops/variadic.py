"""Sum, Mean, Max and Min of one or more inputs that broadcast."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.graph.dims import broadcast
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, Operator
from pyruntime.ops._pointwise import (
    FLOAT,
    NUMBERS,
    combine,
    infer_broadcast,
    quiet,
    read_plain,
    scalar,
)

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node

_FLOATS = (
    Case("one", None, (example(3, 5),)),
    Case("two", None, (example(3, 5), example(3, 5, seed=1))),
    Case("three-broadcast", None, (example(3, 1), example(5, seed=1), example(1, 1, 5, seed=2))),
    Case("empty", None, (example(0, 5), example(5))),
    Case("nan", None, (np.asarray([np.nan, 1], np.float32), np.asarray([1, np.nan], np.float32))),
    Case("f64", None, (example(3).astype(np.float64), example(3, seed=1).astype(np.float64))),
)
_INTS = tuple(
    Case(
        np.dtype(dtype).name,
        None,
        tuple(example_ints(7, lo=0, dtype=dtype, seed=s) for s in (0, 1)),
    )
    for dtype in (np.int32, np.int64, np.uint8)
)


def _variadic(
    name: str, operation: str, ufunc: Callable[[Array, Array], Any], *, mean: bool = False
) -> Operator:
    def reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
        arrays = [required(inputs, index) for index in range(len(inputs))]
        total = functools.reduce(functools.partial(combine, operation, ufunc), arrays)
        if mean:
            total = np.asarray(total / np.asarray(len(arrays), total.dtype), total.dtype)
        return [total]

    def lower(node: Node, lowering: Lowering) -> None:
        operands = [required(node.inputs, index) for index in range(len(node.inputs))]
        y = node.outputs[0]
        if y.dtype not in (FLOAT if mean else NUMBERS):
            lowering.host(node)
            return
        result = operands[0]
        for index, operand in enumerate(operands[1:], start=2):
            last = index == len(operands) and not mean
            dims = broadcast(result.dims, operand.dims)
            target = y if last else lowering.temporary(y.dtype, dims)
            lowering.step("elementwise", [result, operand], [target], op=operation)
            result = target
        if mean:
            lowering.step("elementwise", [result, scalar(lowering, len(operands))], [y], op="div")
        elif result is not y:
            lowering.step("reshape", [result], [y])

    integers = _INTS if operation in ("max", "min") else ()
    return Operator(
        name=name,
        from_onnx={1: read_plain},
        infer=infer_broadcast,
        reference=quiet(reference),
        lower=lower,
        shape_arithmetic=bool(integers),
        cases=_FLOATS + integers,
    )


SUM = _variadic("Sum", "add", np.add)
MEAN = _variadic("Mean", "add", np.add, mean=True)
MAX = _variadic("Max", "max", np.maximum)
MIN = _variadic("Min", "min", np.minimum)
OPERATORS: tuple[Operator, ...] = (SUM, MEAN, MAX, MIN)

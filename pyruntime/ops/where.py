"""Where: elements of a where the condition holds, else of b; all three broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import DTypeError
from pyruntime.graph.dims import broadcast
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import check_same_dtype, required
from pyruntime.ops._operator import Array, Case, Lowering, Operator
from pyruntime.ops._pointwise import read_plain

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


def _infer(attributes: None, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    dtype = check_same_dtype(inputs, 1, 2)
    condition = required(inputs, 0)
    if condition.dtype is not DType.BOOL:
        raise DTypeError(f"the condition is {condition.dtype} but must be bool; cast it")
    dims = broadcast(condition.dims, required(inputs, 1).dims, required(inputs, 2).dims)
    return [ValueType(dtype, dims)]


def _reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    condition, a, b = (required(inputs, index) for index in range(3))
    return [np.asarray(np.where(condition.astype(bool), a, b))]


def _lower(node: Node, lowering: Lowering) -> None:
    lowering.step("elementwise", node.inputs, node.outputs, op="where")


_C = example_ints(3, 5, lo=0, hi=1).astype(bool)
WHERE = Operator(
    name="Where",
    from_onnx={9: read_plain},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    shape_arithmetic=True,
    cases=(
        Case("same", None, (_C, example(3, 5), example(3, 5, seed=1))),
        Case("broadcast", None, (_C[:, :1], example(5), example(2, 1, 1, seed=1))),
        Case("scalar", None, (_C, np.asarray(1, np.int64), np.asarray(2, np.int64))),
        Case("s8", None, (_C, example_ints(3, 5), example_ints(5, seed=1))),
        Case("f16", None, (_C, *(example(3, 5, seed=s).astype(np.float16) for s in (0, 1)))),
        Case("bool", None, (_C, ~_C, _C[::-1].copy())),
        Case("empty", None, (_C[:0], example(1, 5), example(1, 1))),
    ),
)
OPERATORS: tuple[Operator, ...] = (WHERE,)

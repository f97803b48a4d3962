"""Logic on bool, and its counterpart on the bits of integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyruntime.ops._examples import example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Operator
from pyruntime.ops._pointwise import (
    BOOLEAN,
    infer_bool,
    infer_broadcast,
    infer_logical,
    infer_same,
    lower_elementwise,
    read_legacy_broadcast,
    read_plain,
)

_A, _B = (example_ints(3, 5, lo=0, hi=1, seed=s).astype(bool) for s in range(2))
_BOOLS = (
    Case("same", None, (_A, _B)),
    Case("broadcast", None, (_A[:, :1], _B[0])),
    Case("scalar", None, (_A, np.asarray(True))),
    Case("empty", None, (_A[:0], _B[:1])),
)
_BITS = tuple(
    Case(
        np.dtype(dtype).name,
        None,
        (
            example_ints(3, 5, lo=0, hi=100, dtype=dtype),
            example_ints(5, lo=0, hi=100, dtype=dtype, seed=1),
        ),
    )
    for dtype in (np.uint8, np.int16, np.int64)
)


def _logical(name: str, operation: str, ufunc: Callable[[Array, Array], Any]) -> Operator:
    def reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
        return [np.asarray(ufunc(required(inputs, 0), required(inputs, 1)))]

    bits = not operation
    return Operator(
        name=name,
        from_onnx={18: read_plain} if bits else {1: read_legacy_broadcast, 7: read_plain},
        infer=infer_broadcast if bits else infer_logical,
        reference=reference,
        lower=None if bits else lower_elementwise(operation, BOOLEAN),
        cases=_BITS if bits else _BOOLS,
    )


AND = _logical("And", "and", np.logical_and)
OR = _logical("Or", "or", np.logical_or)
XOR = _logical("Xor", "xor", np.logical_xor)
BITWISE_AND = _logical("BitwiseAnd", "", np.bitwise_and)
BITWISE_OR = _logical("BitwiseOr", "", np.bitwise_or)
BITWISE_XOR = _logical("BitwiseXor", "", np.bitwise_xor)
NOT = Operator(
    name="Not",
    from_onnx={1: read_plain},
    infer=infer_bool,
    reference=lambda attributes, inputs, outputs: [np.asarray(~required(inputs, 0))],
    lower=lower_elementwise("not", BOOLEAN),
    cases=(Case("plain", None, (_A,)), Case("empty", None, (_A[:0],))),
)
BITWISE_NOT = Operator(
    name="BitwiseNot",
    from_onnx={18: read_plain},
    infer=infer_same,
    reference=lambda attributes, inputs, outputs: [np.asarray(np.invert(required(inputs, 0)))],
    cases=tuple(Case(case.name, None, case.inputs[:1]) for case in _BITS),
)
OPERATORS: tuple[Operator, ...] = (
    *(AND, OR, XOR, NOT, BITWISE_AND, BITWISE_OR, BITWISE_XOR, BITWISE_NOT),
)

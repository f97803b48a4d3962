"""Comparisons of two inputs that broadcast; the result is bool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Operator
from pyruntime.ops._pointwise import (
    NUMBERS,
    combine,
    infer_compare,
    lower_elementwise,
    read_legacy_broadcast,
    read_plain,
)

_SPECIAL = np.asarray([0.0, -0.0, np.inf, -np.inf, np.nan], np.float32)
_SMALL = tuple(example_ints(3, 5, lo=-2, hi=2, dtype=np.int64, seed=s) for s in range(2))
CASES = (
    Case("same", None, (example(3, 5, 7), example(3, 5, 7, seed=1))),
    Case("broadcast", None, (example(3, 1, 7), example(5, 1, seed=1))),
    Case("special", None, (_SPECIAL, _SPECIAL.reshape(-1, 1))),
    Case("s64", None, _SMALL),
    Case("s32", None, tuple(x.astype(np.int32) for x in _SMALL)),
    Case("u8", None, tuple(np.abs(x).astype(np.uint8) for x in _SMALL)),
    Case("f16", None, tuple(x.astype(np.float16) for x in _SMALL)),
    Case("empty", None, (example(0, 5), example(5))),
)


def _comparison(
    name: str, operation: str, ufunc: Callable[[Array, Array], Any], since: int = 1
) -> Operator:
    def reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
        return [combine(operation, ufunc, required(inputs, 0), required(inputs, 1))]

    bools = tuple(x > 0 for x in _SMALL)
    return Operator(
        name=name,
        from_onnx={since: read_legacy_broadcast if since < 7 else read_plain, 7: read_plain},
        infer=infer_compare,
        reference=reference,
        lower=lower_elementwise(operation, NUMBERS),
        shape_arithmetic=True,
        cases=CASES + ((Case("bool", None, bools),) if name == "Equal" else ()),
    )


EQUAL = _comparison("Equal", "equal", np.equal)
LESS = _comparison("Less", "less", np.less)
GREATER = _comparison("Greater", "greater", np.greater)
LESS_OR_EQUAL = _comparison("LessOrEqual", "less_equal", np.less_equal, since=12)
GREATER_OR_EQUAL = _comparison("GreaterOrEqual", "greater_equal", np.greater_equal, since=12)
OPERATORS: tuple[Operator, ...] = (EQUAL, LESS, GREATER, LESS_OR_EQUAL, GREATER_OR_EQUAL)

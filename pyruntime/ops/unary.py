"""Functions of one input and no attributes: they differ by one expression."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyruntime.ops import activations, clip
from pyruntime.ops._examples import example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Operator
from pyruntime.ops._pointwise import (
    FLOAT,
    float_cases,
    infer_bool,
    infer_same,
    lower_elementwise,
    quiet,
    read_plain,
    widened,
)

_erf = np.frompyfunc(math.erf, 1, 1)
_INTS = (
    Case("s32", None, (example_ints(3, 5, dtype=np.int32),)),
    Case("s64", None, (example_ints(7, dtype=np.int64),)),
    Case("s8", None, (example_ints(2, 3, lo=-127),)),
)


def erf(x: Array) -> Array:
    """The error function, rounded once from double precision."""
    return np.asarray(_erf(x.astype(np.float64)), np.float64).astype(x.dtype)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)), x.dtype)


def _softplus(x: Array) -> Array:
    return np.asarray(np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0))


def _mish(x: Array) -> Array:
    return np.asarray(x * np.tanh(_softplus(x)))


def _hard_swish(x: Array) -> Array:
    # Alpha 1/6 and beta 1/2 are fixed by ONNX.
    third = x.dtype.type(1 / 6)
    return np.asarray(x * np.maximum(0, np.minimum(1, third * x + x.dtype.type(0.5))))


def _unary(
    name: str,
    function: Callable[[Array], Any],
    operation: str = "",
    *,
    cases: tuple[Case, ...] | None = None,
    shape_arithmetic: bool = False,
) -> Operator:
    def reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
        x = required(inputs, 0)
        if x.dtype == object:
            return [np.asarray(function(x), dtype=object)]
        return [widened(function, x)]

    return Operator(
        name=name,
        from_onnx={1: read_plain},
        infer=infer_same,
        reference=quiet(reference),
        lower=lower_elementwise(operation, FLOAT) if operation else None,
        shape_arithmetic=shape_arithmetic,
        cases=float_cases() if cases is None else cases,
    )


POSITIVE = float_cases(positive=True)
NEG = _unary("Neg", np.negative, "neg", cases=float_cases() + _INTS, shape_arithmetic=True)
ABS = _unary("Abs", np.abs, "abs", cases=float_cases() + _INTS)
SIGN = _unary("Sign", np.sign, "sign", cases=float_cases() + _INTS)
SQRT = _unary("Sqrt", np.sqrt, "sqrt", cases=POSITIVE)
RECIPROCAL = _unary("Reciprocal", lambda x: 1 / x, "reciprocal", cases=POSITIVE)
EXP = _unary("Exp", np.exp, "exp")
LOG = _unary("Log", np.log, "log", cases=POSITIVE)
FLOOR = _unary("Floor", np.floor, "floor")
CEIL = _unary("Ceil", np.ceil, "ceil")
ROUND = _unary("Round", np.rint, "round")
SIN = _unary("Sin", np.sin, "sin")
COS = _unary("Cos", np.cos, "cos")
TAN = _unary("Tan", np.tan)
ASIN = _unary("Asin", np.arcsin)
ACOS = _unary("Acos", np.arccos)
ATAN = _unary("Atan", np.arctan)
SINH = _unary("Sinh", np.sinh)
COSH = _unary("Cosh", np.cosh)
ASINH = _unary("Asinh", np.arcsinh)
ACOSH = _unary("Acosh", np.arccosh, cases=POSITIVE)
ATANH = _unary("Atanh", np.arctanh)
ERF = _unary("Erf", erf, "erf")
TANH = _unary("Tanh", np.tanh, "tanh")
SIGMOID = _unary("Sigmoid", _sigmoid, "sigmoid")
RELU = _unary("Relu", lambda x: np.maximum(x, x.dtype.type(0)), "relu", cases=float_cases() + _INTS)
SOFTPLUS = _unary("Softplus", _softplus, "softplus")
SOFTSIGN = _unary("Softsign", lambda x: x / (1 + np.abs(x)))
HARD_SWISH = _unary("HardSwish", _hard_swish, "hard_swish")
MISH = _unary("Mish", _mish)

IS_NAN = Operator(
    name="IsNaN",
    from_onnx={9: read_plain},
    infer=infer_bool,
    reference=lambda attributes, inputs, outputs: [np.asarray(np.isnan(required(inputs, 0)))],
    cases=float_cases(),
)


@dataclass(frozen=True, slots=True)
class IsInfAttributes:
    """Which infinities count."""

    detect_negative: bool = True
    detect_positive: bool = True


def _is_inf(
    attributes: IsInfAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    positive = np.isposinf(x.astype(np.float64)) & attributes.detect_positive
    negative = np.isneginf(x.astype(np.float64)) & attributes.detect_negative
    return [np.asarray(positive | negative)]


IS_INF = Operator(
    name="IsInf",
    attributes=IsInfAttributes,
    from_onnx={
        10: lambda node: (
            IsInfAttributes(
                bool(node.attributes.get("detect_negative", 1)),
                bool(node.attributes.get("detect_positive", 1)),
            ),
            list(node.inputs),
        )
    },
    infer=infer_bool,
    reference=_is_inf,
    cases=float_cases(IsInfAttributes(detect_negative=False)),
)

_SMOOTH = (
    *(NEG, ABS, SIGN, SQRT, RECIPROCAL, EXP, LOG, FLOOR, CEIL, ROUND, SIN, COS, TAN, ASIN, ACOS),
    *(ATAN, SINH, COSH, ASINH, ACOSH, ATANH, ERF, TANH, SIGMOID, RELU, SOFTPLUS, SOFTSIGN),
    *(HARD_SWISH, MISH),
)
OPERATORS: tuple[Operator, ...] = (*_SMOOTH, IS_NAN, IS_INF)


def is_unary_function(operator: Operator) -> bool:
    """Whether it maps one float to one float, its further inputs (bounds) being scalars."""
    functions = (*_SMOOTH, *activations.OPERATORS, clip.CLIP)
    return any(operator is candidate for candidate in functions)

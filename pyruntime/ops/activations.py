"""Activations of one input with attributes: each is an expression and how it maps to steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.ops._examples import example
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._pointwise import (
    FLOAT,
    chain,
    float_cases,
    infer_same,
    lower_elementwise,
    quiet,
    scalar,
    widened,
)

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

_erf = np.frompyfunc(math.erf, 1, 1)


@dataclass(frozen=True, slots=True)
class LeakyReluAttributes:
    """Slope below zero."""

    alpha: float = 0.01


@dataclass(frozen=True, slots=True)
class EluAttributes:
    """Elu, Celu and Swish: one factor."""

    alpha: float = 1.0


@dataclass(frozen=True, slots=True)
class SeluAttributes:
    """y = gamma * elu(x, alpha)."""

    alpha: float = 1.67326319217681884765625
    gamma: float = 1.05070102214813232421875


@dataclass(frozen=True, slots=True)
class HardSigmoidAttributes:
    """y = clip(alpha * x + beta, 0, 1)."""

    alpha: float = 0.2
    beta: float = 0.5


@dataclass(frozen=True, slots=True)
class GeluAttributes:
    """`approximate` is "none" (by erf) or "tanh"."""

    approximate: str = "none"


@dataclass(frozen=True, slots=True)
class ShrinkAttributes:
    """y = x + bias below -lambd, x - bias above lambd, else 0."""

    bias: float = 0.0
    lambd: float = 0.5


def _elu(x: Array, alpha: Array) -> Array:
    return np.asarray(np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def _celu(x: Array, alpha: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha)))


def _selu(x: Array, alpha: Array, gamma: Array) -> Array:
    return np.asarray(gamma * _elu(x, alpha))


def _hard_sigmoid(x: Array, alpha: Array, beta: Array) -> Array:
    return np.asarray(np.maximum(0, np.minimum(1, alpha * x + beta)))


def _swish(x: Array, alpha: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-alpha * x)))


def _shrink(x: Array, bias: Array, lambd: Array) -> Array:
    return np.asarray(np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0)))


def _gelu(attributes: GeluAttributes, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    def by_erf(x: Array) -> Array:
        inner = x.astype(np.float64) / math.sqrt(2)
        return np.asarray(0.5 * x * (1 + np.asarray(_erf(inner), np.float64).astype(x.dtype)))

    def by_tanh(x: Array) -> Array:
        root = x.dtype.type(math.sqrt(2 / math.pi))
        return np.asarray(0.5 * x * (1 + np.tanh(root * (x + x.dtype.type(0.044715) * x * x * x))))

    x = required(inputs, 0)
    return [widened(by_tanh if attributes.approximate == "tanh" else by_erf, x)]


def _lower_gelu(node: Node, lowering: Lowering) -> None:
    exact = node.attributes.approximate != "tanh"
    lower_elementwise("gelu" if exact else "gelu_tanh", FLOAT)(node, lowering)


def _if_f32(lower: Callable[[Node, Lowering], None]) -> Callable[[Node, Lowering], None]:
    def checked(node: Node, lowering: Lowering) -> None:
        if required(node.inputs, 0).dtype in FLOAT:
            lower(node, lowering)
        else:
            lowering.host(node)

    return checked


def _lower_celu(node: Node, lowering: Lowering) -> None:
    if node.attributes.alpha == 1.0:
        lowering.step("elementwise", node.inputs, node.outputs, op="elu", alpha=1.0)
    else:
        lowering.host(node)


def _lower_selu(node: Node, lowering: Lowering) -> None:
    y = node.outputs[0]
    elu = lowering.temporary(y.dtype, y.dims)
    lowering.step("elementwise", node.inputs, [elu], op="elu", alpha=node.attributes.alpha)
    lowering.step("elementwise", [elu, scalar(lowering, node.attributes.gamma)], [y], op="mul")


def _lower_swish(node: Node, lowering: Lowering) -> None:
    x, alpha = required(node.inputs, 0), node.attributes.alpha
    if alpha == 1.0:
        lowering.step("elementwise", [x], node.outputs, op="silu")
    else:
        steps = (("mul", (x, scalar(lowering, alpha))), ("sigmoid", (0,)), ("mul", (x, 1)))
        chain(lowering, node, *steps)


def _activation(
    name: str,
    attributes: type[Any],
    function: Callable[..., Array],
    names: tuple[str, ...],
    lower: Callable[[Node, Lowering], None] | None,
    since: int = 1,
) -> Operator:
    def read(node: OnnxNode) -> tuple[Any, list[Value | None]]:
        given = {key: float(node.attributes[key]) for key in names if key in node.attributes}
        return attributes(**given), list(node.inputs)

    def reference(found: Any, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
        return [widened(function, required(inputs, 0), *(getattr(found, key) for key in names))]

    return Operator(
        name=name,
        attributes=attributes,
        from_onnx={since: read},
        infer=infer_same,
        reference=quiet(reference),
        lower=lower,
        cases=(
            *float_cases(attributes()),
            Case("other", attributes(**dict.fromkeys(names, 0.7)), (example(3, 5),)),
        ),
    )


LEAKY_RELU = _activation(
    "LeakyRelu",
    LeakyReluAttributes,
    lambda x, alpha: np.where(x < 0, alpha * x, x),
    ("alpha",),
    lower_elementwise("leaky_relu", FLOAT, ("alpha",)),
)
ELU = _activation(
    "Elu", EluAttributes, _elu, ("alpha",), lower_elementwise("elu", FLOAT, ("alpha",))
)
CELU = _activation("Celu", EluAttributes, _celu, ("alpha",), _if_f32(_lower_celu), since=12)
SELU = _activation("Selu", SeluAttributes, _selu, ("alpha", "gamma"), _if_f32(_lower_selu))
THRESHOLDED_RELU = _activation(
    "ThresholdedRelu", EluAttributes, lambda x, alpha: np.where(x > alpha, x, 0), ("alpha",), None
)
HARD_SIGMOID = _activation(
    "HardSigmoid",
    HardSigmoidAttributes,
    _hard_sigmoid,
    ("alpha", "beta"),
    lower_elementwise("hard_sigmoid", FLOAT, ("alpha", "beta")),
)
SWISH = _activation("Swish", EluAttributes, _swish, ("alpha",), _if_f32(_lower_swish), since=24)
SHRINK = _activation("Shrink", ShrinkAttributes, _shrink, ("bias", "lambd"), None, since=9)
GELU = Operator(
    name="Gelu",
    attributes=GeluAttributes,
    from_onnx={
        20: lambda node: (
            GeluAttributes(str(node.attributes.get("approximate", "none"))),
            list(node.inputs),
        )
    },
    infer=infer_same,
    reference=quiet(_gelu),
    lower=_lower_gelu,
    cases=(*float_cases(GeluAttributes()), Case("tanh", GeluAttributes("tanh"), (example(3, 5),))),
)
OPERATORS: tuple[Operator, ...] = (
    *(LEAKY_RELU, ELU, CELU, SELU, THRESHOLDED_RELU, HARD_SIGMOID, SWISH, SHRINK, GELU),
)

"""The activation functions that recurrent cells may name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pyruntime.errors import ArgumentError
from pyruntime.ops._operator import Array

Activation = Callable[[Array], Array]


def _sigmoid(x: Array) -> Array:
    # Of the two equal forms each element uses the one that cannot overflow.
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + e), e / (1 + e)))


# name -> (function of x, alpha, beta; default alpha; default beta); None: takes no such value.
_FUNCTIONS: dict[str, tuple[Callable[..., Array], float | None, float | None]] = {
    "relu": (lambda x, a, b: np.maximum(x, 0), None, None),
    "tanh": (lambda x, a, b: np.tanh(x), None, None),
    "sigmoid": (lambda x, a, b: _sigmoid(x), None, None),
    "affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "leakyrelu": (lambda x, a, b: np.where(x >= 0, x, a * x), 0.01, None),
    "thresholdedrelu": (lambda x, a, b: np.where(x >= a, x, 0), 1.0, None),
    "scaledtanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "hardsigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "elu": (lambda x, a, b: np.where(x >= 0, x, a * np.expm1(np.minimum(x, 0))), 1.0, None),
    "softsign": (lambda x, a, b: x / (1 + np.abs(x)), None, None),
    "softplus": (lambda x, a, b: np.logaddexp(x, np.zeros_like(x)), None, None),
}


def activation_functions(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[Activation]:
    """The named functions; those that take alpha or beta consume the lists in order.

    Raises:
        ArgumentError: ONNX knows no such activation.
    """
    alpha_values, beta_values = list(alphas), list(betas)
    found: list[Activation] = []
    for name in names:
        if name.lower() not in _FUNCTIONS:
            raise ArgumentError(f"activation '{name}' is not one of {sorted(_FUNCTIONS)}")
        function, alpha, beta = _FUNCTIONS[name.lower()]
        if alpha is not None and alpha_values:
            alpha = alpha_values.pop(0)
        if beta is not None and beta_values:
            beta = beta_values.pop(0)
        found.append(_bound(function, alpha, beta))
    return found


def _bound(function: Callable[..., Array], alpha: float | None, beta: float | None) -> Activation:
    def activation(x: Array) -> Array:
        return function(x, alpha, beta)

    return activation

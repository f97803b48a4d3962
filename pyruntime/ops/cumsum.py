"""CumSum and CumProd: running sums and products along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.ops._examples import example
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._pointwise import infer_same

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class CumulativeAttributes:
    """Inputs: x, axis [].

    Attributes:
        exclusive: element i leaves out x[i].
        reverse: runs from the end.
    """

    exclusive: bool = False
    reverse: bool = False


def _from_onnx(node: OnnxNode) -> tuple[CumulativeAttributes, list[Value | None]]:
    exclusive, reverse = (bool(node.attributes.get(key, 0)) for key in ("exclusive", "reverse"))
    return CumulativeAttributes(exclusive, reverse), list(node.inputs)


def _cumulative(name: str, accumulate: Callable[..., Any], neutral: int, since: int) -> Operator:
    def reference(
        attributes: CumulativeAttributes, inputs: Sequence[Array | None], outputs: int
    ) -> list[Array]:
        x, axis = required(inputs, 0), int(required(inputs, 1).reshape(()))
        x = np.moveaxis(x, axis, 0)
        x = x[::-1] if attributes.reverse else x
        y = np.asarray(accumulate(x, axis=0, dtype=x.dtype))
        if attributes.exclusive:
            y = np.concatenate([np.full_like(y[:1], neutral), y[:-1]])
        y = y[::-1] if attributes.reverse else y
        return [np.ascontiguousarray(np.moveaxis(y, 0, axis))]

    axis = np.asarray(1)
    return Operator(
        name=name,
        attributes=CumulativeAttributes,
        from_onnx={since: _from_onnx},
        infer=infer_same,
        reference=reference,
        cases=(
            Case("plain", CumulativeAttributes(), (example(3, 5), axis)),
            Case("exclusive", CumulativeAttributes(exclusive=True), (example(3, 5), axis)),
            Case("reverse", CumulativeAttributes(reverse=True), (example(3, 5), axis - 2)),
            Case("both", CumulativeAttributes(True, True), (np.arange(7), axis - 1)),
            Case("empty", CumulativeAttributes(exclusive=True), (example(3, 0), axis)),
        ),
    )


CUM_SUM = _cumulative("CumSum", np.cumsum, 0, 11)
CUM_PROD = _cumulative("CumProd", np.cumprod, 1, 26)
OPERATORS: tuple[Operator, ...] = (CUM_SUM, CUM_PROD)

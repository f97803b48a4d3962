"""QPool (internal): maximum or average of 8-bit integers over windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ArgumentError, DTypeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example_ints
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, Lowering, Operator
from pyruntime.ops._pooling import (
    PoolGeometry,
    lower_pool,
    resolve_pool,
    window_count,
    window_max,
    window_sum,
)
from pyruntime.ops._requantize import round_to_s8

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class QPoolAttributes(PoolGeometry):
    """Inputs: x s8 [N, C, spatial], scale f32 [1]? (average only: that of x divided by y's).

    average: `float(sum(x - x_zp)) / float(count) * scale`, rounded; max: the bytes themselves.

    Attributes:
        op: max or average.
        count_include_pad: the average counts padding (real zeros).
        x_zero_point: of x; average only.
        y_zero_point: of the output; average only.
    """

    op: str = "max"
    count_include_pad: bool = False
    x_zero_point: int = 0
    y_zero_point: int = 0


def _infer(
    attributes: QPoolAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    if x.dtype is not DType.S8:
        raise DTypeError(f"input 0 is {x.dtype}; QPool works on s8")
    if attributes.op not in ("max", "average"):
        raise ArgumentError(f"op is '{attributes.op}'; QPool knows max and average")
    if (attributes.op == "average") != (optional(inputs, 1) is not None):
        raise ArgumentError("average pooling needs a scale, max pooling has none")
    return [ValueType(DType.S8, (*x.dims[:2], *resolve_pool(attributes, x.dims).outputs))]


def _reference(
    attributes: QPoolAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x = required(inputs, 0)
    geometry = resolve_pool(attributes, x.shape)
    if attributes.op == "max":
        return [window_max(geometry, x)]
    total = window_sum(geometry, x.astype(np.int64) - attributes.x_zero_point)
    count = window_count(geometry, x.shape[2:], attributes.count_include_pad)
    scale = required(inputs, 1).astype(np.float32).reshape(())
    f = total.astype(np.float32) / count.astype(np.float32) * scale
    return [round_to_s8(f, attributes.y_zero_point)]


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: QPoolAttributes = node.attributes
    lower_pool(
        node,
        lowering,
        [node.inputs[0], optional(node.inputs, 1)],
        attributes.op,
        include_pad=attributes.count_include_pad,
        x_zero_point=attributes.x_zero_point,
        y_zero_point=attributes.y_zero_point,
    )


_X = example_ints(2, 3, 7, 5)
_SCALE = np.asarray([0.75], np.float32)

CASES = (
    Case("max", QPoolAttributes(kernel=(3, 2), strides=(2, 2), pads=(1, 0, 1, 1)), (_X,)),
    Case("max-ceil", QPoolAttributes(kernel=(2, 2), strides=(2, 2), ceil_mode=True), (_X,)),
    Case(
        "average",
        QPoolAttributes(
            op="average", kernel=(3, 3), pads=(1, 1, 1, 1), x_zero_point=-5, y_zero_point=3
        ),
        (_X, _SCALE),
    ),
    Case(
        "average-include-pad",
        QPoolAttributes(
            op="average", kernel=(2, 2), pads=(1, 1, 0, 0), count_include_pad=True, x_zero_point=9
        ),
        (_X, _SCALE),
    ),
    Case("global-average", QPoolAttributes(op="average", x_zero_point=1), (_X, _SCALE)),
    Case("1d", QPoolAttributes(kernel=(3,), strides=(2,)), (_X[..., 0],)),
    Case("empty-batch", QPoolAttributes(kernel=(2, 2)), (_X[:0],)),
)

QPOOL = Operator(
    name="QPool",
    domain="pyruntime",
    attributes=QPoolAttributes,
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (QPOOL,)

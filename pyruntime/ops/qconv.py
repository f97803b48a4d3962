"""QConv (internal): convolution of 8-bit integers with the whole requantisation in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example_ints
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, Lowering, Operator
from pyruntime.ops._requantize import check_product, finish_product, widen, wrap
from pyruntime.ops._spatial import crops
from pyruntime.ops.conv import Geometry, convolve, resolve

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class QConvAttributes(Geometry):
    """Inputs: x s8, w s8, bias s32 [O]?, scale f32 [1 or O]?, residual s8?, residual_scale f32?.

    Attributes:
        x_zero_point: of x; padding holds it.
        y_zero_point: of an s8 output.
        residual_zero_point: of the residual.
        q_lo: lower bound of an s8 output, zero point included.
        q_hi: upper bound of an s8 output.
        out: s8 or f32 (with scale), s32 (without: the accumulators).
        lo: lower bound of an f32 output.
        hi: upper bound of an f32 output.
    """

    x_zero_point: int = 0
    y_zero_point: int = 0
    residual_zero_point: int = 0
    q_lo: int = -128
    q_hi: int = 127
    out: DType = DType.S8
    lo: float = -inf
    hi: float = inf


def _infer(
    attributes: QConvAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, w = required(inputs, 0), required(inputs, 1)
    check_product(attributes, inputs, w.dims[0])
    geometry = resolve(attributes, x.dims, w.dims)
    return [ValueType(attributes.out, (x.dims[0], w.dims[0], *geometry.outputs))]


def _reference(
    attributes: QConvAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, w = required(inputs, 0), required(inputs, 1)
    acc = wrap(convolve(attributes, widen(x, attributes.x_zero_point), widen(w)))
    return [finish_product(attributes, acc, inputs, (-1,) + (1,) * (x.ndim - 2))]


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: QConvAttributes = node.attributes
    x, w = required(node.inputs, 0), required(node.inputs, 1)
    if len(x.dims) not in (3, 4, 5) or crops(attributes.pads):
        lowering.host(node)
        return
    geometry = resolve(attributes, x.dims, w.dims)
    lowering.step(
        "conv",
        [x, w, *(optional(node.inputs, index) for index in range(2, 6))],
        node.outputs,
        kernel=list(geometry.kernel),
        strides=list(geometry.strides),
        pads=list(geometry.pads),
        dilations=list(geometry.dilations),
        group=attributes.group,
        x_zero_point=attributes.x_zero_point,
        y_zero_point=attributes.y_zero_point,
        residual_zero_point=attributes.residual_zero_point,
        q_lo=attributes.q_lo,
        q_hi=attributes.q_hi,
        lo=attributes.lo,
        hi=attributes.hi,
    )


_X, _W = example_ints(1, 4, 6, 5), example_ints(6, 4, 3, 3, seed=1)
_BIAS = example_ints(6, lo=-5000, hi=5000, dtype=np.int32, seed=2)
_SCALE = np.linspace(0.0005, 0.002, 6, dtype=np.float32)
_R_SCALE = np.asarray([0.37], np.float32)

CASES = (
    Case(
        "s8",
        QConvAttributes(pads=(1, 1, 1, 1), x_zero_point=-7, y_zero_point=5, q_lo=5),
        (_X, _W, _BIAS, _SCALE),
    ),
    Case("s32", QConvAttributes(strides=(2, 1), out=DType.S32, x_zero_point=3), (_X, _W)),
    Case("f32", QConvAttributes(out=DType.F32, lo=0.0, hi=6.0), (_X, _W, _BIAS, _SCALE[:1])),
    Case(
        "residual",
        QConvAttributes(pads=(1, 1, 1, 1), residual_zero_point=4, y_zero_point=-128),
        (_X, _W, _BIAS, _SCALE, example_ints(1, 6, 6, 5, seed=3), _R_SCALE),
    ),
    Case(
        "depthwise-same",
        QConvAttributes(group=4, auto_pad="SAME_UPPER", strides=(2, 2), x_zero_point=-128),
        (_X, example_ints(4, 1, 3, 3, seed=4), None, _SCALE[:4]),
    ),
    Case(
        "1d",
        QConvAttributes(group=2, dilations=(2,)),
        (example_ints(2, 4, 11), example_ints(6, 2, 3, seed=1), None, _SCALE[:1]),
    ),
    Case("empty-batch", QConvAttributes(), (_X[:0], _W, _BIAS, _SCALE)),
)

QCONV = Operator(
    name="QConv",
    domain="pyruntime",
    attributes=QConvAttributes,
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (QCONV,)

"""Conv: 1-D, 2-D and 3-D, grouped, dilated. Passes may fuse a residual and a clip into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import check_same_dtype, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._spatial import (
    Resolved,
    as_ints,
    correlate,
    crops,
    ints,
    resolve_pads,
    spread,
    window_output_dims,
)

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class Geometry:
    """The attributes that all convolutions share.

    Attributes:
        strides: one per spatial dim; empty means all 1.
        pads: begins, then ends; empty means all 0. Ignored unless auto_pad is NOTSET.
        dilations: one per spatial dim; empty means all 1.
        group: number of groups.
        auto_pad: NOTSET, VALID, SAME_UPPER or SAME_LOWER.
    """

    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    group: int = 1
    auto_pad: str = "NOTSET"


@dataclass(frozen=True, slots=True)
class ConvAttributes(Geometry):
    """Inputs: x [N, C, spatial], w [O, C/group, kernel], bias? [O], residual? [N, O, outputs].

    Attributes:
        lo: lower bound of the output, applied after bias and residual.
        hi: upper bound of the output.
    """

    lo: float = -inf
    hi: float = inf


def resolve(attributes: Geometry, x_dims: Sequence[Dim], w_dims: Sequence[Dim]) -> Resolved:
    """Kernel, pads and output dims of convolving x [N, C, spatial] with w [O, C/group, kernel].

    Raises:
        ShapeError: ranks, channels or lists do not fit.
    """
    rank = len(x_dims) - 2
    if rank < 1 or len(w_dims) != rank + 2:
        raise ShapeError(
            f"x has dims {list(x_dims)} and w {list(w_dims)}; they need [N, C, spatial...] and "
            "[O, C/group, kernel...]"
        )
    channels, expected = x_dims[1], w_dims[1] * attributes.group
    if isinstance(channels, int) and isinstance(expected, int) and channels != expected:
        raise ShapeError(
            f"x has {channels} channels but w {list(w_dims)} with group={attributes.group} needs "
            f"{expected}"
        )
    if isinstance(w_dims[0], int) and w_dims[0] % attributes.group:
        raise ShapeError(f"group={attributes.group} does not divide the {w_dims[0]} channels of w")
    strides = spread(attributes.strides, rank)
    dilations = spread(attributes.dilations, rank)
    kernel = tuple(w_dims[2:])
    spatial = x_dims[2:]
    pads = resolve_pads(spatial, kernel, strides, attributes.pads, dilations, attributes.auto_pad)
    outputs = window_output_dims(spatial, kernel, strides, pads, dilations)
    return Resolved(kernel, strides, pads, dilations, outputs)


def convolve(attributes: Geometry, x: Array, w: Array) -> Array:
    """The bare convolution in the dtype of x, padded with zeros."""
    geometry = resolve(attributes, x.shape, w.shape)
    return correlate(
        x, w, geometry.strides, as_ints(geometry.pads), geometry.dilations, attributes.group
    )


def read_geometry(node: OnnxNode, weight: int = 1) -> dict[str, Any]:
    """The convolution attributes of an ONNX node as keyword arguments; input `weight` is w."""
    found = node.attributes
    w = required(node.inputs, weight)
    kernel = ints(found.get("kernel_shape"))
    if kernel and tuple(w.dims[2:]) != kernel and all(isinstance(d, int) for d in w.dims):
        raise ShapeError(f"{node.where}: kernel_shape {list(kernel)} but w has dims {list(w.dims)}")
    rank = len(w.dims) - 2
    return {
        "strides": spread(ints(found.get("strides")), rank),
        "pads": ints(found.get("pads")),
        "dilations": spread(ints(found.get("dilations")), rank),
        "group": int(found.get("group", 1)),
        "auto_pad": str(found.get("auto_pad", "NOTSET")),
    }


def _from_onnx(node: OnnxNode) -> tuple[ConvAttributes, list[Value | None]]:
    return ConvAttributes(**read_geometry(node)), list(node.inputs)


def _infer(
    attributes: ConvAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    dtype = check_same_dtype(inputs, 0, 1, 2, 3)
    x, w = required(inputs, 0), required(inputs, 1)
    geometry = resolve(attributes, x.dims, w.dims)
    return [ValueType(dtype, (x.dims[0], w.dims[0], *geometry.outputs))]


def _reference(
    attributes: ConvAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, w = required(inputs, 0), required(inputs, 1)
    # Half types accumulate in single precision, as every library does.
    compute = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype
    y = convolve(attributes, x.astype(compute, copy=False), w.astype(compute, copy=False))
    bias = optional(inputs, 2)
    if bias is not None:
        y += bias.astype(compute, copy=False).reshape(-1, *[1] * (x.ndim - 2))
    residual = optional(inputs, 3)
    if residual is not None:
        y += residual.astype(compute, copy=False)
    return [clip(y, attributes.lo, attributes.hi).astype(x.dtype, copy=False)]


def clip(y: Array, lo: float, hi: float) -> Array:
    """The clipped y, in its dtype, NaN passing through; no copy where there is no bound."""
    if lo == -inf and hi == inf:
        return y
    return np.clip(y, y.dtype.type(lo), y.dtype.type(hi))


_MOST_SPATIAL = 3  # of the family conv


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: ConvAttributes = node.attributes
    x, w = required(node.inputs, 0), required(node.inputs, 1)
    bias = optional(node.inputs, 2)
    rank = len(x.dims) - 2
    if x.dtype is not DType.F32 or rank > _MOST_SPATIAL or crops(attributes.pads):
        lowering.host(node)
        return
    geometry = resolve(attributes, x.dims, w.dims)
    lowering.step(
        "conv",
        [x, w, bias, None, optional(node.inputs, 3), None],
        node.outputs,
        kernel=list(geometry.kernel),
        strides=list(geometry.strides),
        pads=list(geometry.pads),
        dilations=list(geometry.dilations),
        group=attributes.group,
        lo=attributes.lo,
        hi=attributes.hi,
    )


CASES = (
    Case(
        "2d",
        ConvAttributes(pads=(1, 1, 1, 1)),
        (example(2, 3, 9, 7), example(5, 3, 3, 3, seed=1), example(5)),
    ),
    Case(
        "1d-odd",
        ConvAttributes(strides=(2,), pads=(2, 1)),
        (example(1, 4, 11), example(3, 4, 5, seed=1)),
    ),
    Case(
        "3d", ConvAttributes(), (example(1, 2, 5, 4, 3), example(3, 2, 2, 3, 1, seed=1), example(3))
    ),
    Case(
        "depthwise",
        ConvAttributes(group=6, strides=(2, 2)),
        (example(1, 6, 9, 9), example(6, 1, 3, 3, seed=1)),
    ),
    Case(
        "groups",
        ConvAttributes(group=2, dilations=(2, 1)),
        (example(1, 4, 8, 7), example(6, 2, 3, 2, seed=1)),
    ),
    Case(
        "many-channels-same-upper",
        ConvAttributes(auto_pad="SAME_UPPER", strides=(2, 2)),
        (example(1, 17, 8, 5), example(3, 17, 3, 4, seed=1), example(3)),
    ),
    Case(
        "same-lower",
        ConvAttributes(auto_pad="SAME_LOWER", strides=(3, 2)),
        (example(1, 2, 8, 5), example(3, 2, 3, 4, seed=1)),
    ),
    Case(
        "residual-clip",
        ConvAttributes(pads=(0, 1, 0, 1), lo=0.0, hi=6.0),
        (
            example(1, 3, 5, 5),
            example(4, 3, 1, 3, seed=1),
            example(4, seed=2),
            example(1, 4, 5, 5, seed=3),
        ),
    ),
    Case(
        "empty-batch",
        ConvAttributes(),
        (example(0, 3, 5, 5), example(4, 3, 3, 3, seed=1), example(4)),
    ),
    Case("no-outputs", ConvAttributes(), (example(1, 3, 2, 5), example(4, 3, 3, 3, seed=1))),
)

CONV = Operator(
    name="Conv",
    attributes=ConvAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (CONV,)

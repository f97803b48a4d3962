"""ConvTranspose: the adjoint of a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import dim_max
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import check_same_dtype, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._spatial import SAME, Resolved, as_ints, crops, ints, scatter, spread
from pyruntime.ops.conv import Geometry, clip, read_geometry

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class ConvTransposeAttributes(Geometry):
    """Inputs: x [N, C, spatial], w [C, O/group, kernel], bias? [O].

    Attributes:
        output_padding: added to the end of each spatial dim of the output; empty means none.
        output_shape: the spatial dims of the output; pads follow from it. Empty: not given.
        lo: lower bound of the output, applied after the bias.
        hi: upper bound of the output.
    """

    output_padding: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    lo: float = -inf
    hi: float = inf


def _from_onnx(node: OnnxNode) -> tuple[ConvTransposeAttributes, list[Value | None]]:
    shape = ints(node.attributes.get("output_shape"))
    rank = len(required(node.inputs, 1).dims) - 2
    attributes = ConvTransposeAttributes(
        **read_geometry(node),
        output_padding=ints(node.attributes.get("output_padding")),
        output_shape=shape[-rank:],  # some exporters write batch and channels too
    )
    return attributes, list(node.inputs)


def resolve_transposed(
    attributes: ConvTransposeAttributes, x_dims: Sequence[Dim], w_dims: Sequence[Dim]
) -> Resolved:
    """Kernel, pads and output dims.

    Raises:
        ShapeError: ranks, channels or lists do not fit.
    """
    rank = len(x_dims) - 2
    if rank < 1 or len(w_dims) != rank + 2:
        raise ShapeError(
            f"x has dims {list(x_dims)} and w {list(w_dims)}; they need [N, C, spatial...] and "
            "[C, O/group, kernel...]"
        )
    if all(isinstance(d, int) for d in (x_dims[1], w_dims[0])) and x_dims[1] != w_dims[0]:
        raise ShapeError(f"x has {x_dims[1]} channels but w is made for {w_dims[0]}")
    strides, dilations = spread(attributes.strides, rank), spread(attributes.dilations, rank)
    extra = spread(attributes.output_padding, rank, 0)
    kernel = tuple(w_dims[2:])
    natural = [
        (x_dims[i + 2] - 1) * strides[i] + extra[i] + (kernel[i] - 1) * dilations[i] + 1
        for i in range(rank)
    ]
    same = attributes.auto_pad in SAME
    if not attributes.output_shape and not same:
        pads = attributes.pads if attributes.auto_pad == "NOTSET" else ()
        pads = spread(pads, 2 * rank, 0)
        outputs = tuple(natural[i] - pads[i] - pads[i + rank] for i in range(rank))
        return Resolved(kernel, strides, pads, dilations, outputs)
    wanted: tuple[Dim, ...] = attributes.output_shape or tuple(
        x_dims[i + 2] * strides[i] for i in range(rank)
    )
    totals = [dim_max(0, natural[i] - wanted[i]) for i in range(rank)]
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    begins, ends = (small, large) if attributes.auto_pad == "SAME_UPPER" else (large, small)
    return Resolved(kernel, strides, (*begins, *ends), dilations, wanted)


def _infer(
    attributes: ConvTransposeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    dtype = check_same_dtype(inputs, 0, 1, 2)
    x, w = required(inputs, 0), required(inputs, 1)
    geometry = resolve_transposed(attributes, x.dims, w.dims)
    return [ValueType(dtype, (x.dims[0], w.dims[1] * attributes.group, *geometry.outputs))]


def _reference(
    attributes: ConvTransposeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, w, bias = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    compute = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype
    geometry = resolve_transposed(attributes, x.shape, w.shape)
    y = scatter(
        x.astype(compute, copy=False),
        w.astype(compute, copy=False),
        geometry.strides,
        as_ints(geometry.pads),
        geometry.dilations,
        attributes.group,
        as_ints(geometry.outputs),
    )
    if bias is not None:
        y = y + bias.astype(compute).reshape(-1, *[1] * (x.ndim - 2))
    return [clip(y, attributes.lo, attributes.hi).astype(x.dtype, copy=False)]


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: ConvTransposeAttributes = node.attributes
    x, w, bias = required(node.inputs, 0), required(node.inputs, 1), optional(node.inputs, 2)
    packable = w.constant is not None and (bias is None or bias.constant is not None)
    native = packable and not crops(attributes.pads)
    if x.dtype is not DType.F32 or len(x.dims) not in (3, 4) or not native:
        lowering.host(node)
        return
    geometry = resolve_transposed(attributes, x.dims, w.dims)
    lowering.step(
        "conv_transpose",
        [x, w, bias],
        node.outputs,
        strides=list(geometry.strides),
        pads=list(geometry.pads),
        dilations=list(geometry.dilations),
        group=attributes.group,
        lo=attributes.lo,
        hi=attributes.hi,
    )


_X, _W = example(2, 4, 5, 3), example(4, 3, 3, 2, seed=1)

CONV_TRANSPOSE = Operator(
    name="ConvTranspose",
    attributes=ConvTransposeAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=(
        Case("plain", ConvTransposeAttributes(), (_X, _W, example(3))),
        Case(
            "strides-pads-output-padding",
            ConvTransposeAttributes(strides=(2, 3), pads=(1, 0, 1, 1), output_padding=(1, 0)),
            (_X, _W),
        ),
        Case("clip", ConvTransposeAttributes(lo=0.0, hi=6.0), (_X, _W, example(3))),
        Case("groups", ConvTransposeAttributes(group=2, dilations=(1, 2)), (_X, _W)),
        Case("same", ConvTransposeAttributes(strides=(2, 2), auto_pad="SAME_UPPER"), (_X, _W)),
        Case(
            "output-shape", ConvTransposeAttributes(strides=(2, 2), output_shape=(10, 8)), (_X, _W)
        ),
        Case("1d", ConvTransposeAttributes(strides=(2,)), (_X[..., 0], _W[..., 0])),
        Case("3d", ConvTransposeAttributes(), (example(1, 2, 2, 3, 2), example(2, 1, 2, 2, 2))),
        Case("empty-batch", ConvTransposeAttributes(), (_X[:0], _W)),
    ),
)
OPERATORS: tuple[Operator, ...] = (CONV_TRANSPOSE,)

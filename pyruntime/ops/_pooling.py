"""What all pooling operators share: attributes, geometry, sums and maxima over windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import dim_max
from pyruntime.ops._operator import Array, Lowering, OnnxNode
from pyruntime.ops._spatial import (
    Resolved,
    as_ints,
    crops,
    ints,
    pad_spatial,
    resolve_pads,
    spread,
    taps,
    window_output_dims,
)

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class PoolGeometry:
    """The attributes that all pooling operators share.

    Attributes:
        kernel: one per spatial dim; empty means the whole input.
        strides: one per spatial dim; empty means all 1.
        pads: begins, then ends; empty means all 0. Ignored unless auto_pad is NOTSET.
        dilations: one per spatial dim; empty means all 1.
        auto_pad: NOTSET, VALID, SAME_UPPER or SAME_LOWER.
        ceil_mode: output dims are rounded up. Ignored unless auto_pad is NOTSET.
    """

    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    auto_pad: str = "NOTSET"
    ceil_mode: bool = False


def read_pool(node: OnnxNode) -> dict[str, Any]:
    """The geometry of an ONNX pooling node as keyword arguments."""
    found = node.attributes
    kernel = ints(found.get("kernel_shape"))
    if not kernel:
        raise ShapeError(f"{node.where}: kernel_shape is missing")
    rank = len(kernel)
    return {
        "kernel": kernel,
        "strides": spread(ints(found.get("strides")), rank),
        "pads": ints(found.get("pads")),
        "dilations": spread(ints(found.get("dilations")), rank),
        "auto_pad": str(found.get("auto_pad", "NOTSET")),
        "ceil_mode": bool(found.get("ceil_mode", 0)),
    }


def resolve_pool(attributes: PoolGeometry, x_dims: Sequence[Dim]) -> Resolved:
    """Kernel, pads and output dims of pooling over x [N, C, spatial].

    Raises:
        ShapeError: x has no spatial dims or the lists do not fit them.
    """
    spatial = tuple(x_dims[2:])
    rank = len(spatial)
    if rank < 1 or (attributes.kernel and len(attributes.kernel) != rank):
        raise ShapeError(
            f"cannot pool dims {list(x_dims)} with a kernel {list(attributes.kernel)}; x needs "
            "[N, C, spatial...] with one spatial dim per kernel dim"
        )
    strides = spread(attributes.strides, rank)
    dilations = spread(attributes.dilations, rank)
    kernel: tuple[Dim, ...] = attributes.kernel or spatial
    pads = resolve_pads(spatial, kernel, strides, attributes.pads, dilations, attributes.auto_pad)
    ceil_mode = attributes.ceil_mode and attributes.auto_pad == "NOTSET"
    outputs = window_output_dims(spatial, kernel, strides, pads, dilations, ceil_mode)
    return Resolved(kernel, strides, pads, dilations, outputs)


def reaching_pads(geometry: Resolved, spatial: Sequence[Dim]) -> tuple[Dim, ...]:
    """The pads, with ends enlarged so that the last window of ceil_mode lies inside them."""
    rank = len(spatial)
    ends: list[Dim] = []
    for axis in range(rank):
        span = (geometry.kernel[axis] - 1) * geometry.dilations[axis] + 1
        needed = (geometry.outputs[axis] - 1) * geometry.strides[axis] + span
        ends.append(
            dim_max(geometry.pads[axis + rank], needed - spatial[axis] - geometry.pads[axis])
        )
    return (*geometry.pads[:rank], *ends)


def pool_windows(geometry: Resolved, x: Array, fill: Any) -> list[Array]:
    """For each element of the kernel the view of x it meets, [N, C, outputs]; `fill` outside."""
    padded = pad_spatial(x, as_ints(reaching_pads(geometry, x.shape[2:])), fill)
    kernel, outputs = as_ints(geometry.kernel), as_ints(geometry.outputs)
    return [view for _, view in taps(padded, kernel, geometry.strides, geometry.dilations, outputs)]


def window_sum(geometry: Resolved, x: Array) -> Array:
    """Sums over the windows in the dtype of x, padding counting as zero."""
    total = np.zeros((*x.shape[:2], *as_ints(geometry.outputs)), x.dtype)
    for view in pool_windows(geometry, x, 0):
        total += view
    return total


def window_count(geometry: Resolved, spatial: Sequence[int], include_pad: bool) -> Array:
    """How many elements each window averages over, [1, 1, outputs] s64, at least 1."""
    inside = np.ones((1, 1, *spatial), np.int64)
    if include_pad:
        # Only declared padding counts, not what ceil_mode's last window reaches beyond it.
        rank = len(spatial)
        declared = as_ints(geometry.pads)
        inside = pad_spatial(inside, declared, 1)
        geometry = Resolved(
            geometry.kernel,
            geometry.strides,
            (0,) * (2 * rank),
            geometry.dilations,
            geometry.outputs,
        )
    return np.maximum(window_sum(geometry, inside), 1)


def lowest(dtype: np.dtype[Any]) -> Any:
    """The smallest value of a dtype: what padding is to a maximum."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def window_max(geometry: Resolved, x: Array) -> Array:
    """Maxima over the windows; padding never wins."""
    fill = lowest(x.dtype)
    best = np.full((*x.shape[:2], *as_ints(geometry.outputs)), fill, x.dtype)
    for view in pool_windows(geometry, x, fill):
        best = np.maximum(best, view)
    return best


def lower_pool(
    node: Node,
    lowering: Lowering,
    operands: Sequence[Value | None],
    op: str,
    *,
    include_pad: bool = False,
    x_zero_point: int = 0,
    y_zero_point: int = 0,
) -> None:
    """Writes a `pool` step. The family reads the output dims, so ceil_mode needs no more pads."""
    attributes: PoolGeometry = node.attributes
    x = operands[0]
    assert x is not None
    if len(x.dims) not in (3, 4) or crops(attributes.pads):
        lowering.host(node)
        return
    geometry = resolve_pool(attributes, x.dims)
    lowering.step(
        "pool",
        operands,
        node.outputs[:1],
        op=op,
        kernel=list(geometry.kernel),
        strides=list(geometry.strides),
        pads=list(geometry.pads),
        dilations=list(geometry.dilations),
        count_include_pad=int(include_pad),
        x_zero_point=x_zero_point,
        y_zero_point=y_zero_point,
    )

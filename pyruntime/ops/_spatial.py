"""Sliding windows: pads and output dims of convolutions and pooling, and their numpy loops.

Everything about dims works on expressions; everything on arrays takes resolved ints. Pads are
begins, then ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import Dim, dim_max, dim_min
from pyruntime.ops._operator import Array

SAME = ("SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True, slots=True)
class Resolved:
    """The geometry of one convolution or pooling with everything spelled out.

    Attributes:
        kernel: one per spatial dim.
        strides: one per spatial dim.
        pads: begins, then ends.
        dilations: one per spatial dim.
        outputs: the spatial dims of the output.
    """

    kernel: tuple[Dim, ...]
    strides: tuple[int, ...]
    pads: tuple[Dim, ...]
    dilations: tuple[int, ...]
    outputs: tuple[Dim, ...]


def ints(value: Any) -> tuple[int, ...]:
    """A list attribute as a tuple of plain ints; None gives the empty tuple."""
    return () if value is None else tuple(int(v) for v in value)


def spread(values: Sequence[int], rank: int, default: int = 1) -> tuple[int, ...]:
    """`values`, or `rank` times the default where the list is empty.

    Raises:
        ShapeError: the length does not fit.
    """
    if not values:
        return (default,) * rank
    if len(values) != rank:
        raise ShapeError(f"expected {rank} values, one per spatial dimension, got {list(values)}")
    return tuple(values)


def resolve_pads(
    spatial: Sequence[Dim],
    kernel: Sequence[Dim],
    strides: Sequence[int],
    pads: Sequence[Dim],
    dilations: Sequence[int],
    auto_pad: str,
) -> tuple[Dim, ...]:
    """Explicit pads: those given, or what `auto_pad` means for these dims.

    Args:
        spatial: input dims behind batch and channels.
        kernel: one per spatial dim, like strides and dilations.
        strides: steps of the window.
        pads: begins, then ends; empty means none.
        dilations: steps inside the window.
        auto_pad: NOTSET, VALID, SAME_UPPER or SAME_LOWER.
    """
    rank = len(spatial)
    if auto_pad == "VALID":
        return (0,) * (2 * rank)
    if auto_pad not in SAME:
        if pads and len(pads) != 2 * rank:
            raise ShapeError(
                f"expected {2 * rank} pads, two per spatial dimension, got {list(pads)}"
            )
        return tuple(pads) or (0,) * (2 * rank)
    begins: list[Dim] = []
    ends: list[Dim] = []
    for size, k, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True):
        output = (size + (stride - 1)) // stride
        total = dim_max(0, (output - 1) * stride + (k - 1) * dilation + 1 - size)
        small = total // 2
        large = total - small
        begins.append(small if auto_pad == "SAME_UPPER" else large)
        ends.append(large if auto_pad == "SAME_UPPER" else small)
    return (*begins, *ends)


def crops(pads: Sequence[int]) -> bool:
    """Whether some pad is negative, which no kernel family takes."""
    return any(pad < 0 for pad in pads)


def window_output_dims(
    spatial: Sequence[Dim],
    kernel: Sequence[Dim],
    strides: Sequence[int],
    pads: Sequence[Dim],
    dilations: Sequence[int],
    ceil_mode: bool = False,
) -> tuple[Dim, ...]:
    """Output dims for resolved pads. With `ceil_mode` no window starts in the end padding.

    Raises:
        ShapeError: the kernel does not fit into the padded input.
    """
    rank = len(spatial)
    dims: list[Dim] = []
    for axis in range(rank):
        span = (kernel[axis] - 1) * dilations[axis] + 1
        room = spatial[axis] + pads[axis] + pads[axis + rank] - span
        stride = strides[axis]
        if ceil_mode:
            rounded_up = (room + (stride - 1)) // stride + 1
            size = dim_min(rounded_up, (spatial[axis] + pads[axis] - 1) // stride + 1)
        else:
            size = room // stride + 1
        if isinstance(size, int) and size < 0:
            raise ShapeError(
                f"a kernel that spans {span} does not fit into spatial dimension {axis} of "
                f"{spatial[axis]} with pads {pads[axis]}, {pads[axis + rank]}; enlarge the input"
            )
        dims.append(size)
    return tuple(dims)


def _at(array: Array, *index: Any) -> Array:
    result: Array = array[index]
    return result


def pad_spatial(x: Array, pads: Sequence[int], value: Any = 0) -> Array:
    """Gives x [N, C, spatial] with resolved pads around the spatial dims (negative pads crop)."""
    rank = x.ndim - 2
    if not any(pads):
        return x
    crop = tuple(
        slice(max(-pads[i], 0), x.shape[i + 2] - max(-pads[i + rank], 0)) for i in range(rank)
    )
    widths = [(max(pads[i], 0), max(pads[i + rank], 0)) for i in range(rank)]
    return np.pad(_at(x, ..., *crop), [(0, 0), (0, 0), *widths], constant_values=value)


def taps(
    padded: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    outputs: Sequence[int],
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """For every element of the kernel: its index, and a view [N, C, outputs] of what it meets."""
    for index in np.ndindex(*kernel):
        window = tuple(
            slice(i * d, i * d + (o - 1) * s + 1, s) if o > 0 else slice(0, 0)
            for i, d, s, o in zip(index, dilations, strides, outputs, strict=True)
        )
        yield index, _at(padded, ..., *window)


def windows(
    padded: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    outputs: Sequence[int],
) -> Array:
    """All windows as a view [N, C, outputs, kernel]; the last one must end inside `padded`."""
    rank = len(kernel)
    if 0 in padded.shape or 0 in outputs:
        return np.zeros((*padded.shape[:2], *outputs, *kernel), padded.dtype)
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(2, 2 + rank)))
    starts = tuple(slice(0, (o - 1) * s + 1, s) for o, s in zip(outputs, strides, strict=True))
    inside = tuple(slice(None, None, d) for d in dilations)
    return _at(view, ..., *starts, *inside)


def correlate(
    x: Array,
    w: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> Array:
    """The convolution of neural networks, in the dtype of x. Padding is zero.

    Args:
        x: [N, C, spatial].
        w: [O, C / group, kernel], dtype of x.
        strides: one per spatial dim.
        pads: resolved, begins then ends.
        dilations: one per spatial dim.
        group: divides C and O.

    Returns:
        [N, O, outputs].
    """
    kernel = w.shape[2:]
    outputs = as_ints(window_output_dims(x.shape[2:], kernel, strides, pads, dilations))
    batch, channels = x.shape[:2]
    out_channels, group_channels = w.shape[:2]
    padded = pad_spatial(x, pads)
    result = np.zeros((batch, out_channels, *outputs), x.dtype)
    if 0 in result.shape or 0 in w.shape:
        return result
    if group_channels == 1 and group == out_channels == channels:
        shape = (1, channels) + (1,) * len(kernel)
        for index, view in taps(padded, kernel, strides, dilations, outputs):
            result += view * _at(w, slice(None), 0, *index).reshape(shape)
        return result
    grouped = result.reshape(batch, group, out_channels // group, -1)
    if group_channels * group >= 16 * group:
        # Enough channels for a matrix product per kernel element, without an im2col copy.
        by_group = w.reshape(group, out_channels // group, group_channels, *kernel)
        for index, view in taps(padded, kernel, strides, dilations, outputs):
            columns = view.reshape(batch, group, group_channels, -1)
            grouped += _at(by_group, ..., *index) @ columns
        return result
    rank = len(kernel)
    patches = windows(padded, kernel, strides, dilations, outputs)
    order = (0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    rows = w.reshape(group, out_channels // group, -1)
    for n in range(batch):  # one sample at a time bounds the im2col copy
        patch = patches[n : n + 1].transpose(order)
        grouped[n] = rows @ patch.reshape(group, rows.shape[2], -1)
    return result


def scatter(
    x: Array,
    w: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
    outputs: Sequence[int],
) -> Array:
    """Transposed convolution: x [N, C, spatial], w [C, O/group, kernel] -> [N, O, outputs]."""
    batch, channels = x.shape[:2]
    kernel = w.shape[2:]
    group_outputs = w.shape[1]
    rank = len(kernel)
    # Large enough for every tap; what lies outside [pad, pad + output) is dropped.
    full = tuple(
        max(
            (x.shape[i + 2] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1,
            pads[i] + outputs[i],
            0,
        )
        for i in range(rank)
    )
    result = np.zeros((batch, group * group_outputs, *full), x.dtype)
    if 0 not in x.shape and 0 not in w.shape:
        columns = x.reshape(batch, group, channels // group, -1)
        by_group = w.reshape(group, channels // group, group_outputs, *kernel)
        for index, view in taps(result, kernel, strides, dilations, x.shape[2:]):
            rows = np.swapaxes(_at(by_group, ..., *index), 1, 2)
            view += (rows @ columns).reshape(view.shape)
    crop = tuple(slice(pads[i], pads[i] + outputs[i]) for i in range(rank))
    return np.ascontiguousarray(_at(result, ..., *crop))


def as_ints(dims: Sequence[Dim]) -> tuple[int, ...]:
    """Dims of arrays, which are known.

    Raises:
        ShapeError: one is symbolic.
    """
    known: list[int] = []
    for dim in dims:
        if not isinstance(dim, int):
            raise ShapeError(f"dimension {dim} must be known here; give the model static shapes")
        known.append(int(dim))
    return tuple(known)

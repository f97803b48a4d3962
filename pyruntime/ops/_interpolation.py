"""One axis of Resize: where output positions lie in the input, and which elements they weigh."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from pyruntime.errors import ArgumentError
from pyruntime.ops._operator import Array


def positions(
    coordinate: str, size: int, output: int, scale: float, roi: tuple[float, float] = (0.0, 1.0)
) -> Array:
    """Positions in the input, f64 [output], of the centres of output elements.

    Args:
        coordinate: ONNX coordinate_transformation_mode.
        size: of the input.
        output: of the output.
        scale: output / input, before the output is rounded to a whole size.
        roi: start and end, as fractions of the input; tf_crop_and_resize only.
    """
    p = np.arange(output, dtype=np.float64)
    width = scale * size  # of the output, as a real number
    centred = (p + 0.5) / scale - 0.5
    if coordinate == "half_pixel":
        return centred
    if coordinate == "pytorch_half_pixel":
        return np.full(output, -0.5) if width == 1 else centred
    if coordinate == "half_pixel_symmetric":
        return size / 2 * (1 - output / width) + centred
    if coordinate == "tf_half_pixel_for_nn":  # opset 11 and 12
        return (p + 0.5) / scale
    if coordinate == "asymmetric":
        return p / scale
    if coordinate == "align_corners":
        return np.zeros(output) if width == 1 else p * (size - 1) / (width - 1)
    if coordinate == "tf_crop_and_resize":
        start, end = roi
        if width == 1:
            return np.full(output, 0.5 * (start + end) * (size - 1))
        return p * (end - start) * (size - 1) / (width - 1) + start * (size - 1)
    raise ArgumentError(f"coordinate_transformation_mode '{coordinate}' is not known")


def nearest_index(x: Array, rule: str, size: int) -> Array:
    """Indices s64 into an input of `size` for real positions x."""
    if rule == "round_prefer_floor":
        nearest = np.ceil(x - 0.5)
    elif rule == "round_prefer_ceil":
        nearest = np.floor(x + 0.5)
    elif rule in ("floor", "ceil"):
        nearest = np.floor(x) if rule == "floor" else np.ceil(x)
    else:
        raise ArgumentError(f"nearest_mode '{rule}' is not known")
    return np.asarray(np.clip(nearest, 0, size - 1)).astype(np.int64)


def _triangle(distance: Array) -> Array:
    return np.asarray(np.maximum(1 - np.abs(distance), 0))


def cubic(a: float) -> Callable[[Array], Array]:
    """The cubic convolution kernel with coefficient a (Keys 1981, equation 4)."""

    def kernel(distance: Array) -> Array:
        t = np.abs(distance)
        inner = ((a + 2) * t - (a + 3)) * t * t + 1
        outer = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        return np.where(t <= 1, inner, np.where(t < 2, outer, 0))

    return kernel


def weights(
    x: Array, size: int, scale: float, kernel: Callable[[Array], Array] | None, reach: int
) -> tuple[Array, Array]:
    """(indices s64 [output, taps], weights f64 of the same dims) for real positions x.

    Indices may lie outside of the input. A scale below 1 stretches the kernel (antialiasing).

    Args:
        x: positions.
        size: of the input.
        scale: 1 without antialiasing.
        kernel: weight of a distance; None for the triangle of linear interpolation.
        reach: distance at which the kernel becomes zero.
    """
    squeeze = min(scale, 1.0)
    taps = ceil(reach / squeeze)
    index = np.floor(x).astype(np.int64)[:, None] + np.arange(1 - taps, taps + 1)
    found = (kernel or _triangle)((index - x[:, None]) * squeeze)
    return index, found / found.sum(axis=1, keepdims=True)


def apply_weights(data: Array, axis: int, index: Array, weight: Array, exclude: bool) -> Array:
    """Weighted sums along `axis`; indices outside mean the edge, or nothing with `exclude`."""
    size = data.shape[axis]
    if exclude:
        weight = np.where((index < 0) | (index >= size), 0, weight)
        total = weight.sum(axis=1, keepdims=True)
        weight = weight / np.where(total == 0, 1, total)
    index = np.clip(index, 0, size - 1)
    column = [-1 if i == axis else 1 for i in range(data.ndim)]
    shape = (*data.shape[:axis], index.shape[0], *data.shape[axis + 1 :])
    result = np.zeros(shape, data.dtype)
    for tap in range(index.shape[1]):
        factor = weight[:, tap].astype(data.dtype).reshape(column)
        if factor.any():
            result += np.take(data, index[:, tap], axis=axis) * factor
    return result

"""Finds the usual mistakes in calibration data before they become a bad model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.compression.calibrate import Feeds
from pyruntime.errors import ArgumentError, DTypeError, ShapeError
from pyruntime.graph import Graph, Value

FEW_SAMPLES = 16  # below this ranges are mostly luck; a warning, since one sample still calibrates

IMAGE_RANK = 4
RAW_PIXEL_MAX = 255


def _fits(value: Value, shape: tuple[int, ...]) -> bool:
    return len(shape) == len(value.dims) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(value.dims, shape, strict=True)
    )


def check_feed(value: Value, array: NDArray[Any]) -> None:
    """Raises for an array that cannot be right for an input: shape, layout, dtype, NaN."""
    where = f"calibration data for input '{value.name}'"
    if not _fits(value, array.shape):
        expected = "x".join(map(str, value.dims))
        if array.ndim == IMAGE_RANK:
            for order, name in (((0, 3, 1, 2), "NHWC"), ((0, 2, 3, 1), "NCHW")):
                swapped = tuple(array.shape[axis] for axis in order)
                if _fits(value, swapped):
                    raise ShapeError(
                        f"{where} is {name}-ordered {array.shape} but the model wants {expected}; "
                        f"use array.transpose{order} or --layout {name}"
                    )
        raise ShapeError(f"{where} has shape {array.shape}, the model wants {expected}")
    if array.dtype != value.dtype.numpy:
        raise DTypeError(
            f"{where} is {array.dtype.name}, the model wants {value.dtype.numpy.name}; "
            f"convert it (pixels: array.astype('float32') / 255 if the model wants 0..1)"
        )
    if value.dtype.is_float and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise ArgumentError(f"{where} holds {bad} NaN or infinite values; remove these samples")


class _InputStatistics:
    """Range of one input over all samples."""

    def __init__(self) -> None:
        self.low, self.high, self.integral = np.inf, -np.inf, True

    def add(self, array: NDArray[Any]) -> None:
        self.low = min(self.low, float(array.min()))
        self.high = max(self.high, float(array.max()))
        self.integral = self.integral and bool((array == np.rint(array)).all())


def checked_samples(
    graph: Graph,
    feeds: Iterable[Feeds],
    input_range: tuple[float, float] | None,
    warnings: list[str],
) -> Iterator[Feeds]:
    """Passes feeds on, checking each, and judges the whole set at the end.

    Args:
        graph: the model.
        feeds: samples.
        input_range: what the float inputs should lie in, if the caller knows; else None.
        warnings: gets what is suspicious but possible.

    Raises:
        ArgumentError, ShapeError, DTypeError: data that cannot calibrate this model.
    """
    statistics: dict[str, _InputStatistics] = {}
    samples = 0
    for feed in feeds:
        for value in graph.inputs:
            if value.name not in feed:
                raise ArgumentError(
                    f"calibration data lacks input '{value.name}'; it has {sorted(feed)}"
                )
            array = np.asarray(feed[value.name])
            check_feed(value, array)
            if array.size:
                statistics.setdefault(value.name, _InputStatistics()).add(array)
        first = np.asarray(feed[graph.inputs[0].name])
        samples += first.shape[0] if first.ndim else 1
        yield feed
    if samples == 0:
        raise ArgumentError("calibration data is empty; give at least one sample, better 100")
    if samples < FEW_SAMPLES:
        warnings.append(
            f"only {samples} calibration samples: ranges may be too narrow; 100 are better"
        )
    for value in graph.inputs:
        if value.dtype.is_float and value.name in statistics:
            _judge(value, statistics[value.name], input_range)


def _judge(value: Value, seen: _InputStatistics, input_range: tuple[float, float] | None) -> None:
    where = f"calibration data for input '{value.name}'"
    image = len(value.dims) == IMAGE_RANK
    if image and seen.low == seen.high:
        raise ArgumentError(
            f"{where} is constant ({seen.low:g} everywhere); give real samples, not a placeholder"
        )
    if input_range is not None:
        low, high = input_range
        slack = 0.01 * (high - low)
        if seen.low < low - slack or seen.high > high + slack:
            raise ArgumentError(
                f"{where} lies in {seen.low:g}..{seen.high:g}, expected {low:g}..{high:g}; "
                "apply the same scale, mean and std as in use"
            )
        if seen.high - seen.low < 0.02 * (high - low):
            raise ArgumentError(
                f"{where} lies in {seen.low:g}..{seen.high:g}, far below {low:g}..{high:g}; "
                "was it divided by 255 twice?"
            )
        return
    if image and seen.integral and seen.low >= 0 and 1 < seen.high <= RAW_PIXEL_MAX:
        raise ArgumentError(
            f"{where} looks like raw pixels 0..255; if the model wants 0..1, divide by 255; "
            "if it does want 0..255, say so with input_range=(0, 255) (--input-range 0 255)"
        )

"""Ranges of activations, gathered from sample inputs in bounded memory.

Each value gets a histogram whose range doubles when a sample falls outside, so memory does not grow
with the number of samples. Ranges are then chosen by minimum and maximum, by percentile, or by
least squared quantisation error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import ArgumentError
from pyruntime.graph import Graph
from pyruntime.graph.evaluate import evaluate

Feeds = Mapping[str, NDArray[Any]]
Run = Callable[[Graph, Feeds, Sequence[str]], Mapping[str, NDArray[Any]]]
RangeMethod = Literal["minmax", "percentile", "mse"]

BINS = 2048


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine 8-bit parameters: real = scale * (q - zero_point), q in [-128, 127]."""

    scale: np.float32
    zero_point: int


class Histogram:
    """Counts of values over a range that grows by doubling.

    Attributes:
        low: lower edge of the first bin.
        width: width of each of the `BINS` bins; 0 until the first sample.
        minimum: smallest value seen.
        maximum: largest value seen.
        samples: number of values seen.
    """

    def __init__(self) -> None:
        self.low = 0.0
        self.width = 0.0
        self.minimum = np.inf
        self.maximum = -np.inf
        self.samples = 0
        self._counts = np.zeros(BINS, dtype=np.int64)

    def add(self, array: NDArray[Any]) -> None:
        """Counts the elements of `array`, which must be finite."""
        if array.size == 0:
            return
        low, high = float(array.min()), float(array.max())
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        self.samples += array.size
        if self.width == 0.0:
            span = high - low or max(abs(high), 1e-6)
            self.low, self.width = low, span * (1 + 1e-6) / BINS
        while high >= self.low + BINS * self.width or low < self.low:
            self._double(down=low < self.low)
        index = ((array.ravel().astype(np.float64) - self.low) / self.width).astype(np.int64)
        self._counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)

    def _double(self, *, down: bool) -> None:
        merged = self._counts.reshape(BINS // 2, 2).sum(axis=1)
        self._counts = np.zeros(BINS, dtype=np.int64)
        if down:
            self._counts[BINS // 2 :] = merged
            self.low -= BINS * self.width
        else:
            self._counts[: BINS // 2] = merged
        self.width *= 2

    @property
    def counts(self) -> NDArray[np.int64]:
        """Counts per bin."""
        return self._counts

    @property
    def centres(self) -> NDArray[np.float64]:
        """Middle of each bin."""
        middles = self.low + (np.arange(BINS, dtype=np.float64) + 0.5) * self.width
        centres: NDArray[np.float64] = np.clip(middles, self.minimum, self.maximum).astype(
            np.float64
        )
        return centres


def affine(low: float, high: float) -> Quantization:
    """Parameters that cover [low, high], widened to hold zero exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255.0)
    if not scale >= np.finfo(np.float32).tiny:
        scale = np.float32(1.0)
    zero_point = int(np.clip(np.rint(-128.0 - low / float(scale)), -128, 127))
    return Quantization(scale, zero_point)


def choose_range(
    histogram: Histogram, method: RangeMethod = "mse", percentile: float = 99.99
) -> Quantization:
    """Affine parameters for the values that a histogram saw.

    Args:
        histogram: must have seen at least one value.
        method: "minmax"; "percentile" (cuts (100 - percentile) % of the values, half on each side);
            "mse" (least squared error over clipping ranges, after Banner et al. 2019, by search).
        percentile: for that method, in (50, 100].
    """
    low, high = float(histogram.minimum), float(histogram.maximum)
    if method == "minmax":
        return affine(low, high)
    if method == "percentile":
        total = np.cumsum(histogram.counts) / histogram.samples
        tail = (1.0 - percentile / 100.0) / 2.0
        first = int(np.searchsorted(total, tail, side="right"))
        last = int(np.searchsorted(total, 1.0 - tail, side="left"))
        return affine(
            max(low, histogram.low + first * histogram.width),
            min(high, histogram.low + (last + 1) * histogram.width),
        )
    if method == "mse":
        return _least_squares(histogram, low, high)
    raise ArgumentError(f"unknown range method '{method}'; use minmax, percentile or mse")


def _least_squares(histogram: Histogram, low: float, high: float) -> Quantization:
    used = histogram.counts > 0
    centres, counts = histogram.centres[used], histogram.counts[used]

    def error(candidate: Quantization) -> float:
        scale = float(candidate.scale)
        q = np.clip(np.rint(centres / scale) + candidate.zero_point, -128, 127)
        difference = (q - candidate.zero_point) * scale - centres
        return float(np.dot(counts, difference * difference))

    best = affine(low, high)
    best_error = error(best)
    best_shrink = (1.0, 1.0)
    for shrink in np.linspace(0.98, 0.2, 40):
        for low_shrink, high_shrink in ((shrink, shrink), (shrink, 1.0), (1.0, shrink)):
            candidate = affine(low * low_shrink, high * high_shrink)
            candidate_error = error(candidate)
            if candidate_error < best_error:
                best, best_error, best_shrink = (
                    candidate,
                    candidate_error,
                    (low_shrink, high_shrink),
                )
    for step in np.linspace(0.9, 1.1, 9):  # refine each side around the winner
        for low_shrink, high_shrink in (
            (best_shrink[0] * step, best_shrink[1]),
            (best_shrink[0], best_shrink[1] * step),
        ):
            candidate = affine(low * min(low_shrink, 1.0), high * min(high_shrink, 1.0))
            candidate_error = error(candidate)
            if candidate_error < best_error:
                best, best_error = candidate, candidate_error
    return best


def reference_run(graph: Graph, feeds: Feeds, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
    """A `Run` by the numpy references: slow, needs nothing compiled."""
    results: Mapping[str, NDArray[Any]] = evaluate(graph, feeds, keep=names)
    return results


def gather(
    graph: Graph, feeds: Iterable[Feeds], names: Sequence[str], run: Run
) -> dict[str, Histogram]:
    """Histograms of the named values over all samples.

    Raises:
        ArgumentError: a value became NaN or infinite; the message names it.
    """
    histograms = {name: Histogram() for name in names}
    inputs = {value.name for value in graph.inputs}
    wanted = [name for name in names if name not in inputs]
    for feed in feeds:
        results = dict(run(graph, feed, wanted)) if wanted else {}
        results.update({name: feed[name] for name in names if name in inputs})
        for name in names:
            array = np.asarray(results[name])
            if not np.isfinite(array).all():
                raise ArgumentError(
                    f"calibration: value '{name}' became NaN or infinite; check its scale"
                )
            histograms[name].add(array)
    return histograms


def iterate_samples(
    graph: Graph, calibration: Any, batch: int = 16
) -> Iterator[dict[str, NDArray[Any]]]:
    """Feeds from what a user may give.

    Args:
        graph: the model; a fixed first dimension fixes the batch.
        calibration: a mapping input name -> array (first axis = samples), one array for a model of
            one input, or an iterable of feeds (mappings as for `Session.run`).
        batch: samples per run where the model leaves it free.
    """
    names = [value.name for value in graph.inputs]
    if isinstance(calibration, np.ndarray):
        if len(names) != 1:
            raise ArgumentError(f"the model has inputs {names}; give a dict of arrays")
        calibration = {names[0]: calibration}
    if not isinstance(calibration, Mapping):
        yield from calibration
        return
    missing = [name for name in names if name not in calibration]
    unknown = [name for name in calibration if name not in names]
    if missing or unknown:
        raise ArgumentError(
            f"calibration data: missing inputs {missing}, unknown inputs {unknown}; "
            f"the model has {names}"
        )
    arrays = {name: np.asarray(calibration[name]) for name in names}
    counts = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise ArgumentError(f"calibration data: inputs have different sample counts {counts}")
    fixed = [
        value.dims[0] for value in graph.inputs if value.dims and isinstance(value.dims[0], int)
    ]
    step = fixed[0] if fixed else batch
    total = next(iter(counts.values()))
    if fixed and 0 < total < step:
        raise ArgumentError(
            f"the model takes {step} samples at a time, calibration has {total}; "
            f"give at least {step}"
        )
    for start in range(0, total - (step - 1 if fixed else 0), step):
        yield {name: array[start : start + step] for name, array in arrays.items()}

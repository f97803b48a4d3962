"""Accuracy and latency of several networks, taken so that they can be compared."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

BATCH = 50  # images a run for accuracy; latency is at batch 1
# Runs in a row of one network before the next has its turn. The first finds the caches full of
# the others' weights and is not counted: somebody's own program runs one network.
BLOCK = 8
FASTER = 1.05  # below this a row counts as not faster and has to say why


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that classifies.

    Attributes:
        label: what the table calls it.
        size: bytes of its file.
        classify: inputs -> class scores [samples, classes].
        note: what it is, in a sentence.
        baseline: label of the row that its accuracy and speed are compared with.
        peer: another runtime.
    """

    label: str
    size: int
    classify: Callable[[Array], Array]
    note: str
    baseline: str = "fp32"
    peer: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one contestant.

    Attributes:
        label: what the table calls it.
        correct: percent of the images.
        lost: images that the baseline gets right and this one wrong.
        won: the other way round.
        size: bytes of its file.
        smaller: the baseline's bytes / its bytes.
        p50_ms: median latency at batch 1.
        p99_ms: 99th percentile.
        faster: the baseline's median / its median.
        why: the reason if it is not faster, else empty.
        note: what it is.
        peer: another runtime.
    """

    label: str
    correct: float
    lost: int
    won: int
    size: int
    smaller: float
    p50_ms: float
    p99_ms: float
    faster: float
    why: str
    note: str
    peer: bool


def hits(contestant: Contestant, inputs: Array, labels: Array) -> NDArray[np.bool_]:
    """Which samples it classifies correctly."""
    parts = [
        contestant.classify(inputs[start : start + BATCH]).argmax(axis=1)
        for start in range(0, len(inputs), BATCH)
    ]
    right: NDArray[np.bool_] = np.concatenate(parts) == labels
    return right


def round_robin(
    contestants: Sequence[Contestant],
    sample: Array,
    seconds: float,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, list[float]]:
    """Latencies in ms, sorted, by label. The contestants take turns, so that drift hits all alike.

    Args:
        contestants: what to time.
        sample: one input, batch 1.
        seconds: how long to go on; at least three rounds are made.
        progress: called with the hundredths of `seconds` that have passed.
    """
    times: dict[str, list[float]] = {contestant.label: [] for contestant in contestants}
    for contestant in contestants:
        contestant.classify(sample)
    collecting = gc.isenabled()
    gc.disable()
    try:
        start, rounds = time.perf_counter(), 0
        while rounds < 3 or time.perf_counter() - start < seconds:
            for contestant in contestants:
                times[contestant.label] += _block(contestant.classify, sample)
            rounds += 1
            progress(min(100, int(100 * (time.perf_counter() - start) / seconds)))
    finally:
        if collecting:
            gc.enable()
    return {label: sorted(found) for label, found in times.items()}


def _block(classify: Callable[[Array], Array], sample: Array) -> list[float]:
    classify(sample)
    found = []
    for _ in range(BLOCK):
        start = time.perf_counter_ns()
        classify(sample)
        found.append((time.perf_counter_ns() - start) / 1e6)
    return found


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed (nearest rank)."""
    return ordered[max(0, min(len(ordered), math.ceil(share * len(ordered))) - 1)]


def rows_of(
    contestants: Sequence[Contestant],
    right: dict[str, NDArray[np.bool_]],
    times: dict[str, list[float]],
    why: Callable[[str], str],
) -> list[Row]:
    """The table, from what was measured; `why` gives the reason for a label that is not faster."""
    sizes = {contestant.label: contestant.size for contestant in contestants}
    rows = []
    for contestant in contestants:
        label, base = contestant.label, contestant.baseline
        median = percentile(times[label], 0.5)
        faster = percentile(times[base], 0.5) / median
        ours_and_slow = not contestant.peer and label != base and faster < FASTER
        rows.append(
            Row(
                label,
                correct=100 * float(right[label].mean()),
                lost=int((right[base] & ~right[label]).sum()),
                won=int((~right[base] & right[label]).sum()),
                size=contestant.size,
                smaller=sizes[base] / contestant.size,
                p50_ms=median,
                p99_ms=percentile(times[label], 0.99),
                faster=faster,
                why=why(label) if ours_and_slow else "",
                note=contestant.note,
                peer=contestant.peer,
            )
        )
    return rows


def half_width(share: float, samples: int) -> float:
    """Half of the 95 % interval of a proportion, in points of 100 (normal approximation)."""
    return 100 * 1.96 * math.sqrt(share * (1 - share) / samples)

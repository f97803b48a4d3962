"""Refits the kernels' predicted times to this machine: one factor per kernel.

Problems of typical shapes and structures are run by every kernel that can take them. A kernel's
factor is the median of measured / predicted over those where it is among the fast ones: where it is
hopeless nobody asks how slow it is.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.kernels import Kernel

Array = NDArray[Any]

# A kernel counts where it takes at most this many times as long as the fastest.
_RELEVANT = 3.0
_RUNS = 9

# M, K, N.
PRODUCTS = (
    (1, 1024, 1024),
    (1, 512, 2048),
    (8, 512, 512),
    (64, 512, 512),
    (196, 256, 256),
    (784, 64, 64),
    (128, 768, 768),
)
# Image, channels in and out, kernel.
CONVOLUTIONS = ((28, 64, 64, 3), (14, 128, 128, 3), (28, 128, 128, 1), (14, 384, 96, 1))
DEPTHWISE = ((28, 96, 3), (56, 32, 3))


@dataclass(frozen=True, slots=True)
class Structure:
    """Share of zeros, and the blocks of `height` columns by `width` k that they come in."""

    share: float
    height: int = 1
    width: int = 1

    def __str__(self) -> str:
        blocks = "" if self.height * self.width == 1 else f" {self.height}x{self.width}"
        return f"{self.share:.0%}{blocks}"

    def prune(self, weights: Array, rng: np.random.Generator) -> Array:
        """[N, K] weights with such zeros."""
        columns, depth = weights.shape
        blocks = (-(-columns // self.height), -(-depth // self.width))
        kept = rng.random(blocks) >= self.share
        mask = np.kron(kept, np.ones((self.height, self.width), bool))[:columns, :depth]
        return np.asarray(weights * mask, weights.dtype)


STRUCTURES = (
    *map(Structure, (0.0, 0.6, 0.8, 0.9, 0.95)),
    *(Structure(share, *block) for share in (0.7, 0.9) for block in ((1, 4), (16, 4))),
)
OF_CONVOLUTIONS = (Structure(0.0), Structure(0.9), Structure(0.95), Structure(0.9, 16, 4))


@dataclass(frozen=True, slots=True)
class Problem:
    """A step to be measured.

    Attributes:
        label: for tables.
        family: of the step.
        inputs: activations and weights.
        output: dtype and dims.
        attributes: of the step.
    """

    label: str
    family: str
    inputs: tuple[Array, ...]
    output: tuple[str, tuple[int, ...]]
    attributes: Mapping[str, Any]

    def kernel(self, *, row: str = "") -> Kernel:
        """Binds it."""
        return Kernel(self.family, list(self.inputs), [self.output], self.attributes, row=row)


@dataclass(frozen=True, slots=True)
class Measured:
    """The times of one problem: row -> (predicted, measured) in nanoseconds."""

    problem: str
    times: Mapping[str, tuple[float, float]]


def _values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    if dtype == "s8":
        return np.asarray(rng.integers(-100, 100, shape), np.int8)
    return np.asarray(rng.standard_normal(shape), np.float32)


def problems() -> Iterator[Problem]:
    """What is measured: products and convolutions, dense and with zeros."""
    rng = np.random.default_rng(0)
    for dtype in ("s8", "f32"):
        for (rows_of_a, depth, columns), structure in itertools.product(PRODUCTS, STRUCTURES):
            yield Problem(
                f"{dtype} {rows_of_a}x{depth}x{columns} {structure}",
                "gemm",
                (
                    _values(rng, (rows_of_a, depth), dtype),
                    structure.prune(_values(rng, (columns, depth), dtype), rng),
                ),
                (_OUTPUT[dtype], (rows_of_a, columns)),
                {"trans_b": 1},
            )
        for (size, *channels, kernel), structure in itertools.product(
            CONVOLUTIONS, OF_CONVOLUTIONS
        ):
            inputs, outputs = channels
            flat = _values(rng, (outputs, kernel * kernel * inputs), dtype)
            wide = structure.prune(flat, rng).reshape(outputs, kernel, kernel, inputs)
            weights = np.ascontiguousarray(wide.transpose(0, 3, 1, 2))
            yield _convolution(rng, dtype, size, weights, 1, str(structure))
        for size, channels_of, kernel in DEPTHWISE:
            weights = _values(rng, (channels_of, 1, kernel, kernel), dtype)
            yield _convolution(rng, dtype, size, weights, channels_of, "depthwise")


_OUTPUT = {"s8": "s32", "f32": "f32"}


def _convolution(
    rng: np.random.Generator, dtype: str, size: int, weights: Array, group: int, label: str
) -> Problem:
    outputs, inputs, kernel, _ = weights.shape
    return Problem(
        f"{dtype} {size}x{size} {inputs * group}-{outputs} {kernel}x{kernel} {label}",
        "conv",
        (_values(rng, (1, inputs * group, size, size), dtype), weights),
        (_OUTPUT[dtype], (1, outputs, size, size)),
        {"group": group, "pads": [kernel // 2] * 4},
    )


def measure(problem: Problem) -> Measured:
    """Times every kernel that can take the problem and is predicted not to be hopeless."""
    candidates = [c for c in problem.kernel().step.candidates if c.cost_ns > 0]
    best = min(candidate.cost_ns for candidate in candidates)
    times = {}
    for candidate in candidates:
        if candidate.cost_ns > 2 * _RELEVANT * best:
            continue
        kernel = problem.kernel(row=candidate.row)
        times[candidate.row] = (candidate.cost_ns, kernel.step_ns(_RUNS))
    return Measured(problem.label, times)


def fit(measured: list[Measured]) -> dict[str, float]:
    """Row -> factor, the median over the problems where the row counts."""
    ratios: dict[str, list[float]] = {}
    for one in measured:
        fastest = min((ns for _, ns in one.times.values()), default=0.0)
        for row, (predicted, ns) in one.times.items():
            if ns <= _RELEVANT * fastest:
                ratios.setdefault(row, []).append(ns / predicted)
    return {row: statistics.median(found) for row, found in ratios.items()}


def near_best(measured: list[Measured], factors: Mapping[str, float], margin: float = 1.1) -> float:
    """Share of the problems in which the row predicted fastest is within `margin` of the fastest.

    The rule that compressed rows must gain 1.15 x is left out: this judges predictions.
    """
    good = 0
    for one in measured:
        row = min(one.times, key=lambda name: one.times[name][0] * factors.get(name, 1.0))
        fastest = min(ns for _, ns in one.times.values())
        good += one.times[row][1] <= margin * fastest
    return good / len(measured)


def tune(progress: Callable[[int], None] = lambda _: None) -> list[Measured]:
    """Measures all problems, which takes less than a minute."""
    found = []
    for index, problem in enumerate(problems()):
        found.append(measure(problem))
        progress(index + 1)
    return found


def count() -> int:
    """How many problems there are, for a progress bar."""
    products = len(PRODUCTS) * len(STRUCTURES)
    return 2 * (products + len(CONVOLUTIONS) * len(OF_CONVOLUTIONS) + len(DEPTHWISE))

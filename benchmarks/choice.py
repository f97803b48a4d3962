"""Is what is chosen never slower than dense, and near the best? `choice.py [-o FOLDER]`.

Every cell of shapes x structures x zeros is timed three ways: by the kernel that is chosen, by the
dense kernel that would be chosen without zeros, and by every other candidate. Chosen and dense are
timed in interleaved pairs; a cell fails where the upper quartile of dense / chosen is below 0.95.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import peers
from pyruntime.kernels import rows
from pyruntime.tuning.fit import Problem, Structure

PAIRS = 11
ROUND_NS = 3e5  # a timing repeats a call for at least as long
ZEROS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
BLOCKS = {"unstructured": (1, 1), "1x4": (1, 4), "16x4": (16, 4)}
PATTERNS = {"2:4": (2, 4), "4:16": (4, 16)}
NEAR = 1.1  # the chosen kernel should take at most this many times as long as the best
FLOOR = 0.95

# M, K, N; then image, channels, kernel.
PRODUCTS = {
    "GEMM 128x768x768": (128, 768, 768),
    "GEMM 784x256x256": (784, 256, 256),
    "GEMV 1024x1024": (1, 1024, 1024),
    "GEMV 1024x4096": (1, 1024, 4096),
}
CONVOLUTIONS = {"conv 1x1 28x28 128": (28, 128, 1), "conv 3x3 14x14 128": (14, 128, 3)}


@dataclass(frozen=True, slots=True)
class Cell:
    """What was found for one shape, structure and share of zeros."""

    shape: str
    dtype: str
    structure: str
    zeros: float
    chosen: str
    against_dense: float  # upper quartile of dense / chosen
    median: float
    near_best: float  # chosen / best candidate

    @property
    def compressed(self) -> bool:
        return self.chosen in COMPRESSED

    @property
    def slower(self) -> bool:
        return self.against_dense < FLOOR


COMPRESSED = {row.name for row in rows() if row.compressed}


def pruned(structure: str, zeros: float, w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[N, K] weights of that structure."""
    if structure in BLOCKS:
        return Structure(zeros, *BLOCKS[structure]).prune(w, rng)
    most, group = PATTERNS[structure]
    order = rng.random((w.shape[0], w.shape[1] // group, group)).argsort(-1).argsort(-1)
    return np.asarray(w * (order < most).reshape(w.shape), w.dtype)


def problems() -> Iterator[tuple[str, str, str, float, Problem]]:
    """Shape, dtype, structure, zeros, and the step."""
    cases = [(structure, zeros) for structure in BLOCKS for zeros in ZEROS]
    cases += [(name, 1 - most / group) for name, (most, group) in PATTERNS.items()]
    for dtype in ("s8", "f32"):
        for shape in (*PRODUCTS, *CONVOLUTIONS):
            for structure, zeros in cases:
                yield shape, dtype, structure, zeros, step(shape, dtype, structure, zeros)


def step(shape: str, dtype: str, structure: str, zeros: float) -> Problem:
    rng = np.random.default_rng(0)

    def values(*dims: int) -> np.ndarray:
        if dtype == "s8":
            return rng.integers(-100, 100, dims).astype(np.int8)
        return rng.standard_normal(dims).astype(np.float32)

    out = "s32" if dtype == "s8" else "f32"
    if shape in PRODUCTS:
        M, K, N = PRODUCTS[shape]
        w = pruned(structure, zeros, values(N, K), rng)
        return Problem(shape, "gemm", (values(M, K), w), (out, (M, N)), {"trans_b": 1})
    size, channels, kernel = CONVOLUTIONS[shape]
    flat = pruned(structure, zeros, values(channels, kernel * kernel * channels), rng)
    w = flat.reshape(channels, kernel, kernel, channels).transpose(0, 3, 1, 2)
    inputs = (values(1, channels, size, size), np.ascontiguousarray(w))
    attributes = {"group": 1, "pads": [kernel // 2] * 4}
    return Problem(shape, "conv", inputs, (out, (1, channels, size, size)), attributes)


def once_ns(run: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(repeats):
        run()
    return (time.perf_counter_ns() - start) / repeats


def examine(shape: str, dtype: str, structure: str, zeros: float, problem: Problem) -> Cell:
    chosen = problem.kernel()
    candidates = [c for c in chosen.step.candidates if c.cost_ns > 0]
    dense = min((c for c in candidates if c.row not in COMPRESSED), key=lambda c: c.cost_ns)
    name = chosen.step.row
    fast = [c.row for c in candidates if c.cost_ns <= 3 * chosen.step.predicted_ns]
    loops = {row: problem.kernel(row=row).loop() for row in {name, dense.row, *fast}}
    repeats = max(1, int(ROUND_NS / max(once_ns(loops[dense.row], 1), 1)))
    ratios = []
    for _ in range(PAIRS):
        pair = once_ns(loops[dense.row], repeats), once_ns(loops[name], repeats)
        ratios.append(1.0 if dense.row == name else pair[0] / pair[1])
    times = {
        row: statistics.median(once_ns(loop, repeats) for _ in range(5))
        for row, loop in loops.items()
    }
    return Cell(
        shape,
        dtype,
        structure,
        zeros,
        name,
        statistics.quantiles(ratios, n=4)[2],
        statistics.median(ratios),
        times[name] / min(times.values()),
    )


def report(cells: Sequence[Cell]) -> str:
    """A table per shape and dtype: how many times as fast as dense, by structure and zeros."""
    machine = peers.machine()
    near = sum(cell.near_best <= NEAR for cell in cells) / len(cells)
    lines = [
        f"# Choice of kernels: {machine['cpu']}, {machine['isa']}",
        "",
        "How many times as fast as the dense kernel the chosen one is (medians of interleaved",
        "pairs, one core); `=` where it is the dense one. `benchmarks/choice.py` makes this page.",
        "",
        f"- {len(cells)} cells; slower than 0.95 x dense: {sum(cell.slower for cell in cells)}.",
        f"- The choice is within 10 % of the best candidate in {near:.1%} of the cells.",
    ]
    for cell in cells:
        if cell.slower or cell.near_best > 1.25:
            lines.append(
                f"  - {cell.dtype} {cell.shape}, {cell.structure}, {cell.zeros:.0%}: "
                f"{cell.chosen}, {cell.median:.2f} x dense, "
                f"{cell.near_best:.2f} x the best one's time"
            )
    shares = sorted({cell.zeros for cell in cells})
    head = "| shape | dtype | structure | " + " | ".join(f"{z:.0%}" for z in shares) + " |"
    lines += ["", head, "|" + "---|" * (3 + len(shares))]
    groups = dict.fromkeys((cell.shape, cell.dtype, cell.structure) for cell in cells)
    for group in groups:
        own = {c.zeros: c for c in cells if (c.shape, c.dtype, c.structure) == group}
        texts = [text_of(own.get(z)) for z in shares]
        lines.append("| " + " | ".join([*group, *texts]) + " |")
    return "\n".join(lines) + "\n"


def text_of(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.median:.2f}" if cell.compressed else "="


def plot(cells: Sequence[Cell], folder: Path) -> None:
    """Speed-up against zeros, one SVG for each dtype; the break-even is where a line leaves 1."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "pyruntime"
    from matplotlib import pyplot

    for dtype in dict.fromkeys(cell.dtype for cell in cells):
        shapes = list(dict.fromkeys(c.shape for c in cells if c.dtype == dtype))
        figure, axes = pyplot.subplots(2, -(-len(shapes) // 2), figsize=(11, 6), sharex=True)
        for axis, shape in zip(axes.flat, shapes, strict=False):
            for structure in BLOCKS:
                line = [
                    (100 * c.zeros, c.median)
                    for c in cells
                    if (c.shape, c.dtype, c.structure) == (shape, dtype, structure)
                ]
                axis.plot(*zip(*line, strict=True), marker=".", label=structure)
            axis.axhline(1, color="0.7", linewidth=0.8)
            axis.set(title=shape, yscale="log", xlabel="zeros, %", ylabel="times as fast as dense")
            axis.set_yticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
        axes.flat[0].legend()
        figure.tight_layout()
        figure.savefig(folder / f"sparse-{dtype}.svg", metadata={"Date": None})
        pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="folder for choice-<isa>.md")
    parser.add_argument("--plots", type=Path, help="folder for sparse-<dtype>.svg")
    parser.add_argument("-k", default="", help="only cells whose shape or dtype contains this")
    arguments = parser.parse_args()
    cells = [
        examine(*case) for case in problems() if arguments.k in f"{case[1]} {case[0]} {case[2]}"
    ]
    text = report(cells)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        (arguments.output / f"choice-{peers.machine()['isa']}.md").write_text(text)
    if arguments.plots is not None:
        plot(cells, arguments.plots)
    return int(any(cell.slower for cell in cells))


if __name__ == "__main__":
    sys.exit(main())

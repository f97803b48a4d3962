"""The demo as text, at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pyruntime.demo.measure import Row
from pyruntime.demo.run import Result

WIDTH = 100
COMMANDS = (
    ("pyruntime inspect your.onnx", "layers, sizes, kernels"),
    ("pyruntime compress your.onnx --calibration images/ -o your.pyrt", "8 bits"),
    ("pyruntime bench your.pyrt", "latency, memory, load time"),
)
LOW_RANK_NOTE = (
    "Low rank costs nothing here because training decayed singular values beyond 16; an SVD of a "
    "network trained without that usually costs accuracy. The zeros come from training, too."
)
_HEADER = ("network", "correct", "lost/won", "bytes", "smaller", "p50 ms", "p99 ms", "faster")


def header(result: Result) -> str:
    """Version, machine and settings in a line."""
    threads = f"{result.threads} thread" + ("s" if result.threads > 1 else "")
    return f"{result.producer}, {result.cpu}, {result.isa}, {threads}"


def noise(result: Result) -> str:
    """How far apart two accuracies must be to mean something."""
    return (
        f"Noise: with {result.images:,} images an accuracy is known to ±{result.noise:.1f} points "
        f"(95 %). All rows see the same images, so compare lost/won, the images that a row gets "
        "wrong though fp32 is right, and the reverse: a difference below about 2·√(lost + won) "
        "may be chance."
    )


def text(result: Result) -> str:
    """The whole report."""
    lines = [header(result), ""]
    lines.append(f"Handwritten digits, 28x28, convolutional; {result.images:,} held-out images")
    lines += _table(result.mnist)
    lines += ["", *_wrapped(noise(result))]
    lines += _wrapped(
        f"Latency: batch 1, {result.runs:,} runs each, the rows taking turns; p50 is the median."
    )
    lines += _wrapped(LOW_RANK_NOTE)
    if result.peers:
        lines += _wrapped(f"Peers: {result.peers}.")
    lines += ["", f"Handwritten digits, 8x8, MLP; {result.digits_images:,} held-out images"]
    lines += _table(result.digits)
    lines += ["", "Your own model (pip install 'pyruntime[onnx]' reads ONNX files):"]
    width = max(len(command) for command, _ in COMMANDS)
    lines += [f"  {command.ljust(width)}  {what}" for command, what in COMMANDS]
    return "\n".join(lines)


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, see `_HEADER`."""
    return (
        row.label,
        f"{row.correct:.1f} %",
        f"{row.lost}/{row.won}",
        f"{row.size:,}",
        f"{row.smaller:.2f}x",
        f"{row.p50_ms:.3f}",
        f"{row.p99_ms:.3f}",
        f"{row.faster:.2f}x",
    )


def _table(rows: Sequence[Row]) -> list[str]:
    table = [_HEADER, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_HEADER))]
    lines = []
    for line in table:
        padded = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    for row in rows:
        if row.why:
            lines += _wrapped(f"{row.label} is not faster: {row.why}.")
    return lines


def _wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, WIDTH, subsequent_indent="  ")

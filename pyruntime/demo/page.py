"""The demo as one HTML page with plots, self-contained: inline SVG and style, no scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TypeAlias

from pyruntime.demo import report
from pyruntime.demo.measure import Row
from pyruntime.demo.run import Result

_OURS, _PEER, _GRID = "#0b6e4f", "#8a8f98", "#d9dce1"
_WIDTH, _LEFT, _RIGHT = 760, 150, 40
_STYLE = f"""
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2rem auto; padding: 0 1rem;
  color: #1d2129; background: #fff }}
h1 {{ font-size: 1.5rem; margin-bottom: 0 }} h2 {{ font-size: 1.15rem; margin-top: 2rem }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }}
th, td {{ text-align: right; padding: .3rem .6rem; border-bottom: 1px solid {_GRID} }}
th {{ white-space: nowrap }}
th:first-child, td:first-child {{ text-align: left }}
td small {{ color: #5c6470; display: block; max-width: 20rem }}
svg {{ width: 100%; height: auto }} svg text {{ font: 12px system-ui, sans-serif; fill: #1d2129 }}
pre {{ background: #f4f5f7; padding: .8rem; overflow-x: auto }} .muted {{ color: #5c6470 }}
"""


def html(result: Result) -> str:
    """The page."""
    commands = "\n".join(f"{command}   # {what}" for command, what in report.COMMANDS)
    body = [
        "<h1>pyruntime demo</h1>",
        f'<p class="muted">{escape(report.header(result))}, {escape(result.date)}</p>',
        f"<h2>Handwritten digits, 28×28, convolutional; {result.images:,} held-out images</h2>",
        _table(result.mnist),
        f"<p>{escape(report.noise(result))}</p>",
        "<h2>Accuracy against file size</h2>",
        accuracy_plot(result.mnist, result.noise),
        "<h2>Latency at batch 1</h2>",
        latency_plot(result.mnist),
        f'<p class="muted">Bars: median of {result.runs:,} runs, the rows taking turns; thin lines '
        "reach to the 99th percentile.</p>",
        f"<p>{escape(report.LOW_RANK_NOTE)}</p>",
        f"<p>Peers: {escape(result.peers)}.</p>" if result.peers else "",
        f"<h2>Handwritten digits, 8×8, MLP; {result.digits_images:,} held-out images</h2>",
        _table(result.digits),
        "<h2>Your own model</h2>",
        f"<pre>pip install 'pyruntime[onnx]'\n{escape(commands)}</pre>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>pyruntime demo</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def _table(rows: Sequence[Row]) -> str:
    header = "".join(f"<th>{name}</th>" for name in report._HEADER)
    lines = [f"<tr>{header}</tr>"]
    for row in rows:
        first, *rest = report.cells(row)
        note = row.note + (f"; not faster: {row.why}" if row.why else "")
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        lines.append(f"<tr><td>{escape(first)}<small>{escape(note)}</small></td>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _colour(row: Row) -> str:
    return _PEER if row.peer else _OURS


def _svg(height: int, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _label(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = _GRID, width: int = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"/>'
    )


def latency_plot(rows: Sequence[Row]) -> str:
    """A bar a row: its median, with a line to the 99th percentile (cut at three medians)."""
    step, top = 30, 8
    # A stray p99 must not press the bars together.
    longest = max(max(min(row.p99_ms, 3 * row.p50_ms) for row in rows), 1e-9)
    scale = (_WIDTH - _LEFT - 140) / longest
    parts = []
    for number, row in enumerate(rows):
        y = top + number * step
        bar = row.p50_ms * scale
        end = min(row.p99_ms, longest) * scale
        middle = y + step / 2 - 4
        parts += [
            _label(_LEFT - 8, middle + 4, row.label, "end"),
            f'<rect x="{_LEFT}" y="{y}" width="{bar:.1f}" height="{step - 8}" rx="2" '
            f'fill="{_colour(row)}"/>',
            _line(_LEFT + bar, middle, _LEFT + end, middle, _colour(row)),
            _label(_LEFT + end + 6, middle + 4, f"{row.p50_ms:.3f} ms, {row.faster:.2f}×"),
        ]
    return _svg(top + len(rows) * step, parts, "latency of each row")


def accuracy_plot(rows: Sequence[Row], noise: float) -> str:
    """A dot a row: bytes (logarithmic) against accuracy, with the noise of fp32 as a band."""
    height, top, bottom, left = 320, 20, 40, 60
    sizes = [row.size for row in rows]
    x_low, x_high = math.log10(min(sizes)) - 0.12, math.log10(max(sizes)) + 0.3
    base = rows[0].correct
    y_low = math.floor(min([base - noise, *(row.correct for row in rows)]) - 0.3)
    y_high = min(100.0, max([base + noise, *(row.correct for row in rows)]) + 0.3)

    def x(size: float) -> float:
        return left + (math.log10(size) - x_low) / (x_high - x_low) * (_WIDTH - left - _RIGHT)

    def y(correct: float) -> float:
        return top + (y_high - correct) / (y_high - y_low) * (height - top - bottom)

    parts = [
        f'<rect x="{left}" y="{y(min(base + noise, y_high)):.1f}" width="{_WIDTH - left - _RIGHT}" '
        f'height="{y(base - noise) - y(min(base + noise, y_high)):.1f}" fill="#eef6f2"/>',
        _label(left + 6, y(base - noise) - 6, f"95 % interval of {rows[0].label}"),
    ]
    ticks = math.ceil(2 * (y_high - y_low)) + 1
    for half in range(ticks):
        correct = y_low + half / 2
        if correct <= y_high:
            parts += [
                _line(left, y(correct), _WIDTH - _RIGHT, y(correct)),
                _label(left - 6, y(correct) + 4, f"{correct:.1f} %", "end"),
            ]
    for size in (10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000):
        if x_low <= math.log10(size) <= x_high:
            parts += [
                _line(x(size), top, x(size), height - bottom),
                _label(x(size), height - bottom + 16, f"{size // 1000} kB", "middle"),
            ]
    parts.append(_label(_WIDTH - _RIGHT, height - 6, "file size, logarithmic", "end"))
    dots = [(x(row.size), y(row.correct)) for row in rows]
    taken = [(cx - 7, cx + 7, cy - 7, cy + 7) for cx, cy in dots]
    for row, (cx, cy) in zip(rows, dots, strict=True):
        box = _free(taken, cx, cy, len(row.label))
        taken.append(box)
        parts += [
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="5" fill="{_colour(row)}"/>',
            _label((box[0] + box[1]) / 2, box[3] - 3, row.label, "middle"),
        ]
    return _svg(height, parts, "accuracy against file size")


_Box: TypeAlias = "tuple[float, float, float, float]"  # left, right, top, bottom


def _free(taken: Sequence[_Box], x: float, y: float, letters: int) -> _Box:
    """The place nearest to a dot where a label lies on no other label and no dot."""
    half = 3.4 * letters  # of 12 px letters, about
    x = max(half + 64, min(x, _WIDTH - half))
    boxes = [(x - half, x + half, y + dy - 13, y + dy) for dy in (-8, 21, -23, 36, -38, 51)]
    for left, right, top, bottom in boxes:
        if all(right < a or left > b or bottom < c or top > d for a, b, c, d in taken):
            return left, right, top, bottom
    return boxes[0]

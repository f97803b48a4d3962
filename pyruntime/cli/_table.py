"""Plain text tables."""

from __future__ import annotations

from collections.abc import Sequence


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, width: int = 100
) -> str:
    """Columns padded to fit, the first `left` ones to the left; lines are cut at `width`."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        parts = [
            cell.ljust(size) if column < left or column == len(header) - 1 else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip()[:width])
    lines.insert(1, "-" * min(width, max(len(line) for line in lines)))
    return "\n".join(lines)

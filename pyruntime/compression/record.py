"""What a compression did: one row per layer, and totals; travels in the file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A low-rank pair is the layer itself and, in front of it, one called so.
PAIR_SUFFIX = ".right"
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """One layer and one method.

    Attributes:
        layer: node name.
        operator: operator name.
        method: what was done ("int8", "prune", "svd", "fp16", "int8 weights"), or "kept" with a
            reason in `note`.
        bytes_before: bytes of the layer's weights before.
        bytes_after: bytes they need in the file afterwards.
        error: relative error of the weights, ||W' - W|| / ||W|| (Frobenius).
        sparsity: share of exact zeros in the weights afterwards.
        rank: rank, for low-rank layers.
        bits: bits per weight.
        note: reason or remark.
    """

    layer: str
    operator: str
    method: str
    bytes_before: int
    bytes_after: int
    error: float
    sparsity: float = 0.0
    rank: int | None = None
    bits: int = 32
    note: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """All layers of one or several compression steps, in order."""

    layers: tuple[LayerRecord, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __add__(self, other: Record) -> Record:
        return Record(self.layers + other.layers, self.notes + other.notes)

    def with_notes(self, *notes: str) -> Record:
        """The same record with more remarks."""
        return replace(self, notes=self.notes + notes)

    @property
    def bytes_before(self) -> int:
        """Bytes of all weights before the first step that touched them."""
        made = {f"{row.layer}{PAIR_SUFFIX}" for row in self.layers if row.rank is not None}
        first: dict[str, int] = {}
        for row in self.layers:
            if row.layer not in made:  # the thin layers of a pair were no layers before
                first.setdefault(row.layer, row.bytes_before)
        return sum(first.values())

    @property
    def bytes_after(self) -> int:
        """Bytes of all weights after the last step that touched them."""
        last: dict[str, int] = {}
        for row in self.layers:
            last[row.layer] = row.bytes_after
        return sum(last.values())

    def to_json(self) -> dict[str, Any]:
        """Plain data without floats (the file's JSON holds none): numbers as text."""

        def plain(item: dict[str, Any]) -> dict[str, Any]:
            return {
                key: f"{value:.6g}"
                if isinstance(value, float)
                else ("" if value is None else value)
                for key, value in item.items()
            }

        return {"layers": [plain(asdict(row)) for row in self.layers], "notes": list(self.notes)}

    def table(self) -> str:
        """A text table, at most 100 columns wide."""
        header = ("layer", "operator", "method", "bits", "zeros", "rank", "bytes", "ratio", "error")
        rows: list[tuple[str, ...]] = [header]
        for row in self.layers:
            ratio = row.bytes_before / row.bytes_after if row.bytes_after else float("inf")
            rows.append(
                (
                    row.layer[-30:],
                    row.operator,
                    row.method,
                    str(row.bits),
                    f"{row.sparsity:.0%}" if row.sparsity else "-",
                    str(row.rank or "-"),
                    f"{row.bytes_after:,}",
                    f"{ratio:.2f}x",
                    f"{row.error:.2%}",
                )
            )
        rows.append(("all", "", "", "", "", "", f"{self.bytes_after:,}", self._total_ratio(), ""))
        notes = [
            line
            for note in self.notes
            for line in textwrap.wrap(f"note: {note}", _WIDTH, subsequent_indent="  ")
        ]
        return "\n".join([_format(rows), *notes])

    def _total_ratio(self) -> str:
        return f"{self.bytes_before / self.bytes_after:.2f}x" if self.bytes_after else "-"


def _format(rows: Iterable[tuple[str, ...]]) -> str:
    table = list(rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def relative_error(approximation: NDArray[Any], weights: NDArray[Any]) -> float:
    """||A - W|| / ||W|| in the Frobenius norm; 0 for all-zero weights that stayed so."""
    exact = np.asarray(weights, dtype=np.float64)
    difference = float(np.linalg.norm(np.asarray(approximation, dtype=np.float64) - exact))
    norm = float(np.linalg.norm(exact))
    if norm == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return difference / norm

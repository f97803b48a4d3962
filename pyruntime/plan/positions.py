"""Where the non-zero elements of a constant are (FORMAT.md, 3.1).

Two codes: the gaps between stored blocks, Golomb-Rice coded (1 x 1 blocks are single elements), and
for N:M patterns the rank of each group's combination. Both are within a few per cent of what the
positions carry (log2 of the number of ways to choose them).

Golomb-Rice: S. W. Golomb, "Run-length encodings", 1966; R. F. Rice, 1979.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import FormatError

Array = NDArray[Any]
Mask = NDArray[np.bool_]

MAX_RICE = 24
MAX_BLOCK = 256
MAX_PATTERN = 16  # M of N:M; a table of the combinations is kept
_BLOCKS = ((1, 4), (16, 4), (4, 4), (4, 1))


@dataclass(frozen=True, slots=True)
class View:
    """A constant as the weights of a product: see WeightView in csrc/kernels/kernel.h."""

    columns: int
    channels: int
    taps: int
    columns_first: bool

    @property
    def depth(self) -> int:
        """Elements of a column."""
        return self.channels * self.taps

    def matrix(self, elements: Array) -> Array:
        """The elements, in file order, as [N, K]."""
        if not self.columns_first:
            return elements.reshape(self.depth, self.columns).T
        wide = elements.reshape(self.columns, self.channels, self.taps)
        return wide.transpose(0, 2, 1).reshape(self.columns, self.depth)

    def index(self) -> Array:
        """Each element's index in file order, as [N, K]."""
        return self.matrix(np.arange(self.columns * self.depth))

    def json(self) -> list[int]:
        """As the file has it."""
        return [self.columns, self.channels, self.taps, int(self.columns_first)]


@dataclass(frozen=True, slots=True)
class Coded:
    """Positions as they go into the file.

    Attributes:
        keys: of the constant's entry.
        data: the code.
        order: indices, in file order, of the stored elements in the order they are stored.
        bound: bits that the positions carry.
    """

    keys: dict[str, Any]
    data: NDArray[np.uint8]
    order: NDArray[np.int64]
    bound: float


def views(dims: tuple[int, ...]) -> Iterator[View]:
    """The matrices that a constant of these dims may be."""
    if len(dims) == 2:
        yield View(dims[0], dims[1], 1, True)
        yield View(dims[1], dims[0], 1, False)
    elif 3 <= len(dims) <= 5:
        yield View(dims[0], dims[1], math.prod(dims[2:]), True)


def log2_choose(n: int, k: int) -> float:
    """log2 of the number of ways to choose k of n."""
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def candidates(stored: Mask, dims: tuple[int, ...]) -> Iterator[Coded]:
    """The codes that suit elements of which `stored` (1-D) must be kept."""
    order = np.flatnonzero(stored)
    yield _coded_gaps({}, order, stored.size, order)
    if not order.size:
        return
    for view in views(dims):
        matrix = view.matrix(stored)
        for height, width in _BLOCKS:
            if (block := _coded_blocks(view, matrix, height, width, order.size)) is not None:
                yield block
        yield from _coded_patterns(view, matrix)


def _coded_gaps(
    keys: dict[str, Any], blocks: NDArray[np.int64], total: int, order: NDArray[np.int64]
) -> Coded:
    rice, data = encode_gaps(blocks)
    keys = {"scheme": "gaps.1", "rice": rice, "blocks": int(blocks.size), **keys}
    return Coded(keys, data, order, log2_choose(total, blocks.size))


def _tiles(matrix: Array, height: int, width: int, fill: Any) -> Array:
    """[N, K] as [blocks, height * width], blocks along K first; what lies outside is `fill`."""
    rows, columns = -(-matrix.shape[0] // height), -(-matrix.shape[1] // width)
    padded = np.full((rows * height, columns * width), fill, matrix.dtype)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    tiles = padded.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)
    return tiles.reshape(rows * columns, height * width)


def _coded_blocks(view: View, matrix: Mask, height: int, width: int, nonzeros: int) -> Coded | None:
    if matrix.shape[0] < height or matrix.shape[1] < width:
        return None
    kept = np.flatnonzero(_tiles(matrix, height, width, False).any(axis=1))
    if kept.size * height * width > 2 * nonzeros:
        return None  # scattered elements: no such blocks
    order = _tiles(view.index(), height, width, -1)[kept].reshape(-1)
    total = -(-matrix.shape[0] // height) * -(-matrix.shape[1] // width)
    keys = {"view": view.json(), "block": [height, width]}
    return _coded_gaps(keys, kept, total, order[order >= 0])


def combinations(most: int, group: int) -> NDArray[np.uint32]:
    """All masks of `group` bits with `most` set, ascending."""
    masks = [
        sum(1 << bit for bit in chosen) for chosen in itertools.combinations(range(group), most)
    ]
    return np.array(sorted(masks), np.uint32)


def _coded_patterns(view: View, matrix: Mask) -> Iterator[Coded]:
    for group in (4, 8, MAX_PATTERN):
        if view.depth % group:
            continue
        groups = matrix.reshape(-1, group)
        most = int(groups.sum(axis=1).max())
        if not 0 < most <= group // 2 or groups.sum() * 2 < groups.shape[0] * most:
            continue
        # Groups with fewer non-zeros keep zeros, the first ones.
        free = np.cumsum(~groups, axis=1) <= most - groups.sum(axis=1)[:, None]
        kept = groups | (~groups & free)
        table = combinations(most, group)
        masks = (kept << np.arange(group, dtype=np.uint32)).sum(axis=1)
        ranks = np.searchsorted(table, masks)
        bits = int(table.size - 1).bit_length()
        keys = {"scheme": "pattern.1", "pattern": [most, group], "view": view.json()}
        order = view.index().reshape(-1, group)[kept]
        yield Coded(keys, _pack_bits(ranks, bits), order, groups.shape[0] * math.log2(table.size))


def _pack_bits(values: Array, bits: int) -> NDArray[np.uint8]:
    """Fields of `bits` bits, least significant first."""
    shifts = np.arange(bits, dtype=np.int64)
    return np.packbits(
        ((values.astype(np.int64)[:, None] >> shifts) & 1).astype(np.uint8), bitorder="little"
    )


def _unpack_bits(data: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.int64]:
    fields = np.unpackbits(data, bitorder="little")
    if fields[count * bits :].any():
        raise FormatError("the unused bits of its last byte are not 0")
    powers = np.int64(1) << np.arange(bits, dtype=np.int64)
    return np.asarray(fields[: count * bits].reshape(count, bits) @ powers, np.int64)


def encode_gaps(blocks: NDArray[np.int64]) -> tuple[int, NDArray[np.uint8]]:
    """The Rice parameter and the code: low bits of all gaps, then their high parts in unary."""
    gaps = np.diff(blocks, prepend=-1) - 1
    if not gaps.size:
        return 0, np.zeros(0, np.uint8)
    mean = float(gaps.mean())
    guess = max(0, int(math.log2(mean + 1)))
    sizes = {
        rice: gaps.size * rice + int((gaps >> rice).sum())
        for rice in range(max(0, guess - 2), min(MAX_RICE, guess + 2) + 1)
    }
    rice = min(sizes, key=lambda r: sizes[r])
    high = gaps >> rice
    unary = np.zeros(int(high.sum()) + gaps.size, np.uint8)
    unary[np.cumsum(high + 1) - 1] = 1
    low = _pack_bits(gaps & ((1 << rice) - 1), rice) if rice else np.zeros(0, np.uint8)
    return rice, np.concatenate([low, np.packbits(unary, bitorder="little")])


def decode_gaps(data: NDArray[np.uint8], rice: int, blocks: int) -> NDArray[np.int64]:
    """The inverse of `encode_gaps`.

    Raises:
        FormatError: the code is too short, too long or holds another number of blocks.
    """
    head = -(-blocks * rice // 8)
    if data.size < head:
        raise FormatError(f"positions of {blocks} blocks need more than {data.size} bytes")
    low = _unpack_bits(data[:head], blocks, rice) if rice else np.zeros(blocks, np.int64)
    ends = np.flatnonzero(np.unpackbits(data[head:], bitorder="little"))
    used = -(-(int(ends[-1]) + 1) // 8) if ends.size else 0
    if ends.size != blocks or used != data.size - head:
        raise FormatError(f"positions hold {ends.size} blocks, not {blocks}")
    high = np.diff(ends, prepend=-1) - 1
    return np.asarray(np.cumsum(((high << rice) | low) + 1) - 1, np.int64)


def decode(entry: Mapping[str, Any], data: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Indices of the stored elements of a constant of `count` elements, in the order stored.

    Raises:
        FormatError: the code or its keys do not fit.
    """
    view = _read_view(entry, count)
    if entry["scheme"] == "pattern.1":
        return _decode_pattern(entry, data, view)
    rice, blocks = entry.get("rice"), entry.get("blocks")
    if not (isinstance(rice, int) and 0 <= rice <= MAX_RICE):
        raise FormatError(f"'rice' must be 0 to {MAX_RICE}, not {rice!r}")
    if not (isinstance(blocks, int) and 0 <= blocks <= count):
        raise FormatError(f"'blocks' must be 0 to {count}, not {blocks!r}")
    kept = decode_gaps(data, rice, blocks)
    height, width = _pair(entry.get("block", [1, 1]), "block", MAX_BLOCK)
    total = -(-view.columns // height) * -(-view.depth // width)
    if blocks and kept[-1] >= total:
        raise FormatError("positions lie outside of the constant")
    if "block" not in entry:
        return kept
    order = _tiles(view.index(), height, width, -1)[kept].reshape(-1)
    return np.asarray(order[order >= 0], np.int64)


def _pair(value: Any, name: str, most: int) -> tuple[int, int]:
    if not (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(item, int) and 1 <= item <= most for item in value)
    ):
        raise FormatError(f"'{name}' must be two integers of 1 to {most}, not {value!r}")
    return int(value[0]), int(value[1])


def _read_view(entry: Mapping[str, Any], count: int) -> View:
    value = entry.get("view")
    if value is None:
        if "block" in entry or entry["scheme"] == "pattern.1":
            raise FormatError("'view' is missing")
        return View(1, count, 1, True)
    if not (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(item, int) and item >= 0 for item in value)
        and math.prod(value[:3]) == count
        and value[3] in (0, 1)
        and (value[3] or value[2] == 1)
    ):
        raise FormatError(f"'view' {value!r} is no matrix of {count} elements")
    return View(value[0], value[1], value[2], bool(value[3]))


def _decode_pattern(
    entry: Mapping[str, Any], data: NDArray[np.uint8], view: View
) -> NDArray[np.int64]:
    most, group = _pair(entry.get("pattern"), "pattern", MAX_PATTERN)
    if most > group or view.depth % group:
        raise FormatError(f"pattern {most}:{group} does not fit columns of {view.depth}")
    table = combinations(most, group)
    bits = int(table.size - 1).bit_length()
    groups = view.columns * view.depth // group
    if data.size != -(-groups * bits // 8):
        raise FormatError(f"{groups} groups need {-(-groups * bits // 8)} bytes, not {data.size}")
    ranks = _unpack_bits(data, groups, bits) if bits else np.zeros(groups, np.int64)
    if (ranks >= table.size).any():
        raise FormatError(f"a rank is above {table.size - 1}")
    kept = (table[ranks][:, None] >> np.arange(group, dtype=np.uint32)) & 1 == 1
    index = view.index().reshape(-1, group)
    return np.asarray(index[kept], np.int64)


def information(entry: Mapping[str, Any], count: int) -> float:
    """Bits that the positions of a constant of `count` elements carry, from its keys.

    Raises:
        FormatError: the keys do not fit.
    """
    if entry.get("scheme", "dense") == "dense":
        return 0.0
    view = _read_view(entry, count)
    if entry["scheme"] == "pattern.1":
        most, group = _pair(entry.get("pattern"), "pattern", MAX_PATTERN)
        return count / group * log2_choose(group, most)
    height, width = _pair(entry.get("block", [1, 1]), "block", MAX_BLOCK)
    total = -(-view.columns // height) * -(-view.depth // width)
    return log2_choose(total, min(int(entry["blocks"]), total))

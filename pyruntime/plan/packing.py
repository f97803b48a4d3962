"""Elements of few bits, packed into bytes (FORMAT.md, 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import FormatError

Array = NDArray[Any]

_TRITS = 5  # 3 ** 5 = 243 values in a byte
_POWERS = 3 ** np.arange(_TRITS)


@dataclass(frozen=True, slots=True)
class Packing:
    """How elements of a narrow range lie in bytes.

    Attributes:
        name: in the file.
        low: the smallest element.
        high: the largest.
        bits: of one element, for the information bound.
        size: bytes that so many elements take.
        pack: elements (integers, 1-D) to bytes.
        unpack: bytes and count to elements, as s16.
        holds: whether elements between `low` and `high` can all be packed.
    """

    name: str
    low: int
    high: int
    bits: float
    size: Callable[[int], int]
    pack: Callable[[Array], NDArray[np.uint8]]
    unpack: Callable[[NDArray[np.uint8], int], Array]
    holds: Callable[[Array], bool] = lambda _: True


def _fields(bits: int) -> Callable[[Array], NDArray[np.uint8]]:
    each = 8 // bits

    def pack(values: Array) -> NDArray[np.uint8]:
        padded = np.zeros(-(-values.size // each) * each, np.uint8)
        padded[: values.size] = values.astype(np.int16).astype(np.uint8) & ((1 << bits) - 1)
        shifts = np.arange(each, dtype=np.uint8) * np.uint8(bits)
        return np.asarray(
            np.bitwise_or.reduce(padded.reshape(-1, each) << shifts, axis=1), np.uint8
        )

    return pack


def _from_fields(bits: int, *, signed: bool) -> Callable[[NDArray[np.uint8], int], Array]:
    shifts = np.arange(0, 8, bits, dtype=np.uint8)

    def unpack(packed: NDArray[np.uint8], count: int) -> Array:
        fields = (packed[:, None] >> shifts) & np.uint8((1 << bits) - 1)
        if fields.reshape(-1)[count:].any():
            raise FormatError("the unused bits of the last byte are not 0")
        values = fields.reshape(-1)[:count].astype(np.int16)
        half = 1 << (bits - 1)
        return np.asarray((values ^ half) - half) if signed else values

    return unpack


def _pack_trits(values: Array) -> NDArray[np.uint8]:
    padded = np.zeros(-(-values.size // _TRITS) * _TRITS, np.int64)
    padded[: values.size] = values.astype(np.int64) + 1
    return np.asarray((padded.reshape(-1, _TRITS) * _POWERS).sum(axis=1), np.uint8)


def _unpack_trits(packed: NDArray[np.uint8], count: int) -> Array:
    if (packed >= 3**_TRITS).any():
        raise FormatError("a byte of five elements is above 242")
    digits = (packed[:, None].astype(np.int16) // _POWERS.astype(np.int16)) % 3
    if digits.reshape(-1)[count:].any():
        raise FormatError("the unused elements of the last byte are not 0")
    return np.asarray(digits.reshape(-1)[:count].astype(np.int16) - 1)


def _pack_signs(values: Array) -> NDArray[np.uint8]:
    return np.packbits(values > 0, bitorder="little")


def _unpack_signs(packed: NDArray[np.uint8], count: int) -> Array:
    bits = np.unpackbits(packed, bitorder="little")
    if bits[count:].any():
        raise FormatError("the unused bits of the last byte are not 0")
    return np.asarray(bits[:count].astype(np.int16) * 2 - 1)


def _field_packing(name: str, bits: int, *, signed: bool) -> Packing:
    low = -(1 << (bits - 1)) if signed else 0
    return Packing(
        name,
        low,
        low + (1 << bits) - 1,
        bits,
        lambda count: -(-count * bits // 8),
        _fields(bits),
        _from_fields(bits, signed=signed),
    )


# Narrowest first: the first that holds all elements is taken.
PACKINGS = (
    Packing(
        "b1",
        -1,
        1,
        1,
        lambda count: -(-count // 8),
        _pack_signs,
        _unpack_signs,
        lambda values: bool((values != 0).all()),
    ),
    Packing("t5", -1, 1, np.log2(3), lambda count: -(-count // _TRITS), _pack_trits, _unpack_trits),
    _field_packing("s2", 2, signed=True),
    _field_packing("s4", 4, signed=True),
    _field_packing("u4", 4, signed=False),
)
_BY_NAME = {packing.name: packing for packing in PACKINGS}


def narrowest(values: Array) -> Packing | None:
    """The packing that takes the fewest bytes, or None where the elements need their 8 bits."""
    if values.dtype.itemsize != 1 or values.dtype.kind not in "iu" or not values.size:
        return None
    low, high = int(values.min()), int(values.max())
    for packing in PACKINGS:
        if packing.low <= low and high <= packing.high and packing.holds(values):
            return packing
    return None


def by_name(name: Any) -> Packing:
    """The packing that a file names.

    Raises:
        FormatError: there is none of this name.
    """
    if not isinstance(name, str) or name not in _BY_NAME:
        raise FormatError(f"packing {name!r} is unknown; known are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]

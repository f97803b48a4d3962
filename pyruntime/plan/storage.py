"""How the elements of a constant lie in the file (FORMAT.md, 3).

Dense, mask plus values, halves, scaled bytes, 4 bits. Storage is not meaning:
`decode` gives back exactly the elements that went in, whatever form was
chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import FormatError, PyruntimeError
from pyruntime.graph.graph import Storage
from pyruntime.graph.types import DType
from pyruntime.plan.program import ProgramValue

Json: TypeAlias = Any
Put = Callable[[str, NDArray[Any]], str]  # wanted name, array -> the name it got in the file

# Fewer zeros than this are not worth decoding at load, even where mask and values are a little
# smaller.
MIN_ZERO_SHARE = 0.15
# Bytes. Below it the mask's alignment and header entry cost more than the zeros.
MIN_MASKED_BYTES = 1024


def _is_stored(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an element must be stored: its bits are not all 0 (so -0.0 is kept)."""
    bits = array.reshape(-1).view(f"u{array.dtype.itemsize}")
    return np.asarray(bits != 0)


def pack4(array: NDArray[Any]) -> NDArray[np.uint8]:
    """4-bit elements (any integer array in range), two a byte, low nibble first."""
    nibbles = array.reshape(-1).astype(np.int8).view(np.uint8) & 15
    if nibbles.size % 2:
        nibbles = np.append(nibbles, np.uint8(0))
    return np.asarray(nibbles[0::2] | (nibbles[1::2] << 4), dtype=np.uint8)


def unpack4(packed: NDArray[np.uint8], count: int, *, signed: bool) -> NDArray[Any]:
    """`count` elements of `pack4`, as s8 or u8."""
    nibbles = np.empty(packed.size * 2, np.uint8)
    nibbles[0::2] = packed & 15
    nibbles[1::2] = packed >> 4
    nibbles = nibbles[:count]
    if not signed:
        return nibbles
    return ((nibbles ^ 8).view(np.int8) - np.int8(8)).astype(np.int8)


def _scales(
    scale: NDArray[Any], dims: tuple[int, ...], axis: int | None, group: int
) -> NDArray[np.float32]:
    """The scale of each element, broadcastable to `dims`."""
    wide = scale.astype(np.float32)
    if axis is None:
        return wide.reshape(())
    if group:
        spread = np.repeat(wide, group, axis=axis)
        return np.take(spread, np.arange(dims[axis]), axis=axis)
    return wide.reshape([dims[axis] if i == axis else 1 for i in range(len(dims))])


def restore(storage: Storage) -> NDArray[np.float32]:
    """The f32 elements that a storage stands for."""
    wide = storage.stored.astype(np.float32)
    if storage.scale is None:
        return wide
    axis = None if storage.scale.size == 1 and storage.stored.ndim == 0 else storage.axis
    return wide * _scales(storage.scale, storage.stored.shape, axis, storage.group)


def encode(value: ProgramValue, name: str, put: Put) -> dict[str, Json]:
    """Stores a constant and gives the keys that its value's entry in the program gets.

    Args:
        value: a constant.
        name: the tensor's name, not yet taken.
        put: adds an array to the file.

    Raises:
        PyruntimeError: its storage does not give back its elements.
    """
    assert value.constant is not None
    storage = value.storage
    if storage is None:
        return _encode_elements(value.constant, value.dtype, name, put)
    if not np.array_equal(restore(storage), value.constant, equal_nan=True):
        raise PyruntimeError(
            f"constant '{value.name}': its {storage.kind} storage gives other elements than the "
            "constant has; "
            "a pass changed the constant and kept the storage"
        )
    stored_dtype = DType.S4 if storage.kind == "scaled4" else DType.of(storage.stored)
    keys = _encode_elements(storage.stored, stored_dtype, name, put)
    if storage.scale is not None:
        keys["scale"] = put(f"{name}.scale", storage.scale)
        if storage.stored.ndim:
            keys["axis"] = storage.axis
        if storage.group:
            keys["group"] = storage.group
    return keys


def _encode_elements(array: NDArray[Any], dtype: DType, name: str, put: Put) -> dict[str, Json]:
    if dtype in (DType.S4, DType.U4):
        return {"tensor": put(name, pack4(array)), "scheme": "packed4.1", "stored": str(dtype)}
    count, size = array.size, array.dtype.itemsize
    if count * size >= MIN_MASKED_BYTES:
        stored = _is_stored(np.ascontiguousarray(array))
        values = int(np.count_nonzero(stored))
        smaller = (count + 7) // 8 + values * size < count * size
        if smaller and count - values >= MIN_ZERO_SHARE * count:
            mask = np.packbits(stored, bitorder="little")
            return {
                "tensor": put(name, array.reshape(-1)[stored]),
                "scheme": "bitmask.1",
                "mask": put(f"{name}.mask", mask),
            }
    return {"tensor": put(name, array)}


def decode(
    entry: Mapping[str, Json],
    dtype: DType,
    dims: tuple[int, ...],
    tensors: Mapping[str, NDArray[Any]],
) -> tuple[NDArray[Any], Storage | None]:
    """The elements of a constant and how they are stored.

    Raises:
        FormatError: a tensor is missing or does not fit.
    """
    count = int(np.prod(dims, dtype=np.int64))
    what = f"constant '{entry['tensor']}'"
    stored = _decode_elements(entry, count, tensors, what)
    if "scale" not in entry:
        array = stored.reshape(dims)
        if dtype in (DType.S4, DType.U4):
            return array.astype(dtype.numpy), None
        if array.dtype == dtype.numpy:
            return array, None
        if dtype is DType.F32 and array.dtype.name in ("float16", "bfloat16"):
            return array.astype(np.float32), Storage(str(DType.of(array)), array)
        raise FormatError(
            f"{what} is stored as {array.dtype.name}, which a value of type {dtype} cannot be"
        )
    if dtype is not DType.F32:
        raise FormatError(f"{what} has a scale, but is {dtype}; only f32 values may have one")
    scale = _lookup(tensors, entry["scale"], what)
    axis, group = entry.get("axis"), entry.get("group", 0)
    kind = "scaled4" if entry.get("scheme") == "packed4.1" else "scaled8"
    storage = Storage(kind, stored.reshape(dims), scale, axis or 0, group)
    try:
        return (
            stored.reshape(dims).astype(np.float32) * _scales(scale, dims, axis, group)
        ), storage
    except (ValueError, IndexError) as error:
        raise FormatError(
            f"{what}: scale of shape {scale.shape} does not fit dims {dims} (axis {axis})"
        ) from error


def _lookup(tensors: Mapping[str, NDArray[Any]], name: Json, what: str) -> NDArray[Any]:
    if not isinstance(name, str) or name not in tensors:
        raise FormatError(f"{what} names tensor {name!r}, which the file does not have")
    return tensors[name]


def _decode_elements(
    entry: Mapping[str, Json], count: int, tensors: Mapping[str, NDArray[Any]], what: str
) -> NDArray[Any]:
    array = _lookup(tensors, entry["tensor"], what)
    scheme = entry.get("scheme", "dense")
    if scheme == "dense":
        if array.size != count:
            raise FormatError(f"{what} has {array.size} elements, its dims say {count}")
        return array.reshape(-1)
    if scheme == "packed4.1":
        if array.dtype != np.uint8 or array.size != (count + 1) // 2:
            raise FormatError(
                f"{what}: {count} packed 4-bit elements need {(count + 1) // 2} bytes of U8"
            )
        return unpack4(array.reshape(-1), count, signed=entry.get("stored", "s4") == "s4")
    if scheme != "bitmask.1":
        raise FormatError(f"{what} has the unknown scheme {scheme!r}")
    mask = _lookup(tensors, entry.get("mask"), what)
    if mask.dtype != np.uint8 or mask.size != (count + 7) // 8:
        raise FormatError(
            f"{what}: the mask of {count} elements needs {(count + 7) // 8} bytes of U8"
        )
    bits = np.unpackbits(mask, bitorder="little").astype(bool)
    if bits[count:].any() or int(np.count_nonzero(bits)) != array.size:
        raise FormatError(f"{what}: the mask's set bits do not number the {array.size} values")
    full = np.zeros(count, array.dtype)
    full[bits[:count]] = array.reshape(-1)
    return full

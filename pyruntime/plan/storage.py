"""How the elements of a constant lie in the file (FORMAT.md, 3).

All elements, or the non-zero ones and a code of their positions; halves, scaled bytes, elements of
few bits packed. Storage is not meaning: `decode` gives back exactly the elements that went in,
whatever form was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import FormatError, PyruntimeError
from pyruntime.graph.graph import Storage
from pyruntime.graph.types import DType
from pyruntime.plan.packing import Packing, by_name, narrowest
from pyruntime.plan.positions import Coded, candidates
from pyruntime.plan.positions import decode as decode_positions
from pyruntime.plan.program import ProgramValue

Json: TypeAlias = Any
Put = Callable[[str, NDArray[Any]], str]  # wanted name, array -> the name it got in the file

# Fewer zeros than this are not worth decoding at load, even where positions and values are a little
# smaller.
MIN_ZERO_SHARE = 0.15
# Bytes. Below it the positions' alignment and header entry cost more than the zeros.
MIN_CODED_BYTES = 1024
# What a tensor more costs in the file: its header entry and half of the alignment.
_TENSOR_BYTES = 120


def _is_stored(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an element must be stored: its bits are not all 0 (so -0.0 is kept)."""
    bits = array.reshape(-1).view(f"u{array.dtype.itemsize}")
    return np.asarray(bits != 0)


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
    keys = _encode_elements(storage.stored, DType.of(storage.stored), name, put)
    if storage.scale is not None:
        keys["scale"] = put(f"{name}.scale", storage.scale)
        if storage.stored.ndim:
            keys["axis"] = storage.axis
        if storage.group:
            keys["group"] = storage.group
    return keys


def _narrow(array: NDArray[Any], dtype: DType) -> NDArray[Any]:
    """4-bit elements as the bytes that they take in memory."""
    if dtype in (DType.S4, DType.U4):
        return array.astype(np.int8 if dtype is DType.S4 else np.uint8)
    return array


def _packing(elements: NDArray[Any], dtype: DType) -> Packing | None:
    """How the elements are packed; None where they lie as they are."""
    if dtype in (DType.S4, DType.U4):
        return narrowest(elements) or by_name(str(dtype))
    return narrowest(elements) if elements.nbytes >= MIN_CODED_BYTES else None


def _size(values: NDArray[Any]) -> int:
    packing = narrowest(values)
    return values.nbytes if packing is None else packing.size(values.size)


def coded(array: NDArray[Any]) -> Coded | None:
    """The smallest code of an array's zeros, or None where storing all elements is smaller."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.nbytes < MIN_CODED_BYTES:
        return None
    stored = _is_stored(flat)
    if flat.size - int(np.count_nonzero(stored)) < MIN_ZERO_SHARE * flat.size:
        return None
    best, smallest = None, _size(flat)
    for candidate in candidates(stored, array.shape):
        size = _size(flat[candidate.order]) + candidate.data.size + _TENSOR_BYTES
        if size < smallest:
            best, smallest = candidate, size
    return best


def _encode_elements(array: NDArray[Any], dtype: DType, name: str, put: Put) -> dict[str, Json]:
    elements = _narrow(array, dtype)
    code = coded(elements)
    keys: dict[str, Json] = {}
    if code is not None:
        elements = elements.reshape(-1)[code.order]
        keys |= {"positions": put(f"{name}.positions", code.data), **code.keys}
    packing = _packing(elements, dtype)
    if packing is None:
        return {"tensor": put(name, array if code is None else elements), **keys}
    if code is not None:
        keys["stored"] = int(elements.size)
    return {
        "tensor": put(name, packing.pack(elements.reshape(-1))),
        "pack": packing.name,
        **keys,
    }


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
    try:
        stored = _decode_elements(entry, dtype, count, tensors)
    except FormatError as error:
        raise FormatError(f"{what}: {error}") from error
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
    storage = Storage("scaled", stored.reshape(dims), scale, axis or 0, group)
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


def _unpacked_type(dtype: DType) -> Any:
    """What packed elements of a value are in memory: see unpacked_type in constants.cpp."""
    return np.uint8 if dtype in (DType.U8, DType.U4) else np.int8


def _decode_elements(
    entry: Mapping[str, Json], dtype: DType, count: int, tensors: Mapping[str, NDArray[Any]]
) -> NDArray[Any]:
    array = _lookup(tensors, entry["tensor"], "it").reshape(-1)
    scheme = entry.get("scheme", "dense")
    if scheme not in ("dense", "gaps.1", "pattern.1"):
        raise FormatError(f"scheme {scheme!r} is unknown; a newer pyruntime wrote the file")
    if "pack" in entry:
        array = _unpack(entry, dtype, count if scheme == "dense" else entry.get("stored"), array)
    if scheme == "dense":
        if array.size != count:
            raise FormatError(f"it has {array.size} elements, the dims say {count}")
        return array
    code = _lookup(tensors, entry.get("positions"), "it").reshape(-1)
    if code.dtype != np.uint8:
        raise FormatError("positions must be U8")
    order = decode_positions(entry, code, count)
    if order.size != array.size:
        raise FormatError(f"it holds {array.size} values, the positions {order.size}")
    full = np.zeros(count, array.dtype)
    full[order] = array
    return full


def _unpack(
    entry: Mapping[str, Json], dtype: DType, count: Any, array: NDArray[Any]
) -> NDArray[Any]:
    packing = by_name(entry["pack"])
    if not isinstance(count, int) or count < 0:
        raise FormatError(f"'stored' must be a number of elements, not {count!r}")
    if array.dtype != np.uint8 or array.size != packing.size(count):
        raise FormatError(f"{count} packed elements need {packing.size(count)} bytes of U8")
    elements = packing.unpack(array, count).astype(_unpacked_type(dtype))
    limit = {DType.S4: 7, DType.U4: 15}.get(dtype, 127)
    if elements.size and int(elements.max()) > limit:
        raise FormatError("an element lies outside of its type's range")
    return np.asarray(elements)

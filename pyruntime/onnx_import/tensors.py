"""ONNX tensors as numpy arrays. Everything in them is hostile until checked."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pyruntime.errors import FormatError
from pyruntime.graph.types import DType
from pyruntime.ops._onnx_types import onnx_dtype
from pyruntime.ops._operator import Array

_FOUR_BIT = (DType.U4, DType.S4)


def to_array(onnx: Any, tensor: Any, folder: Path | None) -> Array:
    """A TensorProto as an array that owns its elements.

    Args:
        onnx: the package.
        tensor: the TensorProto.
        folder: where external data lies; None where the model did not come from a file.

    Raises:
        FormatError: the data does not fit the dims, or lies outside of the folder or file.
        UnsupportedError: strings, complex numbers and other types the IR lacks.
    """
    where = f"tensor '{tensor.name}'"
    dtype = onnx_dtype(tensor.data_type, where)
    shape = tuple(tensor.dims)
    if any(dim < 0 for dim in shape):
        raise FormatError(f"{where}: has a negative dim in {list(shape)}; the model is damaged")
    count = prod(shape)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        data = _external(tensor, folder, where, _byte_size(dtype, count))
        tensor = onnx.TensorProto(data_type=tensor.data_type, dims=shape, raw_data=data)
    try:
        array = np.asarray(onnx.numpy_helper.to_array(tensor))
    except Exception as error:
        raise FormatError(f"{where}: its data does not fit dims {list(shape)}: {error}") from error
    if array.dtype != dtype.numpy:
        raise FormatError(f"{where}: decodes to {array.dtype}, expected {dtype}")
    if array.shape != shape:
        raise FormatError(f"{where}: decodes to dims {list(array.shape)}, expected {list(shape)}")
    return array if array.flags.owndata else array.copy()


def to_dense(onnx: Any, sparse: Any, folder: Path | None) -> Array:
    """A SparseTensorProto as a dense array.

    Raises:
        FormatError: indices lie outside of the dims or do not fit the values.
    """
    where = f"sparse tensor '{sparse.values.name}'"
    values = to_array(onnx, sparse.values, folder).reshape(-1)
    indices = to_array(onnx, sparse.indices, folder).astype(np.int64)
    shape = tuple(sparse.dims)
    if any(dim < 0 for dim in shape) or prod(shape) > max(1 << 31, values.size):
        raise FormatError(f"{where}: dims {list(shape)} cannot be; the model is damaged")
    if indices.ndim == 2 and indices.shape[1] == len(shape):
        limits = np.asarray(shape, np.int64)
        fits = indices.shape[0] == values.size and bool(((indices >= 0) & (indices < limits)).all())
        flat = np.ravel_multi_index(tuple(indices.T), shape) if fits and values.size else indices
    else:
        fits = indices.shape == values.shape
        fits = fits and bool(((indices >= 0) & (indices < prod(shape))).all())
        flat = indices
    if not fits:
        raise FormatError(
            f"{where}: indices do not fit dims {list(shape)} and {values.size} values"
        )
    dense = np.zeros(prod(shape), values.dtype)
    if values.size:
        dense[flat] = values
    return dense.reshape(shape)


def _byte_size(dtype: DType, count: int) -> int:
    return (count + 1) // 2 if dtype in _FOUR_BIT else count * dtype.numpy.itemsize


def _external(tensor: Any, folder: Path | None, where: str, size: int) -> bytes:
    if folder is None:
        raise FormatError(
            f"{where}: its data lies in another file; import the model by path, not from memory"
        )
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    base = folder.resolve()
    path = (base / location).resolve()
    if not location or Path(location).is_absolute() or not path.is_relative_to(base):
        raise FormatError(
            f"{where}: external data '{location}' is not a path inside the model's folder"
        )
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
    except ValueError as error:
        raise FormatError(f"{where}: offset or length of its external data: {error}") from error
    if length != size or offset < 0:
        raise FormatError(f"{where}: {length} bytes of external data, its dims need {size}")
    if not path.is_file() or path.stat().st_size < offset + size:
        raise FormatError(
            f"{where}: external data file '{location}' is missing or shorter than "
            f"{offset + size} bytes; copy it beside the model"
        )
    with path.open("rb") as file:
        file.seek(offset)
        data: bytes = file.read(size)
        return data

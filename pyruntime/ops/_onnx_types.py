"""ONNX's numbers for element types."""

from __future__ import annotations

from pyruntime.errors import FormatError, UnsupportedError
from pyruntime.graph.types import DType

# TensorProto.DataType; the numbers are part of ONNX's file format.
_DTYPES = {
    1: DType.F32,
    2: DType.U8,
    3: DType.S8,
    4: DType.U16,
    5: DType.S16,
    6: DType.S32,
    7: DType.S64,
    9: DType.BOOL,
    10: DType.F16,
    11: DType.F64,
    12: DType.U32,
    13: DType.U64,
    16: DType.BF16,
    21: DType.U4,
    22: DType.S4,
}
_REFUSED = {
    8: "strings",
    14: "complex numbers",
    15: "complex numbers",
    17: "float8",
    18: "float8",
    19: "float8",
    20: "float8",
    23: "float4",
    24: "float8 scales",
    25: "2-bit integers",
    26: "2-bit integers",
}


def onnx_dtype(number: int, where: str) -> DType:
    """The DType of an ONNX element type.

    Raises:
        UnsupportedError: ONNX has it, we do not.
        FormatError: there is no such type.
    """
    if number in _DTYPES:
        return _DTYPES[number]
    if number in _REFUSED:
        raise UnsupportedError(
            f"{where}: {_REFUSED[number]} are not supported; cast them away before export"
        )
    raise FormatError(f"{where}: element type {number} does not exist; the model is damaged")


def is_known(number: int) -> bool:
    """Whether the IR has this ONNX element type."""
    return number in _DTYPES

"""The numbers that ONNX attributes use for element types (TensorProto.DataType)."""

from __future__ import annotations

from pyruntime.errors import DTypeError
from pyruntime.graph.types import DType

ONNX_DTYPES = {
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


def dtype_of_onnx(number: int) -> DType:
    """The element type with that number.

    Raises:
        DTypeError: this library has no such type.
    """
    if number not in ONNX_DTYPES:
        raise DTypeError(f"ONNX element type {number} is not supported; convert the model first")
    return ONNX_DTYPES[number]

"""Element types of the IR and what each is in numpy."""

from __future__ import annotations

import enum
import importlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import DTypeError, MissingExtraError
from pyruntime.graph.dims import Dim


class DType(enum.StrEnum):
    """An element type, spelled as in the Program."""

    BOOL = "bool"
    U8 = "u8"
    S8 = "s8"
    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U64 = "u64"
    S64 = "s64"
    F16 = "f16"
    BF16 = "bf16"
    F32 = "f32"
    F64 = "f64"
    U4 = "u4"
    S4 = "s4"

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy dtype; bf16, u4 and s4 need the `ml_dtypes` package."""
        if self in _ML_DTYPES:
            try:
                module = importlib.import_module("ml_dtypes")
            except ImportError as error:
                raise MissingExtraError(
                    f"values of type {self} need ml_dtypes; pip install 'pyruntime[onnx]'"
                ) from error
            found: np.dtype[np.generic] = np.dtype(getattr(module, _ML_DTYPES[self]))
            return found
        return np.dtype(_NUMPY[self])

    @property
    def is_float(self) -> bool:
        """Whether it is a floating point type."""
        return self in (DType.F16, DType.BF16, DType.F32, DType.F64)

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer type (bool is not)."""
        return not self.is_float and self is not DType.BOOL

    @staticmethod
    def of(array: NDArray[np.generic] | np.generic) -> DType:
        """The DType of a numpy array.

        Raises:
            DTypeError: the IR has no such type (strings, complex numbers, objects).
        """
        name = array.dtype.name
        if name not in _FROM_NUMPY:
            raise DTypeError(
                f"arrays of type {name} are not supported; convert to one of {list(_FROM_NUMPY)}"
            )
        return _FROM_NUMPY[name]


_NUMPY = {
    DType.BOOL: "bool",
    DType.U8: "uint8",
    DType.S8: "int8",
    DType.U16: "uint16",
    DType.S16: "int16",
    DType.U32: "uint32",
    DType.S32: "int32",
    DType.U64: "uint64",
    DType.S64: "int64",
    DType.F16: "float16",
    DType.F32: "float32",
    DType.F64: "float64",
}
_ML_DTYPES = {DType.BF16: "bfloat16", DType.U4: "uint4", DType.S4: "int4"}
_FROM_NUMPY = {name: dtype for dtype, name in (_NUMPY | _ML_DTYPES).items()}


@dataclass(frozen=True, slots=True)
class ValueType:
    """What `infer` says of an output.

    Attributes:
        dtype: element type.
        dims: dimensions in ONNX order.
        content: for small tensors of whole numbers that come from shape arithmetic: the elements
            as an object array of `Dim` (same shape as dims, all of which are then ints); else None.
    """

    dtype: DType
    dims: tuple[Dim, ...]
    content: NDArray[np.object_] | None = None

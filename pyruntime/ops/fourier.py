"""DFT and STFT: discrete Fourier transforms by numpy's fft, in the precision of the input.

Complex numbers are pairs in the last axis: real and imaginary part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.errors import DTypeError, ShapeError
from pyruntime.graph.dims import Dim
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import check_same_dtype, normal_axis, optional, required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._shapes import known_dims, known_ints

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class DftAttributes:
    """Inputs: x [..., 1 or 2], dft_length? [], axis? [].

    Attributes:
        inverse: divides by the length and turns the other way.
        onesided: only the non-negative frequencies; forward of real x, inverse to real y.
    """

    inverse: bool = False
    onesided: bool = False


@dataclass(frozen=True, slots=True)
class StftAttributes:
    """Inputs: signal [batch, length], or [batch, length, 1 or 2]; frame_step [], window? [frame].

    A fourth input, frame_length? [], is the length of a frame without a window.

    Attributes:
        onesided: only the non-negative frequencies.
    """

    onesided: bool = True


def _flags(node: OnnxNode) -> DftAttributes:
    return DftAttributes(*(bool(node.attributes.get(key, 0)) for key in ("inverse", "onesided")))


def _dft_17(node: OnnxNode) -> tuple[DftAttributes, list[Value | None]]:
    axis = node.constant(np.asarray(int(node.attributes.get("axis", 1)), np.int64))
    return _flags(node), [required(node.inputs, 0), optional(node.inputs, 1), axis]


def _dft_20(node: OnnxNode) -> tuple[DftAttributes, list[Value | None]]:
    return _flags(node), list(node.inputs)


def _stft_17(node: OnnxNode) -> tuple[StftAttributes, list[Value | None]]:
    return StftAttributes(bool(node.attributes.get("onesided", 1))), list(node.inputs)


def _check_pairs(x: Value, what: str, *, real: bool = False) -> None:
    if not x.dtype.is_float:
        raise DTypeError(f"{what} is {x.dtype}, must be a float")
    wanted = (1,) if real else (1, 2)
    if not x.dims or x.dims[-1] not in wanted:
        raise ShapeError(
            f"{what} has dims {list(x.dims)}; the last must be {' or '.join(map(str, wanted))}"
        )


def _axis(axis: int, rank: int) -> int:
    normal = normal_axis(axis, rank)
    if normal == rank - 1:
        raise ShapeError(f"axis {axis} is the one of real and imaginary parts; choose another")
    return normal


def _infer_dft(
    attributes: DftAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    _check_pairs(x, "x", real=attributes.onesided and not attributes.inverse)
    axis = -2 if optional(inputs, 2) is None else known_ints(inputs, 2)[0]
    axis = _axis(axis, len(x.dims))
    length: Dim = x.dims[axis]
    if attributes.onesided and attributes.inverse:
        length = 2 * (length - 1)
    if optional(inputs, 1) is not None:
        length = known_dims(inputs, 1)[0]
    dims = list(x.dims)
    dims[axis] = length // 2 + 1 if attributes.onesided and not attributes.inverse else length
    dims[-1] = 1 if attributes.onesided and attributes.inverse else 2
    return [ValueType(x.dtype, tuple(dims))]


def _complex(x: Array) -> Any:
    wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x  # halves have no fft
    return wide[..., 0] + 1j * wide[..., 1] if x.shape[-1] == 2 else wide[..., 0]


def _pairs(y: Any, dtype: np.dtype[Any]) -> Array:
    parts = [y.real, y.imag] if np.iscomplexobj(y) else [y]
    return np.stack(parts, axis=-1).astype(dtype)


def _dft(attributes: DftAttributes, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    x, length, axis = required(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    along = _axis(-2 if axis is None else int(axis.reshape(())), x.ndim)
    n = None if length is None else int(length.reshape(()))
    z = _complex(x)
    if attributes.onesided:
        y = (np.fft.irfft if attributes.inverse else np.fft.rfft)(z, n, along)
    else:
        y = (np.fft.ifft if attributes.inverse else np.fft.fft)(z, n, along)
    return [_pairs(y, x.dtype)]


def _frame(inputs: Sequence[Value | None]) -> Dim:
    """Elements of a frame."""
    window = optional(inputs, 2)
    given = None if optional(inputs, 3) is None else known_dims(inputs, 3)[0]
    if window is None:
        return required(inputs, 0).dims[1] if given is None else given
    check_same_dtype(inputs, 0, 2)
    if len(window.dims) != 1 or (given is not None and given != window.dims[0]):
        raise ShapeError(f"window has dims {list(window.dims)} but frame_length is {given}")
    return window.dims[0]


def _infer_stft(
    attributes: StftAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    if len(x.dims) == 3:
        _check_pairs(x, "signal", real=attributes.onesided)
    elif len(x.dims) != 2:
        raise ShapeError(f"signal has dims {list(x.dims)}; it needs [batch, length, 1 or 2]")
    step, frame = known_dims(inputs, 1)[0], _frame(inputs)
    if isinstance(step, int) and step < 1:
        raise ShapeError(f"frame_step is {step}; it must be 1 or more")
    frames = (x.dims[1] - frame) // step + 1
    bins = frame // 2 + 1 if attributes.onesided else frame
    return [ValueType(x.dtype, (x.dims[0], frames, bins, 2))]


def _stft(attributes: StftAttributes, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    x, step = required(inputs, 0), int(required(inputs, 1).reshape(()))
    window, length = optional(inputs, 2), optional(inputs, 3)
    frame = x.shape[1] if length is None else int(length.reshape(()))
    frame = frame if window is None else len(window)
    z = _complex(x if x.ndim == 3 else x[..., None])
    count = (z.shape[1] - frame) // step + 1
    starts = np.arange(count)[:, None] * step
    frames = z[:, starts + np.arange(frame)]
    if window is not None:
        frames = frames * window
    y = (np.fft.rfft if attributes.onesided else np.fft.fft)(frames, axis=-1)
    return [_pairs(y, x.dtype)]


_LENGTH, _FIRST = np.asarray(6), np.asarray(1)
DFT = Operator(
    name="DFT",
    attributes=DftAttributes,
    from_onnx={17: _dft_17, 20: _dft_20},
    infer=_infer_dft,
    reference=_dft,
    cases=(
        Case("real", DftAttributes(), (example(2, 5, 1),)),
        Case("complex", DftAttributes(), (example(2, 5, 2), _LENGTH, _FIRST)),
        Case("inverse", DftAttributes(inverse=True), (example(3, 4, 5, 2), None, _FIRST)),
        Case("onesided", DftAttributes(onesided=True), (example(2, 7, 1), _LENGTH)),
        Case("real-inverse", DftAttributes(True, True), (example(2, 4, 2),)),
        Case("empty", DftAttributes(), (example(0, 4, 1),)),
    ),
)
_STEP, _WINDOW = np.asarray(3), example(8)
STFT = Operator(
    name="STFT",
    attributes=StftAttributes,
    from_onnx={17: _stft_17},
    infer=_infer_stft,
    reference=_stft,
    cases=(
        Case("window", StftAttributes(), (example(2, 20, 1), _STEP, _WINDOW)),
        Case("length", StftAttributes(), (example(1, 9, 1), _STEP, None, np.asarray(4))),
        Case("complex", StftAttributes(False), (example(2, 20, 2), _STEP, _WINDOW)),
        Case("real", StftAttributes(), (example(2, 20), _STEP, _WINDOW)),
        Case("whole", StftAttributes(), (example(2, 5, 1), _STEP)),
    ),
)
OPERATORS: tuple[Operator, ...] = (DFT, STFT)

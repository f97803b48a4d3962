"""ReverseSequence: the first elements of each sequence of a batch in reverse order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ArgumentError, DTypeError, ShapeError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class ReverseSequenceAttributes:
    """Inputs: x [time, batch, ...] or [batch, time, ...], sequence_lens [batch] (s64).

    Attributes:
        time_axis: 0 or 1; the batch axis is the other one.
    """

    time_axis: int = 0


def _from_onnx(node: OnnxNode) -> tuple[ReverseSequenceAttributes, list[Value | None]]:
    time, batch = (int(node.attributes.get(f"{name}_axis", i)) for i, name in enumerate(_AXES))
    if {time, batch} != {0, 1}:
        raise ArgumentError(f"time_axis {time} and batch_axis {batch} must be 0 and 1, or 1 and 0")
    return ReverseSequenceAttributes(time), list(node.inputs)


_AXES = ("time", "batch")


def _infer(
    attributes: ReverseSequenceAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x, lengths = required(inputs, 0), required(inputs, 1)
    if lengths.dtype is not DType.S64:
        raise DTypeError(f"sequence_lens is {lengths.dtype}, must be s64")
    if len(x.dims) < 2 or len(lengths.dims) != 1:
        raise ShapeError(
            f"x has rank {len(x.dims)} and sequence_lens {len(lengths.dims)}; "
            "they need 2 or more, and 1"
        )
    batch, given = x.dims[1 - attributes.time_axis], lengths.dims[0]
    if isinstance(batch, int) and isinstance(given, int) and batch != given:
        raise ShapeError(f"sequence_lens has {given} elements for a batch of {batch}")
    return [ValueType(x.dtype, x.dims)]


def _reference(
    attributes: ReverseSequenceAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, lengths = required(inputs, 0), required(inputs, 1)
    time = attributes.time_axis
    size, batch = x.shape[time], x.shape[1 - time]
    if lengths.shape != (batch,):
        raise ShapeError(f"sequence_lens has dims {list(lengths.shape)} for a batch of {batch}")
    if batch and not 0 <= lengths.min() <= lengths.max() <= size:
        raise ArgumentError(
            f"sequence_lens holds {lengths.min()} to {lengths.max()}; x has {size} time steps"
        )
    steps = np.arange(size)[:, None]
    order = np.where(steps < lengths, lengths - 1 - steps, steps)  # [time, batch]
    order = order if time == 0 else order.T
    order = order.reshape(order.shape + (1,) * (x.ndim - 2))
    return [np.take_along_axis(x, order, axis=time)]


def _case(name: str, time_axis: int, shape: tuple[int, ...], *lengths: int) -> Case:
    lens = np.asarray(lengths, np.int64)
    return Case(name, ReverseSequenceAttributes(time_axis), (example(*shape), lens))


REVERSE_SEQUENCE = Operator(
    name="ReverseSequence",
    attributes=ReverseSequenceAttributes,
    from_onnx={10: _from_onnx},
    infer=_infer,
    reference=_reference,
    cases=(
        _case("time-first", 0, (4, 3, 2), 4, 2, 0),
        _case("batch-first", 1, (2, 5), 1, 5),
        _case("empty", 0, (0, 2, 3), 0, 0),
    ),
)
OPERATORS: tuple[Operator, ...] = (REVERSE_SEQUENCE,)

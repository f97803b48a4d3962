"""Access to the inputs of an operator, where absent trailing inputs may be missing or None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from pyruntime.errors import ArgumentError, DTypeError, ShapeError

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value
    from pyruntime.graph.types import DType

Item = TypeVar("Item")


def optional(inputs: Sequence[Item | None], index: int) -> Item | None:
    """Input `index`, or None where it is absent."""
    return inputs[index] if index < len(inputs) else None


def required(inputs: Sequence[Item | None], index: int) -> Item:
    """Input `index`.

    Raises:
        ArgumentError: it is absent.
    """
    item = optional(inputs, index)
    if item is None:
        raise ArgumentError(f"input {index} is required but absent; the model is damaged")
    return item


def check_same_dtype(inputs: Sequence[Value | None], *indices: int) -> DType:
    """The common dtype of those inputs that are present.

    Raises:
        DTypeError: they differ.
    """
    first = required(inputs, indices[0])
    for index in indices[1:]:
        other = optional(inputs, index)
        if other is not None and other.dtype is not first.dtype:
            raise DTypeError(
                f"input {index} is {other.dtype} but input {indices[0]} is {first.dtype}; cast one"
            )
    return first.dtype


def normal_axis(axis: int, rank: int) -> int:
    """`axis` counted from the front.

    Raises:
        ShapeError: it lies outside the rank.
    """
    if not -rank <= axis < max(rank, 1):
        raise ShapeError(f"axis {axis} is outside of rank {rank}; the model is damaged")
    return axis + rank if axis < 0 else axis

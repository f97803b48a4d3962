"""Inputs that decide the size of an output, and moving data without changing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.errors import ShapeError, UnsupportedError
from pyruntime.graph.dims import Dim, lower_bound, product
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, OnnxNode, content_of

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value

INT64_MAX = 2**63 - 1


class DynamicSizeError(UnsupportedError):
    """The elements of a runtime input decide the size of a tensor, or which branch is taken."""


def known_dims(inputs: Sequence[Value | None], index: int) -> tuple[Dim, ...]:
    """The elements of an integer input of any rank, flat, as dims.

    Raises:
        DynamicSizeError: they are not known before the model runs.
    """
    value = required(inputs, index)
    content = content_of(value)
    if content is None:
        raise DynamicSizeError(
            f"input {index} ('{value.name}') decides the size of the output but is only known at "
            "run time; fix the model inputs it comes from: "
            "import_onnx(..., constants={'name': array})"
        )
    return tuple(content.reshape(-1))


def known_ints(inputs: Sequence[Value | None], index: int) -> tuple[int, ...]:
    """The elements of an integer input that may not depend on the model's input dims.

    Raises:
        DynamicSizeError: they are not known before the model runs.
        UnsupportedError: they depend on symbolic dimensions.
    """
    dims = known_dims(inputs, index)
    for dim in dims:
        if not isinstance(dim, int):
            raise UnsupportedError(
                f"input {index} is {dim}, which depends on the model's input dimensions; fix "
                "them: import_onnx(..., dims={'name': size})"
            )
    return tuple(int(dim) for dim in dims if isinstance(dim, int))


def optional_ints(inputs: Sequence[Value | None], index: int) -> tuple[int, ...] | None:
    """As `known_ints`, or None where the input is absent."""
    return None if optional(inputs, index) is None else known_ints(inputs, index)


def flat_ints(array: Array | None) -> tuple[int, ...] | None:
    """All elements as ints (dims of object arrays must be known)."""
    return None if array is None else tuple(int(x) for x in array.reshape(-1))


def quotient(dims: Sequence[Dim], divisors: Sequence[Dim]) -> Dim:
    """product(dims) // product(divisors), equal factors left out first."""
    rest = list(dims)
    others: list[Dim] = []
    for divisor in divisors:
        if divisor in rest and divisor != 0:
            rest.remove(divisor)
        else:
            others.append(divisor)
    bottom = product(tuple(others))
    return 0 if bottom == 0 else product(tuple(rest)) // bottom


def negative(dim: Dim) -> bool:
    """Whether an index counts from the end; expressions do only if they are never positive."""
    if isinstance(dim, int):
        return dim < 0
    bound = lower_bound(-dim)
    return bound is not None and bound >= 0


def axes_input(node: OnnxNode, name: str = "axes") -> list[Value | None]:
    """The node's inputs with a list attribute of older opsets added as the second input."""
    axes = node.attributes.get(name)
    given = None if axes is None else node.constant(np.asarray(axes, np.int64))
    return [required(node.inputs, 0), given]


def check_count(given: Dim, wanted: Dim, what: str) -> None:
    """Compares two numbers of elements.

    Raises:
        ShapeError: they are known and differ.
    """
    if isinstance(given, int) and isinstance(wanted, int) and given != wanted:
        raise ShapeError(f"{what}: {given} elements, but the output has {wanted}")


def read_axis(node: OnnxNode, default: int) -> int:
    """The attribute `axis`."""
    return int(node.attributes.get("axis", default))


def stack_ints(values: Sequence[Any]) -> Array:
    """A 1-D s64 array."""
    return np.asarray(list(values), np.int64)

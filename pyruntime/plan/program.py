"""The canonical Program: what a `.pyrt` file says, as Python objects.

A Program holds meaning only: kernel families, attributes and logical operands. No kernel, layout,
packing or arena offset is in it, so one Program runs on every CPU and at every input shape. How a
constant is stored in the file (mask, half floats, scaled bytes) is decided by the writer in
`file.py`; here every constant has its elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

from pyruntime.graph.dims import Dim
from pyruntime.graph.graph import Storage
from pyruntime.graph.types import DType

# Of a native step: int, Expr, float, str, or a tuple of int and Expr. Of a host step: what
# `encode.py` accepts.
AttributeValue: TypeAlias = Any

ABSENT = -1  # operand index of an optional operand that is not there
HOST = "host"  # family of the steps that run an operator's numpy reference


@dataclass(frozen=True, slots=True, eq=False)
class ProgramValue:
    """A tensor of the Program.

    Attributes:
        dtype: element type.
        dims: dimensions in ONNX order; ints only for constants.
        name: for messages; may be empty.
        constant: the elements, for constants; else None.
        storage: how compression wants the constant stored; None lets the writer choose.
    """

    dtype: DType
    dims: tuple[Dim, ...]
    name: str = ""
    constant: NDArray[Any] | None = None
    storage: Storage | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One application of a kernel family, or of an operator's reference when `family` is `host`.

    Attributes:
        family: name of the kernel family.
        attributes: by name; for a host step the fields of the operator's attributes dataclass.
        inputs: indices of values, `ABSENT` where an optional operand is missing.
        outputs: as inputs.
        name: the node it comes from, for messages.
        operator: of a host step, the operator's name; else empty.
        domain: of a host step, the operator's domain.
    """

    family: str
    attributes: Mapping[str, AttributeValue]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str = ""
    operator: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that can be bound together: all their dims follow from the input dims."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """A named input or output of the model: an index into the values."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Program:
    """A whole model.

    Attributes:
        values: all tensors; everything else refers to them by index.
        inputs: what the caller gives, in the model's order.
        outputs: what the caller gets.
        segments: the steps, in execution order.
        symbols: names of the dimensions that the inputs bind.
        annotations: notes for tools; JSON-like, floats and booleans included (see `encode.py`).
    """

    values: tuple[ProgramValue, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    segments: tuple[Segment, ...]
    symbols: tuple[str, ...] = ()
    annotations: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of all segments."""
        return tuple(step for segment in self.segments for step in segment.steps)

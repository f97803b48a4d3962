"""The record that defines an operator: once, with everything that is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyruntime.graph.dims import Dim
from pyruntime.graph.types import DType, ValueType

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

Array = NDArray[Any]


class OnnxNode(Protocol):
    """An ONNX node as `from_onnx` sees it: plain Python and numpy, no protobuf."""

    attributes: dict[
        str, Any
    ]  # ints, floats, str, lists of them, numpy arrays (tensors); graphs as Graph
    inputs: list[Value | None]
    output_count: int
    where: str  # "node 'name' (Op)", the start of every message about it

    def constant(self, array: Array) -> Value:
        """A new constant of the graph, e.g. for an attribute that has become an input."""


class Lowering(Protocol):
    """What `lower` writes to. Values of the graph become those of the Program."""

    def step(
        self,
        family: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value | None],
        **attributes: Any,
    ) -> None:
        """Appends a step; attributes are int, Dim, str, float, or lists of int or Dim."""

    def constant(self, array: Array, name: str = "") -> Value:
        """A constant of the Program; equal constants are stored once."""

    def temporary(self, dtype: DType, dims: tuple[Dim, ...]) -> Value:
        """A value between the steps of one node."""

    def host(self, node: Node) -> None:
        """Runs the node by its numpy reference, where no native kernel takes it."""


Attributes = Any  # each operator's own frozen dataclass
FromOnnx = Callable[[OnnxNode], tuple[Attributes, "list[Value | None]"]]


@dataclass(frozen=True, slots=True)
class Case:
    """A named example: inputs for tests of infer, reference and the lowered step."""

    name: str
    attributes: Attributes
    inputs: tuple[Array | None, ...]
    outputs: int = 1


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Attributes:
        name: ONNX spelling, or our own for internal operators (domain `pyruntime`).
        from_onnx: since-version -> reader; the newest one not above the model's opset applies. It
            gives the attributes and the inputs in the form of the newest opset (attributes that
            became inputs are made constants).
        infer: output types from attributes and inputs (types only; dims as expressions). Raises
            ShapeError or DTypeError with what is wrong; the caller adds the node.
        reference: numpy, obvious rather than fast; gives all outputs that infer names. Inputs are
            arrays or None.
        lower: writes the steps that compute the node. None: always a host step.
        shape_arithmetic: `reference` also works on object arrays of dimensions, so that inputs
            with known content give outputs with known content.
        cases: named examples, zero-size, broadcast and odd sizes among them.
    """

    name: str
    infer: Callable[[Attributes, Sequence[Value | None], int], list[ValueType]]
    reference: Callable[[Attributes, Sequence[Array | None], int], list[Array]]
    attributes: type[Any] = NoneType
    from_onnx: Mapping[int, FromOnnx] = field(default_factory=dict)
    lower: Callable[[Node, Lowering], None] | None = None
    domain: str = ""
    shape_arithmetic: bool = False
    cases: tuple[Case, ...] = ()

    def __repr__(self) -> str:
        return f"Operator({self.domain + '.' if self.domain else ''}{self.name})"


def content_of(value: Value | None) -> NDArray[np.object_] | None:
    """The elements of a small value of whole numbers as an object array of `Dim`, if known."""
    if value is None:
        return None
    content = value.content
    if content is None:
        if value.constant is None or value.constant.size > MAX_CONTENT:
            return None
        if value.dtype is DType.BOOL:
            return None
        content = np.empty(value.constant.shape, dtype=object)
        content.reshape(-1)[:] = value.constant.reshape(-1).tolist()
    if value.dtype.is_float:  # exporters cast sizes to float and back
        elements: list[Any] = content.reshape(-1).tolist()
        if any(isinstance(element, float) and not element.is_integer() for element in elements):
            return None
        whole = np.empty(content.shape, dtype=object)
        whole.reshape(-1)[:] = [int(x) if isinstance(x, float) else x for x in elements]
        return whole
    return content


# Elements. Shape arithmetic works on vectors of a few dims; anything larger is data.
MAX_CONTENT = 1024

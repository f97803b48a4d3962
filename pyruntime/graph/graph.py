"""The intermediate representation: nodes in an order in which each value is made before its use."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import PyruntimeError
from pyruntime.graph.dims import Dim
from pyruntime.graph.types import DType, ValueType

if TYPE_CHECKING:
    from pyruntime.ops._operator import Operator


@dataclass(slots=True, eq=False)
class Value:
    """A tensor of the graph.

    Attributes:
        name: unique in the graph.
        dtype: element type.
        dims: dimensions, ints or expressions, in ONNX order.
        constant: its elements, for constants (dims are then ints and dtype fits); else None.
        content: symbolic elements of a small tensor from shape arithmetic; else None.
        producer: the node that makes it; None for inputs and constants.
        storage: how the file stores a constant, set by compression; None stores it densely.
    """

    name: str
    dtype: DType
    dims: tuple[Dim, ...]
    constant: NDArray[Any] | None = None
    content: NDArray[np.object_] | None = None
    producer: Node | None = None
    storage: Storage | None = None

    def __repr__(self) -> str:
        dims = ",".join(map(str, self.dims))
        return f"{self.name}:{self.dtype}[{dims}]"


@dataclass(frozen=True, slots=True)
class Storage:
    """How a constant is kept in the file; reading it gives back `Value.constant` exactly.

    Attributes:
        kind: "f16" or "bf16" (value f32, stored half), "scaled" (value f32 = integer * scale along
            axis; integers of a narrow range take fewer bits in the file).
        stored: the stored elements (f16, bf16 or s8), of the value's shape.
        scale: f32 or f16, for "scaled": one per index of `axis`; with `group`, of
            the value's shape with `axis` replaced by ceil(size / group).
        axis: the axis that `scale` runs along.
        group: neighbours along `axis` that share a scale; 0 for one scale per index.
    """

    kind: str
    stored: NDArray[Any]
    scale: NDArray[np.float32] | None = None
    axis: int = 0
    group: int = 0


@dataclass(slots=True, eq=False)
class Node:
    """One application of an operator.

    Attributes:
        operator: the record from `pyruntime.ops`.
        attributes: the operator's own frozen dataclass.
        inputs: values; None where an optional input is absent.
        outputs: values this node makes.
        name: unique, for messages and reports.
    """

    operator: Operator
    attributes: Any
    inputs: list[Value | None]
    outputs: list[Value]
    name: str

    @property
    def where(self) -> str:
        """How messages begin that are about this node."""
        return f"node '{self.name}' ({self.operator.name})"

    def __repr__(self) -> str:
        return f"{self.outputs} = {self.operator.name}({self.inputs}) {self.attributes}"


@dataclass(slots=True)
class Graph:
    """A model: inputs, outputs and nodes in topological order.

    Attributes:
        inputs: values the caller gives.
        outputs: values the caller gets, under `output_names` (a pass may replace a value, never the
            name).
        nodes: in execution order.
        annotations: free-form JSON-like notes that travel in the file (preprocessing, compression
            record).
    """

    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    output_names: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    name: str = ""
    annotations: dict[str, Any] = field(default_factory=dict)
    _counter: int = 0

    def unique(self, stem: str) -> str:
        """A name that no value or node of the graph has yet."""
        self._counter += 1
        return f"{stem}.{self._counter}"

    def constant(self, array: NDArray[Any], name: str = "") -> Value:
        """A constant value; it belongs to the graph once a node uses it."""
        array = np.asarray(array)
        return Value(
            name or self.unique("constant"),
            DType.of(array),
            tuple(int(d) for d in array.shape),
            array,
        )

    def value(self, value_type: ValueType, name: str = "") -> Value:
        """A new value of the given type."""
        return Value(
            name or self.unique("value"),
            value_type.dtype,
            value_type.dims,
            content=value_type.content,
        )

    def append(
        self,
        operator: Operator,
        attributes: Any,
        inputs: Sequence[Value | None],
        output_names: Sequence[str] = ("",),
        name: str = "",
    ) -> Node:
        """Adds a node behind all others; its outputs get the types that `infer` says."""
        node = self.make(operator, attributes, inputs, output_names, name)
        self.nodes.append(node)
        return node

    def make(
        self,
        operator: Operator,
        attributes: Any,
        inputs: Sequence[Value | None],
        output_names: Sequence[str] = ("",),
        name: str = "",
    ) -> Node:
        """A node with inferred outputs that is not yet placed in `nodes`."""
        node = Node(operator, attributes, list(inputs), [], name or self.unique(operator.name))
        try:
            types = operator.infer(attributes, node.inputs, len(output_names))
        except PyruntimeError as error:
            raise type(error)(f"{node.where}: {error}") from error
        for position, value_type in enumerate(types):
            label = output_names[position] if position < len(output_names) else ""
            value = self.value(value_type, label)
            value.producer = node
            node.outputs.append(value)
        return node

    def values(self) -> Iterator[Value]:
        """Every value once: inputs, then constants and results in order of first use."""
        seen: set[int] = set()
        candidates: Iterable[Value | None] = [
            *self.inputs,
            *(value for node in self.nodes for value in (*node.inputs, *node.outputs)),
            *self.outputs,
        ]
        for value in candidates:
            if value is not None and id(value) not in seen:
                seen.add(id(value))
                yield value

    def consumers(self) -> dict[int, list[tuple[Node, int]]]:
        """id(value) -> (node, input index) of every use by a node. Graph outputs do not count."""
        uses: dict[int, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for index, value in enumerate(node.inputs):
                if value is not None:
                    uses.setdefault(id(value), []).append((node, index))
        return uses

    def replace(self, old: Value, new: Value) -> None:
        """Makes every user of `old`, graph outputs included, use `new`."""
        for node in self.nodes:
            node.inputs = [new if value is old else value for value in node.inputs]
        self.outputs = [new if value is old else value for value in self.outputs]

    def is_output(self, value: Value) -> bool:
        """Whether the caller gets this value."""
        return any(output is value for output in self.outputs)

    def copy(self) -> Graph:
        """A graph that passes may change without changing this one.

        Values, nodes and lists are new; the arrays of constants and the attributes are shared,
        since nothing changes those in place.
        """
        made = {
            id(value): Value(
                value.name,
                value.dtype,
                value.dims,
                value.constant,
                value.content,
                storage=value.storage,
            )
            for value in self.values()
        }
        nodes = []
        for node in self.nodes:
            inputs = [None if value is None else made[id(value)] for value in node.inputs]
            outputs = [made[id(value)] for value in node.outputs]
            twin = Node(node.operator, node.attributes, inputs, outputs, node.name)
            for value in outputs:
                value.producer = twin
            nodes.append(twin)
        return Graph(
            [made[id(value)] for value in self.inputs],
            [made[id(value)] for value in self.outputs],
            list(self.output_names),
            nodes,
            self.name,
            copy.deepcopy(self.annotations),
            self._counter,
        )

    def constants(self) -> list[Value]:
        """All constants that some node or output uses, in order of first use."""
        return [value for value in self.values() if value.constant is not None]

"""Graph -> Program: each operator writes its steps; this file numbers the values and checks them.

Steps that nothing needs are dropped afterwards: an operator's steps often do not read an operand
whose content is known (the target of a Reshape, say), and then the nodes that compute it have no
purpose at run time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import PyruntimeError, UnsupportedError
from pyruntime.graph.dims import Dim, Expr
from pyruntime.graph.graph import Graph, Node, Value
from pyruntime.graph.types import DType
from pyruntime.kernels import Family
from pyruntime.ops import content_of
from pyruntime.plan.encode import OPERATORS
from pyruntime.plan.program import ABSENT, HOST, Port, Program, ProgramValue, Segment, Step
from pyruntime.plan.schema import check_attributes, check_operands, schemas

_log = logging.getLogger(__name__)

# What the `sizes` family writes.
_SIZE_DTYPES = frozenset({DType.S32, DType.S64, DType.F32, DType.F64})
_MAX_SIZES = 32


@dataclass(slots=True)
class _Draft:
    """A step whose operands are still values of the graph."""

    family: str
    attributes: Mapping[str, Any]
    inputs: list[Value | None]
    outputs: list[Value | None]
    node: Node


class _NoFamilyError(Exception):
    """This build has no such family."""


class GraphLowering:
    """The `Lowering` that operators write to."""

    def __init__(self, known: Mapping[str, Family] | None) -> None:
        self.drafts: list[_Draft] = []
        self._known = known
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._node: Node | None = None
        self._made = 0

    def lower(self, node: Node) -> None:
        """Appends the steps of one node."""
        self._node = node
        sizes = [_sizes(value) for value in node.outputs]
        write = node.operator.lower
        before = len(self.drafts)
        try:
            if all(values is not None for values in sizes):
                for value, values in zip(node.outputs, sizes, strict=True):
                    self.step("sizes", [], [value], values=values)
            elif write is not None:
                write(node, self)
            else:
                self.host(node)
        except _NoFamilyError as error:
            # Coverage does not wait for C++: a family may be younger than this build.
            _log.info("%s runs on the host: this build has no family '%s'", node.where, error)
            del self.drafts[before:]
            self.host(node)
        except PyruntimeError as error:
            if node.where in str(error):
                raise
            raise type(error)(f"{node.where}: {error}") from error

    def step(
        self,
        family: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value | None],
        **attributes: Any,
    ) -> None:
        """Appends a step, see `Lowering`.

        Raises:
            ArgumentError: attributes or operands do not fit the kernel's schema.
        """
        node = self._current()
        typed = attributes
        if self._known is not None:
            if family not in self._known:
                raise _NoFamilyError(family)
            typed = check_attributes(self._known[family], attributes, node.where)
            check_operands(self._known[family], len(inputs), len(outputs), node.where)
        self.drafts.append(_Draft(family, typed, _trimmed(inputs), _trimmed(outputs), node))

    def constant(self, array: NDArray[Any], name: str = "") -> Value:
        """A constant of the Program; equal constants are stored once."""
        array = np.asarray(array)
        return self.shared(Value(name, DType.of(array), tuple(int(n) for n in array.shape), array))

    def temporary(self, dtype: DType, dims: tuple[Dim, ...]) -> Value:
        """A value between the steps of one node."""
        self._made += 1
        return Value(f"{self._current().name}:{self._made}", dtype, tuple(dims))

    def host(self, node: Node) -> None:
        """Runs the node by its numpy reference."""
        attributes = {}
        if node.attributes is not None:
            attributes = {
                field.name: getattr(node.attributes, field.name)
                for field in dataclasses.fields(node.attributes)
            }
        self.drafts.append(_Draft(HOST, attributes, list(node.inputs), list(node.outputs), node))

    def shared(self, value: Value) -> Value:
        """The first constant with the same elements."""
        if value.constant is None:
            return value
        array = np.ascontiguousarray(value.constant)
        digest = hashlib.blake2b(array.reshape(-1).view(np.uint8).data, digest_size=16).digest()
        return self._constants.setdefault((value.dtype, value.dims, digest), value)

    def _current(self) -> Node:
        assert self._node is not None
        return self._node


def _sizes(value: Value) -> list[Dim] | None:
    """The elements of a value that only the dims of the inputs decide, if a step can hold them."""
    content = content_of(value)
    if value.dtype not in _SIZE_DTYPES or content is None or content.size > _MAX_SIZES:
        return None
    return content.reshape(-1).tolist()


def _trimmed(operands: Sequence[Value | None]) -> list[Value | None]:
    """The operands without absent ones at the end, which the file may leave out."""
    kept = list(operands)
    while kept and kept[-1] is None:
        kept.pop()
    return kept


def _live(drafts: list[_Draft], outputs: Sequence[Value]) -> list[_Draft]:
    """The steps that some output depends on."""
    needed = {id(value) for value in outputs}
    kept = []
    for draft in reversed(drafts):
        if any(value is not None and id(value) in needed for value in draft.outputs):
            kept.append(draft)
            needed.update(id(value) for value in draft.inputs if value is not None)
    return kept[::-1]


def _plain_symbol(dim: Dim) -> str | None:
    if isinstance(dim, Expr) and len(dim.terms) == 1:
        ((monomial, coefficient),) = dim.terms.items()
        if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], str):
            return monomial[0]
    return None


def _bound_symbols(graph: Graph) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for value in graph.inputs:
        for dim in value.dims:
            name = _plain_symbol(dim)
            if name in OPERATORS or name == "":
                raise UnsupportedError(
                    f"input '{value.name}' has a dimension called '{name}', which reads as an "
                    "operator; rename it"
                )
            if name is not None:
                found[name] = None
    return tuple(found)


def _check_symbols(dims: Sequence[Any], bound: set[str], where: str) -> None:
    for dim in dims:
        if isinstance(dim, Expr) and (free := dim.symbols() - bound):
            raise UnsupportedError(
                f"{where}: the size {dim} depends on {', '.join(sorted(free))}, which is known "
                "only after running "
                "(NonZero and the like); format 1.0 needs sizes that follow from the input dims. "
                "Give the model "
                "fixed sizes there, or cut it before this node"
            )


def _attribute_dims(attributes: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for value in attributes.values():
        found.extend(value if isinstance(value, (list, tuple)) else [value])
    return found


def lower(graph: Graph) -> Program:
    """The canonical Program of a graph.

    Raises:
        UnsupportedError: a size is known only by running.
        ArgumentError: an operator wrote attributes that its family's schema does not know.
    """
    writer = GraphLowering(schemas())
    for node in graph.nodes:
        writer.lower(node)
    outputs = [writer.shared(value) for value in graph.outputs]
    symbols = _bound_symbols(graph)
    bound = set(symbols)

    numbered: dict[int, int] = {}
    values: list[ProgramValue] = []

    def number(value: Value | None, where: str) -> int:
        if value is None:
            return ABSENT
        value = writer.shared(value)
        if id(value) not in numbered:
            _check_symbols(value.dims, bound, where)
            numbered[id(value)] = len(values)
            values.append(
                ProgramValue(value.dtype, value.dims, value.name, value.constant, value.storage)
            )
        return numbered[id(value)]

    inputs = tuple(
        Port(value.name, number(value, f"input '{value.name}'")) for value in graph.inputs
    )
    steps = []
    for draft in _live(writer.drafts, outputs):
        where = draft.node.where
        _check_symbols(_attribute_dims(draft.attributes), bound, where)
        host = draft.family == HOST
        steps.append(
            Step(
                draft.family,
                dict(draft.attributes),
                tuple(number(value, where) for value in draft.inputs),
                tuple(number(value, where) for value in draft.outputs),
                draft.node.name,
                draft.node.operator.name if host else "",
                draft.node.operator.domain if host else "",
            )
        )
    names = graph.output_names or [value.name for value in graph.outputs]
    ports = tuple(
        Port(name, number(value, f"output '{name}'"))
        for name, value in zip(names, outputs, strict=True)
    )
    return Program(
        tuple(values), inputs, ports, (Segment(tuple(steps)),), symbols, dict(graph.annotations)
    )

"""Checks the invariants of a graph; a failure is a bug of the pass that ran last."""

from __future__ import annotations

from pyruntime.graph.graph import Graph, Node, Value
from pyruntime.graph.types import DType


def verify(graph: Graph) -> None:
    """Raises AssertionError naming the first broken invariant.

    Each value is made before use and by the node it names; names are unique; constants have the
    dtype and dims they claim; inputs and outputs exist.
    """
    known = {id(value) for value in graph.inputs}
    names: dict[str, Value] = {value.name: value for value in graph.inputs}
    for node in graph.nodes:
        _check_inputs(node, known)
        for value in node.outputs:
            if value.producer is not node:
                raise AssertionError(f"'{value.name}' does not name {node.where} as its producer")
            if id(value) in known:
                raise AssertionError(f"'{value.name}' is made twice")
            if names.setdefault(value.name, value) is not value:
                raise AssertionError(f"two values are called '{value.name}'")
            known.add(id(value))
    for value in graph.outputs:
        if id(value) not in known and value.constant is None:
            raise AssertionError(f"output '{value.name}' is never made")
    if len(graph.outputs) != len(graph.output_names):
        raise AssertionError("outputs and output_names differ in number")


def _check_inputs(node: Node, known: set[int]) -> None:
    for value in node.inputs:
        if value is None or id(value) in known:
            continue
        if value.constant is None:
            raise AssertionError(f"{node.where} reads '{value.name}' before it is made")
        _check_constant(value)


def _check_constant(value: Value) -> None:
    assert value.constant is not None
    if DType.of(value.constant) is not value.dtype or value.constant.shape != value.dims:
        raise AssertionError(
            f"constant '{value.name}' claims {value.dtype}{list(value.dims)} but is "
            f"{value.constant.dtype}{list(value.constant.shape)}"
        )

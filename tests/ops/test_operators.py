"""Every case of every operator: `infer` says what `reference` gives."""

from __future__ import annotations

import numpy as np
import pytest

from pyruntime.graph import DType, Graph, Node
from pyruntime.ops import Case, Operator, all_operators


def make(operator: Operator, case: Case) -> tuple[Graph, Node, list[np.ndarray]]:
    """A graph of one node, its outputs counted by the reference."""
    graph = Graph()
    inputs = [None if x is None else graph.constant(x) for x in case.inputs]
    count = case.outputs
    expected = operator.reference(case.attributes, case.inputs, count)
    node = graph.append(operator, case.attributes, inputs, [f"y{i}" for i in range(count)])
    return graph, node, expected


ALL = [
    pytest.param(operator, case, id=f"{operator.name}-{case.name}")
    for operator in all_operators().values()
    for case in operator.cases
]


@pytest.mark.parametrize(("operator", "case"), ALL)
def test_infer_says_what_the_reference_gives(operator: Operator, case: Case) -> None:
    _, node, expected = make(operator, case)
    assert len(node.outputs) == len(expected)
    for value, array in zip(node.outputs, expected, strict=True):
        assert value.dtype is DType.of(array)
        assert value.dims == array.shape


@pytest.mark.parametrize("operator", all_operators().values(), ids=repr)
def test_every_operator_has_cases(operator: Operator) -> None:
    assert operator.cases
    names = [case.name for case in operator.cases]
    assert len(set(names)) == len(names)

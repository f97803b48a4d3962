"""Every case of every operator: `infer` says what `reference` gives, and so does the runtime."""

from __future__ import annotations

import numpy as np
import pytest

from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.ops import Array, Case, Operator, all_operators
from pyruntime.ops._shapes import DynamicSizeError


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


def compilable(operator: Operator, case: Case) -> tuple[Graph, dict[str, Array]]:
    """One node on inputs of the run. Where some decide a size, constants are: integers behind the
    first input, all behind it, all.
    """
    for fixed in range(4):
        graph, feeds, operands = Graph(), {}, []
        for index, array in enumerate(case.inputs):
            if array is None:
                operands.append(None)
            elif fixed == 3 or (index and fixed > (not DType.of(array).is_integer)):
                operands.append(graph.constant(array))
            else:
                value = Value(f"x{index}", DType.of(array), array.shape)
                graph.inputs.append(value)
                operands.append(value)
                feeds[value.name] = array
        names = [f"y{index}" for index in range(case.outputs)]
        try:
            node = graph.append(operator, case.attributes, operands, names, "node")
        except DynamicSizeError:
            continue
        graph.outputs, graph.output_names = list(node.outputs), [v.name for v in node.outputs]
        return graph, feeds
    raise AssertionError("an input decides a size though all are constants")


PLAIN = {"bfloat16": np.uint16, "uint4": np.uint8, "int4": np.int8}


def plain(array: Array) -> Array:
    """As Session knows it."""
    dtype = PLAIN.get(array.dtype.name)
    if dtype is None:
        return array
    return array.view(dtype) if array.dtype.name == "bfloat16" else array.astype(dtype)


@pytest.mark.parametrize(("operator", "case"), ALL)
def test_the_runtime_gives_what_the_reference_gives(operator: Operator, case: Case) -> None:
    from pyruntime.plan.compile import compile as compile_graph
    from pyruntime.session import Session

    if not case.inputs:
        return  # a constant: import makes no node of it
    expected = operator.reference(case.attributes, case.inputs, case.outputs)
    graph, feeds = compilable(operator, case)
    data = compile_graph(graph, optimize=False)
    assert data is not None
    session = Session(data)
    found = session.run({name: plain(array) for name, array in feeds.items()})
    exactness = {step.exactness for step in session.steps()}
    for value, wanted in zip(graph.outputs, map(plain, expected), strict=True):
        array = found[value.name]
        assert array.dtype == wanted.dtype
        assert array.shape == wanted.shape
        if exactness <= {"E", "host", ""} or wanted.dtype.kind not in "f":
            np.testing.assert_array_equal(array, wanted)
        else:
            np.testing.assert_allclose(array, wanted, rtol=2e-5, atol=2e-6)

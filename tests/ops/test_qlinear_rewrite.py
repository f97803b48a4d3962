"""QLinearConv and QLinearMatMul give the same bytes before and after they become Q nodes."""

from __future__ import annotations

import pytest

from pyruntime.graph import Graph, Value
from pyruntime.graph.types import DType
from pyruntime.ops.qlinear import (
    QLINEAR_CONV,
    QLINEAR_MATMUL,
    qlinear_conv_as_qconv,
    qlinear_matmul_as_qmatmul,
)

REWRITES = [
    pytest.param(operator, rewrite, case, id=f"{operator.name}-{case.name}")
    for operator, rewrite in (
        (QLINEAR_CONV, qlinear_conv_as_qconv),
        (QLINEAR_MATMUL, qlinear_matmul_as_qmatmul),
    )
    for case in operator.cases
]


@pytest.mark.parametrize(("operator", "rewrite", "case"), REWRITES)
def test_rewrite_is_exact(operator, rewrite, case):
    graph = Graph()
    x = Value("x", DType.of(case.inputs[0]), case.inputs[0].shape)
    inputs = [x, *(graph.constant(array) for array in case.inputs[1:])]
    node = graph.append(operator, case.attributes, inputs)
    nodes = rewrite(graph, node)
    assert nodes is not None
    arrays = {id(x): case.inputs[0]}
    for new in nodes:
        feeds = [None if v is None else arrays.get(id(v), v.constant) for v in new.inputs]
        for value, array in zip(
            new.outputs, new.operator.reference(new.attributes, feeds, 1), strict=True
        ):
            assert DType.of(array) is value.dtype
            arrays[id(value)] = array
    expected = operator.reference(case.attributes, case.inputs, 1)[0]
    found = arrays[id(nodes[-1].outputs[0])]
    assert found.dtype == expected.dtype
    assert (found == expected).all()


def test_computed_scales_are_left_alone():
    graph = Graph()
    case = QLINEAR_MATMUL.cases[0]
    values = [Value(f"v{i}", DType.of(a), a.shape) for i, a in enumerate(case.inputs)]
    node = graph.append(QLINEAR_MATMUL, case.attributes, values)
    assert qlinear_matmul_as_qmatmul(graph, node) is None

"""Sign and a product by binary weights become one step, which gives what the two gave."""

from __future__ import annotations

import numpy as np
import pytest

import pyruntime as rt
from pyruntime.graph import DType, Graph, Value
from pyruntime.ops.binary import MUL
from pyruntime.ops.matmul import MATMUL, MatMulAttributes
from pyruntime.ops.unary import SIGN
from pyruntime.passes.pipeline import optimize
from pyruntime.plan.compile import compile as compile_graph


def product_of_signs(w: np.ndarray, trans_b: bool = False) -> Graph:
    graph = Graph()
    K = w.shape[1 if trans_b else 0]
    N = w.shape[0 if trans_b else 1]
    x = Value("x", DType.F32, (3, K))
    graph.inputs.append(x)
    (sign,) = graph.append(SIGN, None, [x], ["sign"]).outputs
    attributes = MatMulAttributes(trans_b=trans_b)
    (y,) = graph.append(MATMUL, attributes, [sign, graph.constant(w)], ["y"]).outputs
    scale = graph.constant(np.linspace(0.5, 2, N, dtype=np.float32))
    (z,) = graph.append(MUL, None, [y, scale], ["z"]).outputs
    graph.outputs, graph.output_names = [z], ["z"]
    return graph


def families(graph: Graph) -> list[str]:
    return [node.operator.name for node in optimize(graph).nodes]


@pytest.mark.parametrize("trans_b", [False, True])
def test_binary_weights(trans_b: bool) -> None:
    random = np.random.default_rng(1)
    w = random.choice(np.float32([-1, 1]), (70, 20))
    graph = product_of_signs(w.T.copy() if trans_b else w, trans_b)
    assert families(graph) == ["SignMatMul"]
    x = random.standard_normal((3, 70)).astype(np.float32)
    x[0, ::3] = 0
    data = compile_graph(graph)
    assert data is not None
    found = rt.Session(data).run({"x": x})["z"]
    expected = (np.sign(x) @ w) * np.linspace(0.5, 2, 20, dtype=np.float32)
    np.testing.assert_array_equal(found, expected)


def test_other_weights_are_left_alone() -> None:
    w = np.ones((8, 4), np.float32)
    w[3, 2] = 0
    assert "SignMatMul" not in families(product_of_signs(w))
    w[3, 2] = 0.5
    assert "SignMatMul" not in families(product_of_signs(w))

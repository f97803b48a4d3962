"""Q/DQ -> integer operators: the graphs, and agreement with the Q/DQ graph within a quantum."""

from __future__ import annotations

import numpy as np
import pytest

from pyruntime.graph import DType, Graph, Value
from pyruntime.graph.verify import verify
from pyruntime.ops import Operator
from pyruntime.ops.binary import ADD, MUL
from pyruntime.ops.concat import CONCAT
from pyruntime.ops.conv import CONV, ConvAttributes
from pyruntime.ops.flatten import FLATTEN
from pyruntime.ops.matmul import MATMUL, MatMulAttributes
from pyruntime.ops.pool import AVERAGE_POOL, GLOBAL_AVERAGE_POOL, MAX_POOL
from pyruntime.ops.qlinear import QLINEAR_CONV, QLINEAR_MATMUL
from pyruntime.ops.quantize_linear import DEQUANTIZE_LINEAR, DequantizeAttributes
from pyruntime.ops.unary import HARD_SWISH, RELU, SIGMOID
from pyruntime.passes.pipeline import optimize
from tests.passes.build import Builder, operators, run

IMAGE = (2, 3, 8, 8)
SCALE = 0.05  # of every quantised activation here


def sample(shape: tuple[int, ...] = IMAGE) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def check(graph: Graph, expected: list[str], x: np.ndarray, share: float = 0.01) -> Graph:
    """The optimised graph has these operators and differs by one quantum at few places."""
    after = optimize(graph)
    verify(after)
    assert operators(after) == expected
    difference = np.abs(run(after, x) - run(graph, x))
    assert difference.max() <= SCALE * 1.01
    assert np.mean(difference > SCALE / 2) <= share
    return after


def conv(b: Builder, x, channels: int = 4):
    w = b.quantized_weights((channels, int(x.dims[1]), 3, 3), 0)
    return b.node(CONV, ConvAttributes(pads=(1, 1, 1, 1)), x, w, b.constant(channels)).outputs[0]


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_conv_chain_with_relu_stays_integer(kind: str) -> None:
    b = Builder(IMAGE)
    middle = 3 if kind == "int8" else 131
    low = -128 if kind == "int8" else 0
    x = b.fake_quantize(b.x, SCALE, middle, kind)
    y = b.fake_quantize(b.node(RELU, None, conv(b, x)).outputs[0], SCALE, low, kind)
    y = b.fake_quantize(conv(b, y), SCALE, middle, kind)
    graph = b.output(y)
    after = check(graph, ["QuantizeLinear", "QConv", "QConv", "DequantizeLinear"], sample())
    assert all(v.dtype is DType.S8 for v in (node.outputs[0] for node in after.nodes[:-1]))
    assert after.nodes[1].attributes.q_lo == -128


def test_unsigned_graph_output_gets_its_sign_back() -> None:
    b = Builder(IMAGE)
    x = b.fake_quantize(b.x, SCALE, 131, "uint8")
    y = b.fake_quantize(conv(b, x), SCALE, 120, "uint8")
    assert y.producer is not None
    graph = b.output(y.producer.inputs[0])
    after = optimize(graph)
    assert operators(after) == ["QuantizeLinear", "QConv", "CastSign"]
    difference = run(after, sample()).astype(int) - run(graph, sample()).astype(int)
    assert np.abs(difference).max() <= 1


def test_residual_block_keeps_the_shortcut_fused() -> None:
    b = Builder(IMAGE)
    x = b.fake_quantize(b.x, SCALE, 0)
    total = b.node(ADD, None, conv(b, x, 3), x).outputs[0]
    graph = b.output(b.fake_quantize(b.node(RELU, None, total).outputs[0], SCALE, -128))
    after = check(graph, ["QuantizeLinear", "QConv", "DequantizeLinear"], sample())
    assert len(after.nodes[1].inputs) == 6


def test_add_and_multiply_between_quantised_values() -> None:
    b = Builder(IMAGE)
    x = b.fake_quantize(b.x, SCALE, 1)
    left = b.fake_quantize(conv(b, x, 3), SCALE, 2)
    added = b.node(RELU, None, b.node(ADD, None, left, x).outputs[0]).outputs[0]
    y = b.fake_quantize(added, SCALE, -100)
    graph = b.output(b.fake_quantize(b.node(MUL, None, y, x).outputs[0], SCALE, 0))
    after = check(
        graph, ["QuantizeLinear", "QConv", "QBinary", "QBinary", "DequantizeLinear"], sample()
    )
    assert after.nodes[2].attributes.q_lo == -100


@pytest.mark.parametrize("function", [SIGMOID, HARD_SWISH, RELU])
def test_function_becomes_a_table(function) -> None:
    b = Builder(IMAGE)
    x = b.fake_quantize(b.x, SCALE, 5)
    y = b.fake_quantize(b.node(function, None, x).outputs[0], SCALE, -60)
    graph = b.output(y)
    after = check(graph, ["QuantizeLinear", "Lookup", "DequantizeLinear"], sample(), share=0.0)
    np.testing.assert_array_equal(run(after, sample()), run(graph, sample()))


def test_pooling_flatten_and_matmul() -> None:
    b = Builder(IMAGE)
    x = b.fake_quantize(b.x, SCALE, -3)
    pooled = b.node(MAX_POOL, MAX_POOL.attributes(kernel=(2, 2), strides=(2, 2)), x).outputs[0]
    averaged = b.node(
        AVERAGE_POOL, AVERAGE_POOL.attributes(kernel=(2, 2), strides=(1, 1)), pooled
    ).outputs[0]
    y = b.fake_quantize(averaged, SCALE, 7)
    y = b.fake_quantize(
        b.node(GLOBAL_AVERAGE_POOL, GLOBAL_AVERAGE_POOL.attributes(), y).outputs[0], SCALE, 0
    )
    flat = b.node(FLATTEN, FLATTEN.attributes(axis=1), y).outputs[0]
    w = b.quantized_weights((3, 5), 1)
    graph = b.output(b.node(MATMUL, MatMulAttributes(), flat, w).outputs[0])
    after = optimize(graph)
    verify(after)
    assert operators(after)[-2:] == ["Flatten", "QMatMul"]
    assert "DequantizeLinear" not in operators(after)
    # Means of equal scales are full of ties, where the float graph rounds by its own noise: up to
    # a quantum of 0.05 times weights of up to 1.27.
    np.testing.assert_allclose(run(after, sample()), run(graph, sample()), atol=0.1)


def test_concat_of_different_scales_requantises() -> None:
    b = Builder(IMAGE)
    left = b.fake_quantize(b.x, SCALE, 0)
    right = b.fake_quantize(b.x, SCALE * 0.7, 9)
    both = b.node(CONCAT, CONCAT.attributes(axis=1), left, right).outputs[0]
    graph = b.output(b.fake_quantize(both, SCALE, 0))
    expected = ["QuantizeLinear", "QuantizeLinear", "Requantize", "Concat", "DequantizeLinear"]
    check(graph, expected, sample())


def test_sums_that_could_leave_32_bits_stay_in_float() -> None:
    b = Builder((1, 140_000))
    x = b.fake_quantize(b.x, SCALE, 0)
    w = b.graph.constant(np.full((140_000, 1), 127, np.int8))
    scale = b.graph.constant(np.array(0.001, np.float32))
    weights = b.node(DEQUANTIZE_LINEAR, DequantizeAttributes(), w, scale).outputs[0]
    graph = b.output(b.node(MATMUL, MatMulAttributes(), x, weights).outputs[0])
    assert "QMatMul" not in operators(optimize(graph))


def test_scale_per_row_of_matmul_weights_is_not_an_output_scale() -> None:
    b = Builder((2, 6))
    x = b.fake_quantize(b.x, SCALE, 0)
    w = b.quantized_weights((6, 4), 0)  # along K: cannot leave the sum
    graph = b.output(b.node(MATMUL, MatMulAttributes(), x, w).outputs[0])
    after = optimize(graph)
    assert "QMatMul" not in operators(after)
    np.testing.assert_allclose(run(after, sample((2, 6))), run(graph, sample((2, 6))), rtol=1e-5)


@pytest.mark.parametrize("operator", [QLINEAR_CONV, QLINEAR_MATMUL])
def test_qlinear_gives_the_same_bytes(operator: Operator) -> None:
    converted = 0
    for case in operator.cases:
        graph = Graph()
        values: list[Value | None] = []
        for index, array in enumerate(case.inputs):
            value = None if array is None else graph.constant(array)
            if index == 0 and value is not None:
                value.constant = None
                value.name = "x"
                graph.inputs.append(value)
            values.append(value)
        graph.outputs.append(graph.append(operator, case.attributes, values).outputs[0])
        graph.output_names.append("y")
        after = optimize(graph)
        verify(after)
        x = case.inputs[0]
        assert x is not None
        np.testing.assert_array_equal(run(after, x), run(graph, x), err_msg=case.name)
        converted += any(name in ("QConv", "QMatMul") for name in operators(after))
    assert converted >= 2


@pytest.mark.parametrize(
    ("x_scale", "w_scale", "y_scale"), [(1e-25, 1e-20, 1e-3), (1e20, 1e20, 1e-10)]
)
def test_scale_that_is_no_normal_float_stays_in_float(
    x_scale: float, w_scale: float, y_scale: float
) -> None:
    """The loader refuses such scales, so no integer step may ask for one."""
    b = Builder((2, 4))
    x = b.fake_quantize(b.x, x_scale, 0)
    w = b.graph.constant(b.random.integers(-127, 128, (4, 3)).astype(np.int8))
    scale = b.graph.constant(np.array(w_scale, np.float32))
    weights = b.node(DEQUANTIZE_LINEAR, DequantizeAttributes(), w, scale).outputs[0]
    y = b.node(MATMUL, MatMulAttributes(), x, weights).outputs[0]
    total = b.node(ADD, None, b.fake_quantize(y, y_scale, 0), b.fake_quantize(y, 1e-38, 1))
    graph = b.output(b.fake_quantize(total.outputs[0], 1e30, 0))
    after = optimize(graph)
    verify(after)
    assert not {"QMatMul", "QBinary", "Requantize"} & set(operators(after))

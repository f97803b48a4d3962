"""Fusion passes: what the graph becomes, and that it computes the same."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from pyruntime.errors import ArgumentError
from pyruntime.graph import DType
from pyruntime.graph.verify import verify
from pyruntime.ops import Operator
from pyruntime.ops.activations import HARD_SIGMOID
from pyruntime.ops.batch_normalization import BATCH_NORMALIZATION, BatchNormalizationAttributes
from pyruntime.ops.binary import ADD, DIV, MUL, POW, SUB
from pyruntime.ops.clip import CLIP
from pyruntime.ops.constant_of_shape import CONSTANT_OF_SHAPE, ConstantOfShapeAttributes
from pyruntime.ops.conv_transpose import CONV_TRANSPOSE, ConvTransposeAttributes
from pyruntime.ops.identity import IDENTITY
from pyruntime.ops.matmul import MATMUL, MatMulAttributes
from pyruntime.ops.reduce import REDUCE_MEAN, ReduceAttributes
from pyruntime.ops.unary import ERF, RELU, SIGMOID, SQRT, TANH
from pyruntime.passes.common_subexpressions import COMMON_SUBEXPRESSIONS
from pyruntime.passes.pipeline import optimize, optimize_float, run_passes
from tests.passes.build import Builder, operators, run

IMAGE = (2, 3, 6, 5)


def sample(shape: tuple[int, ...] = IMAGE) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def same(before, after, x: np.ndarray, tolerance: float = 1e-5) -> None:
    verify(after)
    np.testing.assert_allclose(run(after, x), run(before, x), rtol=tolerance, atol=tolerance)


def batch_normalization(b: Builder, value, channels: int):
    parameters = [b.constant(channels), b.constant(channels), b.constant(channels)]
    variance = b.constant(channels, low=0.5, high=2.0)
    attributes = BatchNormalizationAttributes(epsilon=1e-3)
    return b.node(BATCH_NORMALIZATION, attributes, value, *parameters, variance).outputs[0]


def test_conv_batchnorm_shortcut_relu_is_one_node() -> None:
    b = Builder(("N", 3, 6, 5))
    shortcut = b.conv(b.x, 4, 1, 0, name="shortcut")
    main = batch_normalization(b, b.conv(b.x, 4, name="main"), 4)
    total = b.node(ADD, None, main, shortcut).outputs[0]
    graph = b.output(b.node(RELU, None, total).outputs[0])
    after = optimize_float(graph)
    assert operators(after) == ["Conv", "Conv"]
    assert (after.nodes[-1].attributes.lo, after.nodes[-1].attributes.hi) == (0.0, inf)
    assert len(after.nodes[-1].inputs) == 4
    same(graph, after, sample())
    assert operators(graph) == ["Conv", "Conv", "BatchNormalization", "Add", "Relu"], (
        "input changed"
    )


@pytest.mark.parametrize("group", [1, 3])
def test_conv_transpose_takes_scale_shift_and_relu(group: int) -> None:
    b = Builder(IMAGE)
    attributes = ConvTransposeAttributes(strides=(2, 2), group=group)
    y = b.node(CONV_TRANSPOSE, attributes, b.x, b.constant(3, 2, 2, 2)).outputs[0]
    y = b.node(ADD, None, y, b.constant(2 * group, 1, 1)).outputs[0]
    y = batch_normalization(b, y, 2 * group)
    graph = b.output(b.node(RELU, None, y).outputs[0])
    after = optimize_float(graph)
    assert operators(after) == ["ConvTranspose"]
    same(graph, after, sample())


@pytest.mark.parametrize("operator", [ADD, SUB, MUL, DIV])
@pytest.mark.parametrize("constant_first", [False, True])
def test_per_channel_constant_folds_into_conv(operator, constant_first: bool) -> None:
    b = Builder(IMAGE)
    y = b.conv(b.x, 4)
    c = b.constant(4, 1, 1, low=0.5, high=2.0)
    inputs = (c, y) if constant_first else (y, c)
    graph = b.output(b.node(operator, None, *inputs).outputs[0])
    after = optimize_float(graph)
    folds = not (operator is DIV and constant_first)  # c / conv(x) is not affine
    assert operators(after) == (["Conv"] if folds else ["Conv", "Div"])
    same(graph, after, sample())


def test_constant_that_varies_along_width_stays() -> None:
    b = Builder(IMAGE)
    graph = b.output(b.node(MUL, None, b.conv(b.x, 4), b.constant(5)).outputs[0])
    after = optimize_float(graph)
    assert operators(after) == ["Conv", "Mul"]
    same(graph, after, sample())


def test_matmul_add_becomes_bias_and_relu6_a_clip() -> None:
    b = Builder(("N", 7))
    y = b.node(ADD, None, b.constant(5), b.matmul(b.x, 5)).outputs[0]
    six = b.graph.constant(np.array(6, np.float32))
    zero = b.graph.constant(np.array(0, np.float32))
    graph = b.output(b.node(CLIP, None, y, zero, six).outputs[0])
    after = optimize_float(graph)
    assert operators(after) == ["MatMul"]
    assert (after.nodes[0].attributes.lo, after.nodes[0].attributes.hi) == (0.0, 6.0)
    same(graph, after, sample((3, 7)) * 5)


def test_value_used_twice_is_not_fused() -> None:
    b = Builder(IMAGE)
    y = b.conv(b.x, 4)
    relu = b.node(RELU, None, y).outputs[0]
    graph = b.output(b.node(ADD, None, relu, y).outputs[0])
    after = optimize_float(graph)
    assert operators(after) == ["Conv", "Relu", "Add"]
    same(graph, after, sample())


def test_output_of_the_graph_is_not_fused_away() -> None:
    b = Builder(IMAGE)
    y = b.conv(b.x, 4)
    graph = b.output(y, b.node(RELU, None, y).outputs[0])
    after = optimize_float(graph)
    assert operators(after) == ["Conv", "Relu"]
    same(graph, after, sample())


def test_shortcut_after_relu_is_not_an_epilogue() -> None:
    b = Builder(IMAGE)
    y = b.node(RELU, None, b.conv(b.x, 3)).outputs[0]
    graph = b.output(b.node(ADD, None, y, b.x).outputs[0])
    after = optimize_float(graph)
    assert operators(after) == ["Conv", "Add"]
    same(graph, after, sample())


@pytest.mark.parametrize("division", ["after", "before", "product"])
def test_hard_swish_in_pieces(division: str) -> None:
    b = Builder(IMAGE)
    three, six = (b.graph.constant(np.array(v, np.float32)) for v in (3, 6))
    zero = b.graph.constant(np.array(0, np.float32))
    gate = b.node(CLIP, None, b.node(ADD, None, b.x, three).outputs[0], zero, six).outputs[0]
    if division == "before":
        gate = b.node(DIV, None, gate, six).outputs[0]
    y = b.node(MUL, None, b.x, gate).outputs[0]
    if division == "after":
        y = b.node(DIV, None, y, six).outputs[0]
    if division == "product":
        y = b.node(MUL, None, y, b.graph.constant(np.array(1 / 6, np.float32))).outputs[0]
    graph = b.output(y)
    after = optimize_float(graph)
    assert operators(after) == ["HardSwish"]
    same(graph, after, sample() * 4)


@pytest.mark.parametrize("order", ["half last", "half first", "half of x"])
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_in_pieces(order: str, approximate: str) -> None:
    b = Builder((3, 8))

    def number(value: float):
        return b.graph.constant(np.asarray(value, np.float32))

    def node(operator, *inputs):
        return b.node(operator, None, *inputs).outputs[0]

    if approximate == "none":
        inner = node(ERF, node(DIV, b.x, number(np.sqrt(2))))
    else:
        cube = node(POW, b.x, number(3))
        total = node(ADD, b.x, node(MUL, cube, number(0.044715)))
        inner = node(TANH, node(MUL, number(np.sqrt(2 / np.pi)), total))
    factor = node(ADD, inner, number(1))
    if order == "half last":
        y = node(MUL, node(MUL, b.x, factor), number(0.5))
    elif order == "half first":
        y = node(MUL, b.x, node(MUL, number(0.5), factor))
    else:
        y = node(MUL, node(MUL, b.x, number(0.5)), factor)
    graph = b.output(y)
    after = optimize_float(graph)
    assert operators(after) == ["Gelu"]
    assert after.nodes[0].attributes.approximate == approximate
    same(graph, after, sample((3, 8)), 1e-6)


def test_another_factor_is_no_gelu() -> None:
    b = Builder((3, 8))
    constants = [b.graph.constant(np.asarray(v, np.float32)) for v in (np.sqrt(2), 1, 0.25)]
    inner = b.node(ERF, None, b.node(DIV, None, b.x, constants[0]).outputs[0]).outputs[0]
    factor = b.node(ADD, None, inner, constants[1]).outputs[0]
    product = b.node(MUL, None, b.x, factor).outputs[0]
    graph = b.output(b.node(MUL, None, product, constants[2]).outputs[0])
    assert "Gelu" not in operators(optimize_float(graph))


@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_in_pieces(affine: bool) -> None:
    b = Builder((4, 3, 16))
    axes = b.graph.constant(np.asarray([-1], np.int64))

    def node(operator, *inputs, attributes=None):
        return b.node(operator, attributes, *inputs).outputs[0]

    d = node(SUB, b.x, node(REDUCE_MEAN, b.x, axes, attributes=ReduceAttributes()))
    two = b.graph.constant(np.asarray(2, np.float32))
    square = node(REDUCE_MEAN, node(POW, d, two), axes, attributes=ReduceAttributes())
    epsilon = b.graph.constant(np.asarray(1e-3, np.float32))
    y = node(DIV, d, node(SQRT, node(ADD, square, epsilon)))
    if affine:
        y = node(ADD, node(MUL, y, b.constant(16)), b.constant(16))
    graph = b.output(y)
    after = optimize_float(graph)
    assert operators(after) == ["LayerNormalization"]
    same(graph, after, sample((4, 3, 16)), 1e-5)


def test_silu_in_pieces_and_gate_of_another_value() -> None:
    b = Builder(IMAGE)
    y = b.node(MUL, None, b.x, b.node(SIGMOID, None, b.x).outputs[0]).outputs[0]
    graph = b.output(y)
    assert operators(optimize_float(graph)) == ["Swish"]
    same(graph, optimize_float(graph), sample() * 4)
    b = Builder(IMAGE)
    gate = b.node(SIGMOID, None, b.conv(b.x, 3)).outputs[0]
    graph = b.output(b.node(MUL, None, b.x, gate).outputs[0])
    assert operators(optimize_float(graph)) == ["Conv", "Sigmoid", "Mul"]


def test_identities_and_equal_nodes_vanish() -> None:
    b = Builder(IMAGE)
    left = b.node(RELU, None, b.node(IDENTITY, None, b.x).outputs[0]).outputs[0]
    right = b.node(RELU, None, b.x).outputs[0]
    b.node(HARD_SIGMOID, HARD_SIGMOID.attributes(), right)  # nobody uses it
    graph = b.output(b.node(ADD, None, left, right).outputs[0])
    after = optimize_float(graph)
    assert operators(after) == ["Relu", "Add"]
    same(graph, after, sample())


def test_skip_and_unknown_pass() -> None:
    b = Builder(IMAGE)
    graph = b.output(b.node(RELU, None, b.conv(b.x, 4)).outputs[0])
    assert operators(optimize(graph, skip=["fuse_epilogue"])) == ["Conv", "Relu"]
    with pytest.raises(ArgumentError, match="fuse_all"):
        optimize(graph, skip=["fuse_all"])


@pytest.mark.parametrize("operator", [ADD, MUL])
@pytest.mark.parametrize("constant", ["scalar", "vector"])
def test_product_with_a_vector_has_no_channels(operator: Operator, constant: str) -> None:
    b = Builder((4, 4))
    y = b.node(MATMUL, MatMulAttributes(), b.x, b.constant(4)).outputs[0]
    c = b.constant(4) if constant == "vector" else b.graph.constant(np.array(2, np.float32))
    graph = b.output(b.node(RELU, None, b.node(operator, None, y, c).outputs[0]).outputs[0])
    after = optimize_float(graph)
    assert operators(after) == ["MatMul", operator.name, "Relu"]
    same(graph, after, sample((4, 4)))


def test_constants_that_differ_in_the_last_digit_are_not_merged() -> None:
    near = np.array([0.12345678901], np.float64)
    attributes = [ConstantOfShapeAttributes(value) for value in (near, np.nextafter(near, 1))]
    b = Builder((2,), DType.F64)
    size = b.graph.constant(np.array([2]))
    left, right = (b.node(CONSTANT_OF_SHAPE, a, size).outputs[0] for a in attributes)
    difference = b.node(SUB, None, left, right).outputs[0]
    graph = b.output(b.node(MUL, None, difference, b.x).outputs[0])
    run_passes(graph, [COMMON_SUBEXPRESSIONS])
    assert operators(graph).count("ConstantOfShape") == 2

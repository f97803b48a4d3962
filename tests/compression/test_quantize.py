"""Quantisation and its calibration on hand-built graphs."""

from __future__ import annotations

import numpy as np
import pytest

from pyruntime.compression.calibrate import Histogram, affine, choose_range
from pyruntime.compression.prune import prune
from pyruntime.compression.quantize import quantize, quantize_weights, store_fp16, store_int8
from pyruntime.errors import ArgumentError, DTypeError, ShapeError
from pyruntime.passes.pipeline import optimize
from tests.compression.networks import network, operators, samples, signal_to_noise, weights
from tests.passes.build import Builder


@pytest.mark.parametrize("method", ["minmax", "mse", "percentile"])
def test_static_quantisation_makes_an_integer_graph(method: str) -> None:
    graph = network()
    quantized, record = quantize(graph, samples(), method=method)
    assert [row.bits for row in record.layers] == [8, 8, 8]
    assert signal_to_noise(graph, quantized, samples()) > 25
    after = optimize(quantized)
    assert operators(after) == ["QuantizeLinear", "QConv", "QConv", "Flatten", "QMatMul"]
    assert signal_to_noise(graph, after, samples()) > 25


def test_pruned_zeros_survive_quantisation() -> None:
    pruned, _ = prune(network(), sparsity=0.9)
    after = optimize(quantize(pruned, samples())[0])
    for name in ("first", "second", "last"):
        assert np.all(weights(after, name)[weights(pruned, name) == 0] == 0)
        assert np.mean(weights(after, name) == 0) < 0.95


def test_all_zero_channel_with_bias_keeps_the_bias() -> None:
    graph = network()
    w = next(node for node in graph.nodes if node.name == "first").inputs[1]
    assert w is not None
    assert w.constant is not None
    w.constant = w.constant.copy()
    w.constant[3] = 0
    after = optimize(quantize(graph, samples())[0])
    assert signal_to_noise(graph, after, samples()) > 25


def test_weight_scales_cover_extremes() -> None:
    w = np.array([[1e-30, 0.0], [127.0, -127.0], [0.0, 0.0]], np.float32)
    found = quantize_weights(w, 0)
    assert np.all(found.scale >= np.finfo(np.float32).tiny)
    np.testing.assert_array_equal(found.q[1], [127, -127])
    np.testing.assert_array_equal(found.q[2], [0, 0])


@pytest.mark.parametrize(("store", "least"), [(store_int8, 30.0), (store_fp16, 55.0)])
def test_weight_only_storage_is_what_the_graph_computes_with(store, least: float) -> None:
    graph = network()
    stored, record = store(graph)
    assert record.bytes_after < record.bytes_before
    assert signal_to_noise(graph, stored, samples()) > least
    value = next(node for node in stored.nodes if node.name == "second").inputs[1]
    assert value is not None
    assert value.storage is not None
    back = value.storage.stored.astype(np.float32)
    if value.storage.scale is not None:
        back = back * value.storage.scale.reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(back, weights(stored, "second"))


def test_without_calibration_only_weights_and_it_says_so() -> None:
    _, record = quantize(network(), None)
    assert {row.method for row in record.layers} == {"int8 weights"}
    assert "calibration" in record.notes[0]


def test_histogram_grows_without_losing_counts() -> None:
    histogram = Histogram()
    random = np.random.default_rng(0)
    for scale in (1, 30, 0.1, 4):
        histogram.add(random.normal(size=1000) * scale)
    assert histogram.samples == histogram.counts.sum() == 4000
    wide, tight = choose_range(histogram, "minmax"), choose_range(histogram, "mse")
    assert tight.scale <= wide.scale
    with pytest.raises(ArgumentError, match="entropy"):
        choose_range(histogram, "entropy")


def test_affine_holds_zero_exactly() -> None:
    for low, high in ((0.5, 2.0), (-3.0, -1.0), (-1.0, 1.0), (0.0, 0.0)):
        found = affine(low, high)
        assert -128 <= found.zero_point <= 127
        assert found.scale > 0


def _with_nan() -> np.ndarray:
    x = samples()
    x[3, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (samples().transpose(0, 2, 3, 1), ShapeError, "NHWC"),
        (samples() * 0 + 0.5, ArgumentError, "constant"),
        (np.round(samples() * 255), ArgumentError, "0..255"),
        (_with_nan(), ArgumentError, "NaN"),
        (samples().astype(np.float64), DTypeError, "float64"),
        (samples()[:0], ArgumentError, "empty"),
        ({"y": samples()}, ArgumentError, "missing inputs"),
    ],
)
def test_bad_calibration_is_named(data, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        quantize(network(), data)


def test_stated_range_is_held_against_the_data() -> None:
    raw = np.round(samples() * 255)
    quantize(network(), raw, input_range=(0, 255))
    with pytest.raises(ArgumentError, match=r"expected 0\.\.1"):
        quantize(network(), raw, input_range=(0, 1))
    with pytest.raises(ArgumentError, match="twice"):
        quantize(network(), samples() / 255, input_range=(0, 1))


def test_fewer_samples_than_a_fixed_batch() -> None:
    b = Builder((8, 3, 6, 6))
    with pytest.raises(ArgumentError, match="8 samples at a time"):
        quantize(b.output(b.conv(b.x, 4)), samples(5))


def test_few_samples_warn() -> None:
    _, record = quantize(network(), samples(2))
    assert "2 calibration samples" in record.notes[0]

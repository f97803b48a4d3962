"""8-bit quantisation: static (weights and activations), weights only; half-precision storage.

Static quantisation writes QuantizeLinear/DequantizeLinear pairs into the graph, as ONNX does, so
the result means the same to every tool; the passes then turn them into integer operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.compression._layers import WEIGHT_INPUT, Layer, layers, stored_bytes, zero_share
from pyruntime.compression._regions import integer_regions
from pyruntime.compression.calibrate import (
    Quantization,
    RangeMethod,
    Run,
    choose_range,
    gather,
    iterate_samples,
    reference_run,
)
from pyruntime.compression.check_data import checked_samples
from pyruntime.compression.record import LayerRecord, Record, relative_error
from pyruntime.graph import DType, Graph, Node, Storage, Value
from pyruntime.ops.quantize_linear import (
    DEQUANTIZE_LINEAR,
    QUANTIZE_LINEAR,
    DequantizeAttributes,
    QuantizeAttributes,
)
from pyruntime.passes.pipeline import optimize_float

BIAS_INPUT = 2
FP16_MAX = 65504.0

# |bias| / scale must stay well inside int32, with room for the products: 2^29.
_MAX_BIAS_STEPS = float(1 << 29)
# A channel of tiny weights beside a large one gains nothing from a scale this much finer.
_SMALLEST_CHANNEL = 1e-6


@dataclass(frozen=True, slots=True)
class QuantizedWeights:
    """s8 weights in [-127, 127] and one scale per output channel: w = q * scale."""

    q: NDArray[np.int8]
    scale: NDArray[np.float32]
    axis: int

    def dequantize(self) -> NDArray[np.float32]:
        """The weights that the integers stand for."""
        shape = [1] * self.q.ndim
        shape[self.axis] = -1
        result: NDArray[np.float32] = self.q.astype(np.float32) * self.scale.reshape(shape)
        return result


def quantize_weights(
    weights: NDArray[np.float32], axis: int, smallest: NDArray[np.float64] | float = 0.0
) -> QuantizedWeights:
    """Symmetric, per output channel: scale = max |w| / 127, at least `smallest`."""
    others = tuple(i for i in range(weights.ndim) if i != axis)
    largest = np.max(np.abs(weights), axis=others, initial=0.0).astype(np.float64)
    overall = float(largest.max(initial=0.0)) or 1.0
    scale64 = np.maximum(np.maximum(largest, overall * _SMALLEST_CHANNEL) / 127.0, smallest)
    scale = np.maximum(scale64.astype(np.float32), np.finfo(np.float32).tiny)
    shape = [1] * weights.ndim
    shape[axis] = -1
    q = np.clip(np.rint(weights / scale.reshape(shape)), -127, 127).astype(np.int8)
    return QuantizedWeights(q, scale, axis)


def quantize(
    graph: Graph,
    calibration: Any = None,
    *,
    method: RangeMethod = "mse",
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    input_range: tuple[float, float] | None = None,
    batch: int = 16,
    run: Run = reference_run,
) -> tuple[Graph, Record]:
    """Static int8: s8 weights per output channel, s8 activations per tensor with calibrated ranges.

    Args:
        graph: left as it is; the result is a copy, with Q/DQ pairs.
        calibration: samples (see `iterate_samples`), read once. None: only the weights are
            quantised.
        method: how ranges are chosen: "mse", "minmax" or "percentile".
        percentile: for that method.
        exclude: names of layers that stay in float.
        input_range: what float inputs should lie in, to check the calibration data against.
        batch: samples per calibration run.
        run: how to run a graph for values by name.

    Returns:
        The graph and a record with one row per layer.

    Raises:
        ArgumentError, ShapeError, DTypeError: bad calibration data; the message says which and how
        to mend it.
    """
    if calibration is None:
        quantized, record = store_int8(graph, exclude=exclude)
        return quantized, record.with_notes(
            "no calibration data: only the weights are 8-bit; with about 100 samples "
            "activations become 8-bit too, which is what makes it faster"
        )
    quantized = optimize_float(graph)
    chosen = list(layers(quantized, exclude=exclude))
    regions = integer_regions(quantized, [layer.node for layer in chosen])
    warnings: list[str] = []
    samples = checked_samples(
        quantized, iterate_samples(quantized, calibration, batch), input_range, warnings
    )
    histograms = gather(quantized, samples, [value.name for value in regions.values], run)
    parameters: dict[int, Quantization] = {}
    for group in regions.groups():
        merged = regions.merge([histograms[value.name] for value in group])
        shared = choose_range(merged, method, percentile)
        parameters.update((id(value), shared) for value in group)
    rows = [_quantize_layer(quantized, layer, parameters) for layer in chosen]
    for value in regions.values:
        _insert_pair(quantized, value, parameters[id(value)], regions.users(value))
    return quantized, Record(tuple(rows), tuple(warnings))


def _smallest_scale(layer: Layer, input_scale: float) -> NDArray[np.float64] | float:
    inputs = layer.node.inputs
    bias = inputs[BIAS_INPUT] if len(inputs) > BIAS_INPUT else None
    if bias is None or bias.constant is None:
        return 0.0
    smallest: NDArray[np.float64] = np.abs(bias.constant.astype(np.float64).reshape(-1)) / (
        input_scale * _MAX_BIAS_STEPS
    )
    return smallest


def _quantize_layer(graph: Graph, layer: Layer, parameters: dict[int, Quantization]) -> LayerRecord:
    source = layer.node.inputs[0]
    assert source is not None
    before = layer.weights
    smallest = _smallest_scale(layer, float(parameters[id(source)].scale))
    weights = quantize_weights(before, layer.output_axis, smallest)
    pair = graph.make(
        DEQUANTIZE_LINEAR,
        DequantizeAttributes(axis=layer.output_axis),
        [
            graph.constant(weights.q, f"{layer.value.name}.q"),
            graph.constant(weights.scale, f"{layer.value.name}.scale"),
        ],
        [f"{layer.value.name}.dequantized"],
        f"{layer.name}.weights",
    )
    graph.nodes.insert(graph.nodes.index(layer.node), pair)
    layer.node.inputs[WEIGHT_INPUT] = pair.outputs[0]
    return LayerRecord(
        layer.name,
        layer.node.operator.name,
        "int8",
        bytes_before=before.nbytes,
        bytes_after=stored_bytes(weights.q) + weights.scale.nbytes,
        error=relative_error(weights.dequantize(), before),
        sparsity=zero_share(weights.q),
        bits=8,
    )


def _insert_pair(
    graph: Graph, value: Value, parameters: Quantization, users: Sequence[tuple[Node, int]]
) -> None:
    scale = graph.constant(np.array(parameters.scale, np.float32), f"{value.name}.scale")
    zero_point = graph.constant(
        np.array(parameters.zero_point, np.int8), f"{value.name}.zero_point"
    )
    down = graph.make(
        QUANTIZE_LINEAR,
        QuantizeAttributes(out=DType.S8),
        [value, scale, zero_point],
        [f"{value.name}.q"],
        f"{value.name}.quantize",
    )
    up = graph.make(
        DEQUANTIZE_LINEAR,
        DequantizeAttributes(),
        [down.outputs[0], scale, zero_point],
        [f"{value.name}.dq"],
        f"{value.name}.dequantize",
    )
    place = 0 if value.producer is None else graph.nodes.index(value.producer) + 1
    graph.nodes[place:place] = [down, up]
    for node, index in users:
        node.inputs[index] = up.outputs[0]


def store_int8(graph: Graph, *, exclude: Sequence[str] = ()) -> tuple[Graph, Record]:
    """8-bit weights, one scale per output channel, in the file; the arithmetic stays in float."""
    return _store(graph, exclude, "int8 weights", 8)


def store_fp16(graph: Graph, *, exclude: Sequence[str] = ()) -> tuple[Graph, Record]:
    """Half-precision weights in the file; the arithmetic stays in float32."""
    return _store(graph, exclude, "fp16", 16)


def _store(graph: Graph, exclude: Sequence[str], method: str, bits: int) -> tuple[Graph, Record]:
    stored = optimize_float(graph)
    rows = []
    for layer in layers(stored, exclude=exclude):
        before = layer.weights
        note = ""
        if bits == 8:
            weights = quantize_weights(before, layer.output_axis)
            value = layer.set_weights(stored, weights.dequantize())
            value.storage = Storage("scaled", weights.q, weights.scale, layer.output_axis)
            after = stored_bytes(weights.q) + weights.scale.nbytes
        else:
            half = np.clip(before, -FP16_MAX, FP16_MAX).astype(np.float16)
            if np.abs(before).max(initial=0.0) > FP16_MAX:
                note = "weights beyond 65504 were clipped"
            value = layer.set_weights(stored, half.astype(np.float32))
            value.storage = Storage("f16", half)
            after = stored_bytes(half)
        assert value.constant is not None
        rows.append(
            LayerRecord(
                layer.name,
                layer.node.operator.name,
                method,
                bytes_before=before.nbytes,
                bytes_after=after,
                error=relative_error(value.constant, before),
                sparsity=zero_share(value.constant),
                bits=bits,
                note=note,
            )
        )
    return stored, Record(tuple(rows))

"""An int8 autoencoder of ten dense layers, batch 1: so little work that calls and steps show."""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import pyruntime as rt
from benchmarks import litert, peers
from benchmarks.peers import Array, Model, Subject

SIZES = (640, 128, 128, 128, 8, 128, 128, 128, 640)
Layers = list[tuple[Array, np.float32]]


@functools.cache
def network() -> tuple[Array, Layers]:
    """Input [1, 640] s8, and for each layer w [K, N] s8 and the scale of its products."""
    random = np.random.default_rng(0)
    x = np.clip(np.rint(random.normal(scale=32, size=(1, SIZES[0]))), -127, 127).astype(np.int8)
    layers = []
    for K, N in pairwise(SIZES):
        w = np.clip(np.rint(random.normal(scale=32, size=(K, N))), -127, 127).astype(np.int8)
        layers.append((w, np.float32(40 / (32 * 32 * np.sqrt(K)))))
    return x, layers


def expected() -> Array:
    """Relu between layers, none behind the last."""
    x, layers = network()
    y = x.astype(np.float64)
    for index, (w, scale) in enumerate(layers):
        last = index == len(layers) - 1
        y = np.clip(np.rint((y @ w) * scale), -128 if last else 0, 127)
    return y


def onnx_model() -> Model:
    """Dequantise, multiply, Relu, quantise: s8 to s8."""
    x, layers = network()
    nodes: list[tuple[str, list[str], str]] = []
    constants: dict[str, Array] = {"one": np.float32(1), "zero": np.int8(0)}
    value = "a"
    for index, (w, scale) in enumerate(layers):
        constants |= {f"w{index}": w, f"s{index}": np.asarray(1 / scale, np.float32)}
        nodes += [
            ("DequantizeLinear", [value, "one", "zero"], f"a{index}"),
            ("DequantizeLinear", [f"w{index}", "one", "zero"], f"v{index}"),
            ("MatMul", [f"a{index}", f"v{index}"], f"p{index}"),
        ]
        product = f"p{index}"
        if index < len(layers) - 1:
            nodes.append(("Relu", [product], f"r{index}"))
            product = f"r{index}"
        value = "y" if index == len(layers) - 1 else f"q{index}"
        nodes.append(("QuantizeLinear", [product, f"s{index}", "zero"], value))
    return peers.onnx_chain(nodes, {"a": ("INT8", x.shape)}, constants, ("INT8", (1, SIZES[-1])))


def by_litert() -> Subject:
    x, layers = network()
    graph = litert.Builder.new()
    start = value = graph.tensor("int8", x.shape, 1.0)
    for index, (w, scale) in enumerate(layers):
        scales = np.full(w.shape[1], scale)
        value = litert.append_dense(graph, value, 1, w, scales, relu=index < len(layers) - 1)
    return litert.subject(graph.finish([start], [value]), x)


def by_pyruntime(way: str) -> Subject:
    x, _ = network()
    data = rt.compile(rt.import_onnx(onnx_model()))
    assert data is not None
    subject = peers.own_model(data, {"a": x})
    if way == "pyruntime":
        return subject
    session = rt.Session(data, threads=1)
    return Subject(lambda: session.run({"a": x}), subject.result, subject.info)


@pytest.mark.parametrize("name", ["pyruntime", "pyruntime-run", "litert", "onnxruntime"])
def bench_autoencoder(benchmark: Any, name: str) -> None:
    if name == "litert":
        subject = by_litert()
    elif name == "onnxruntime":
        subject = peers.onnxruntime_model(onnx_model(), {"a": network()[0]})
    else:
        subject = by_pyruntime(name)
    peers.measure(
        benchmark,
        subject,
        group="autoencoder-640",
        expected=expected(),
        tolerance=4.0,  # a sum close to a half, rounded up or down, goes through the other layers
        subject=name,
        dtype="s8",
    )

"""LSTM and GRU layers, f32, batch 1 and 16: all their time steps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pyruntime as rt
from benchmarks import engines, peers
from benchmarks.peers import Array, Model, Subject


@dataclass(frozen=True, slots=True)
class Layer:
    """T steps of N sequences, I inputs, H hidden units in each direction."""

    kind: str  # ONNX's name
    T: int
    N: int
    I: int  # noqa: E741 (as in ONNX's documentation)
    H: int
    both: bool = False

    @property
    def directions(self) -> int:
        return 2 if self.both else 1

    @property
    def gates(self) -> int:
        return 4 if self.kind == "LSTM" else 3

    @property
    def operations(self) -> int:
        weights = self.directions * self.gates * self.H * (self.I + self.H)
        return 2 * self.T * self.N * weights

    def __str__(self) -> str:
        both = "-both" if self.both else ""
        return f"{self.kind.lower()}{both}-T{self.T}-N{self.N}-I{self.I}-H{self.H}"


# A speech model's layer, a detector's single step, a text reader's two directions, a batch.
LAYERS = (
    Layer("LSTM", 100, 1, 128, 128),
    Layer("LSTM", 1, 1, 128, 128),
    Layer("LSTM", 40, 1, 96, 96, both=True),
    Layer("LSTM", 50, 16, 64, 256),
    Layer("GRU", 100, 1, 128, 128),
    Layer("GRU", 40, 1, 96, 96, both=True),
)


@functools.lru_cache(maxsize=1)
def operands(layer: Layer) -> tuple[Array, Array, Array, Array]:
    """Gives x [T, N, I], w [D, G*H, I], r [D, G*H, H], b [D, 2*G*H] (ONNX's order of gates)."""
    random = np.random.default_rng(layer.H + layer.T)
    D, rows = layer.directions, layer.gates * layer.H
    x = random.normal(size=(layer.T, layer.N, layer.I)).astype(np.float32)
    bound = 1 / np.sqrt(layer.H)
    w, r, b = (
        random.uniform(-bound, bound, size=dims).astype(np.float32)
        for dims in ((D, rows, layer.I), (D, rows, layer.H), (D, 2 * rows))
    )
    return x, w, r, b


def model(layer: Layer) -> Model:
    x, w, r, b = operands(layer)
    attributes: dict[str, Any] = {
        "hidden_size": layer.H,
        "direction": "bidirectional" if layer.both else "forward",
    }
    if layer.kind == "GRU":
        attributes["linear_before_reset"] = 1  # as torch's
    dims = (layer.T, layer.directions, layer.N, layer.H)
    ends = {"a": ("FLOAT", x.shape)}, ("FLOAT", dims)
    nodes = [(layer.kind, ["a", "w", "r", "b"], "y")]
    weights = {"w": w, "r": r, "b": b}
    return peers.onnx_chain(nodes, ends[0], weights, ends[1], {layer.kind: attributes})


def pyruntime(layer: Layer) -> Subject:
    data = rt.compile(rt.import_onnx(model(layer)))
    assert data is not None
    return peers.own_model(data, {"a": operands(layer)[0]})


def onnxruntime(layer: Layer) -> Subject:
    return peers.onnxruntime_model(model(layer), {"a": operands(layer)[0]})


def openvino(layer: Layer) -> Subject:
    return engines.openvino_model(model(layer), {"a": operands(layer)[0]})


def torch(layer: Layer) -> Subject:
    found = engines.torch_module()
    x, *parameters = operands(layer)
    # torch: input, forget, cell, output; reset, update, new. ONNX: i, o, f, c; z, r, h.
    order = (0, 2, 3, 1) if layer.kind == "LSTM" else (1, 0, 2)
    made = getattr(found.nn, layer.kind)(layer.I, layer.H, bidirectional=layer.both).eval()
    w, r, b = parameters

    def reordered(array: Array) -> Any:
        parts = array.reshape(layer.gates, layer.H, -1)[list(order)]
        return found.from_numpy(np.ascontiguousarray(parts.reshape(array.shape)))

    with found.no_grad():
        for d in range(layer.directions):
            end = "_reverse" if d else ""
            half = layer.gates * layer.H
            for name, array in (
                ("weight_ih", w[d]),
                ("weight_hh", r[d]),
                ("bias_ih", b[d][:half]),
                ("bias_hh", b[d][half:]),
            ):
                getattr(made, f"{name}_l0{end}").copy_(reordered(array))
    held = found.from_numpy(x)
    subject = engines.torch_call(lambda: made(held)[0])
    dims = (layer.T, layer.N, layer.directions, layer.H)
    return Subject(
        subject.run, lambda: subject.result().reshape(dims).transpose(0, 2, 1, 3), subject.info
    )


SUBJECTS: dict[str, Callable[[Layer], Subject]] = {
    "pyruntime": pyruntime,
    "torch": torch,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm_cell(x: Array, h: Array, c: Array, r: Array, b: Array) -> tuple[Array, Array]:
    i, o, f, g = np.split(x + h @ r.T + b, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_cell(x: Array, h: Array, c: Array, r: Array, b: Array) -> tuple[Array, Array]:
    z, reset, new = np.split(x, 3, axis=1)
    z_h, reset_h, new_h = np.split(h @ r.T + b, 3, axis=1)
    z = sigmoid(z + z_h)
    return (1 - z) * np.tanh(new + sigmoid(reset + reset_h) * new_h) + z * h, c


@functools.lru_cache(maxsize=1)
def expected(layer: Layer) -> Array:
    """[T, D, N, H] in float64."""
    x, w, r, b = (array.astype(np.float64) for array in operands(layer))
    cell = lstm_cell if layer.kind == "LSTM" else gru_cell
    y = np.zeros((layer.T, layer.directions, layer.N, layer.H))
    for d in range(layer.directions):
        h = c = np.zeros((layer.N, layer.H))
        b_x, b_h = np.split(b[d], 2)
        for t in range(layer.T)[:: -1 if d else 1]:
            h, c = cell(x[t] @ w[d].T + b_x, h, c, r[d], b_h)
            y[t, d] = h
    return y


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def bench_recurrent(benchmark: Any, layer: Layer, name: str) -> None:
    peers.measure(
        benchmark,
        SUBJECTS[name](layer),
        group=str(layer),
        operations=layer.operations,
        expected=expected(layer),
        tolerance=1e-5,
        subject=name,
        dtype="f32",
    )

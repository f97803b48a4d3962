"""Negotiated forms change no byte: programs against their steps, run singly on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pyruntime import _core
from tests.runtime import pyrt_files as files

Array = np.ndarray[Any, Any]
NAMES = {"float32": "f32", "int8": "s8"}


@dataclass
class Net:
    """Builds a program and computes every value step by step on the way."""

    isa: str
    rng: np.random.Generator
    values: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, Array] = field(default_factory=dict)
    floats: list[float] = field(default_factory=list)
    held: list[Array] = field(default_factory=list)  # by value

    def add(self, array: Array, **more: Any) -> int:
        self.values.append({"dtype": NAMES[array.dtype.name], "dims": list(array.shape), **more})
        self.held.append(array)
        return len(self.values) - 1

    def constant(self, array: Array) -> int:
        name = f"c{len(self.tensors)}"
        self.tensors[name] = array
        return self.add(array, tensor=name)

    def step(
        self,
        family: str,
        inputs: list[int],
        dims: tuple[int, ...],
        attributes: dict[str, Any] | None = None,
        dtype: str = "f32",
    ) -> int:
        attributes = attributes or {}
        operands: list[Any] = []
        feeds = []
        for index in inputs:
            if index < 0:
                operands.append(None)
            elif "tensor" in self.values[index]:
                operands.append(self.held[index])
            else:
                operands.append((self.values[index]["dtype"], self.values[index]["dims"]))
                feeds.append(self.held[index])
        alone = _core.single_step(family, attributes, operands, [(dtype, dims)], isa=self.isa)
        output = self.add(alone.run(feeds)[0])
        self.steps.append(
            {
                "family": family,
                "attributes": {k: self.stored(v) for k, v in attributes.items()},
                "inputs": inputs,
                "outputs": [output],
            }
        )
        return output

    def stored(self, attribute: Any) -> Any:
        if isinstance(attribute, float):
            self.floats.append(attribute)
            return {"f": len(self.floats) - 1}
        return attribute

    def check(self, inputs: list[int], outputs: list[int]) -> _core.Session:
        program = {
            "format": "1.0",
            "requires": [],
            "symbols": [],
            "values": self.values,
            "inputs": [{"name": f"x{i}", "value": v} for i, v in enumerate(inputs)],
            "outputs": [{"name": f"y{i}", "value": v} for i, v in enumerate(outputs)],
            "segments": [{"steps": self.steps}],
        }
        tensors = {**self.tensors, "pyrt.floats": np.array(self.floats)}
        session = _core.Session(files.model(program, tensors), isa=self.isa)
        for got, value in zip(session.run([self.held[i] for i in inputs]), outputs, strict=True):
            assert got.tobytes() == self.held[value].tobytes(), f"value {value}"
        return session

    def conv(self, x: int, channels: int) -> int:
        n, c, h, w = self.held[x].shape
        weights = self.rng.standard_normal((channels, c, 3, 3)).astype(np.float32)
        attributes = {"kernel": [3, 3], "strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1]}
        return self.step("conv", [x, self.constant(weights)], (n, channels, h, w), attributes)


def image(rng: np.random.Generator, *dims: int) -> Array:
    return rng.standard_normal(dims).astype(np.float32)


def grow(net: Net, pool: list[int]) -> int:
    """Appends a random operation on a random 4-D value."""
    rng = net.rng
    x = int(rng.choice(pool))
    n, c, h, w = net.held[x].shape
    match int(rng.integers(9)):
        case 0 | 1:
            return net.conv(x, int(rng.integers(1, 6)))
        case 2:
            return net.step("elementwise", [x], (n, c, h, w), {"op": "neg"})
        case 3:
            same = [p for p in pool if net.held[p].shape == (n, c, h, w)]
            other = int(rng.choice(same))
            return net.step("elementwise", [x, other], (n, c, h, w), {"op": "add"})
        case 4:
            gate = net.step("reduce", [x], (n, c, 1, 1), {"op": "mean", "axes": [2, 3]})
            return net.step("elementwise", [x, gate], (n, c, h, w), {"op": "mul"})
        case 5:
            flat = net.step("reduce", [x], (n, c), {"op": "max", "axes": [2, 3]})
            gate = net.step("reshape", [flat], (n, c, 1, 1))
            return net.step("elementwise", [gate, x], (n, c, h, w), {"op": "sub"})
        case 6:
            same = [p for p in pool if net.held[p].shape[2:] == (h, w)]
            other = int(rng.choice(same))
            dims = (n, c + net.held[other].shape[1], h, w)
            return net.step("concat", [x, other], dims, {"axis": 1})
        case 7:
            constant = net.constant(image(rng, c, 1, w))
            return net.step("elementwise", [x, constant], (n, c, h, w), {"op": "max"})
        case _:
            moved = net.step("transpose", [x], (n, h, w, c), {"perm": [0, 2, 3, 1]})
            back = {"perm": [0, 3, 1, 2]}
            return net.step("transpose", [moved], (n, c, h, w), back)


@pytest.mark.parametrize("isa", _core.cpu()["presets"])
@pytest.mark.parametrize("seed", range(12))
def test_random_networks(isa: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = Net(isa, rng)
    x = net.add(image(rng, 2, 3, 5, 4))
    pool = [x]
    for _ in range(12):
        pool.append(grow(net, pool))
    outputs = [pool[-1], *(int(p) for p in rng.choice(pool, 2))]
    net.check([x], outputs)


@pytest.mark.parametrize("isa", _core.cpu()["presets"])
def test_a_chain_of_convolutions_is_converted_at_its_ends_only(isa: str) -> None:
    net = Net(isa, np.random.default_rng(1))
    x = net.add(image(net.rng, 1, 3, 6, 6))
    y = x
    for channels in (4, 5, 6):
        y = net.conv(y, channels)
        y = net.step("elementwise", [y], net.held[y].shape, {"op": "relu"})
    session = net.check([x], [y])
    conversions = [i for i, step in enumerate(session.steps()) if step["step"] == -1]
    count = len(session.steps())
    assert conversions == [0, count - 1]
    assert session.steps()[1]["outputs"][0][2] == "channels_last"


def test_a_conversion_is_shared_by_its_users() -> None:
    net = Net("scalar", np.random.default_rng(1))
    x = net.add(image(net.rng, 1, 3, 6, 6))
    outputs = [net.conv(x, 2), net.conv(x, 4)]
    session = net.check([x], outputs)
    assert [step["step"] for step in session.steps()].count(-1) == 3


def test_equal_bytes_need_no_conversion() -> None:
    net = Net("scalar", np.random.default_rng(1))
    x = net.add(image(net.rng, 2, 1, 6, 6))  # one channel
    y = net.conv(x, 1)
    session = net.check([x], [y])
    assert [step["step"] for step in session.steps()] == [0]

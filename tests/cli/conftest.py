"""A small model and data for the commands, and a way to call them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyruntime.cli.main import main


@dataclass(frozen=True, slots=True)
class Output:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Output]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command line in this process."""

    def run(*words: object) -> Output:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Output(code, captured.out, captured.err)

    return run


def network(classes: int = 4, *, broken: bool = False) -> onnx.ModelProto:
    """image [batch, 3, 8, 8] -> conv, relu, mean -> scores [batch, classes]."""
    generator = np.random.default_rng(7)
    weights = generator.normal(0, 0.3, (classes, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], name="stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["scores"], name="flat"),
    ]
    if broken:
        nodes[1] = helper.make_node("NoSuchOperator", ["c"], ["d"], name="odd")
        nodes.insert(2, helper.make_node("NorThisOne", ["d"], ["r"], name="odder"))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The network as ONNX file."""
    path = tmp_path / "small.onnx"
    onnx.save(network(), path)
    return path


@pytest.fixture
def broken_model(tmp_path: Path) -> Path:
    """An ONNX file with two operators that do not exist."""
    path = tmp_path / "broken.onnx"
    onnx.save(network(broken=True), path)
    return path


@pytest.fixture
def compiled(tmp_path: Path, model: Path, call: Call) -> Path:
    """The network as .pyrt file."""
    path = tmp_path / "small.pyrt"
    assert call("compile", model, "-o", path).code == 0
    return path


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Forty images in 0..1 as .npz."""
    path = tmp_path / "samples.npz"
    images = np.random.default_rng(1).random((40, 3, 8, 8), dtype=np.float32)
    np.savez(path, image=images)
    return path

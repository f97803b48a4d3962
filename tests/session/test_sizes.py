"""Values that only the dims of the inputs decide need no host step."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import pyruntime as rt


def test_sizes_and_grids_need_no_host_step() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["dims"]),
        helper.make_node("Gather", ["dims", "one"], ["width"]),
        helper.make_node("Cast", ["width"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Range", ["zero", "wide", "step"], ["grid"]),
        helper.make_node("Mul", ["x", "grid"], ["scaled"]),
        helper.make_node("Div", ["scaled", "wide"], ["y"]),
    ]
    constants = {
        "one": np.asarray(1),
        "zero": np.asarray(0, np.float32),
        "step": np.asarray(1, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "grid",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    session = rt.Session(rt.compile(rt.import_onnx(model)))
    for width in (1, 5):
        x = np.ones((2, width), np.float32)
        expected = x * np.arange(width, dtype=np.float32) / np.float32(width)
        np.testing.assert_array_equal(session.run({"x": x})["y"], expected)
        assert not any(step.host for step in session.steps({"x": x}))

"""MatMulNBits from ONNX, against onnxruntime and against its own reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyruntime as rt
from pyruntime.errors import UnsupportedError

onnx = pytest.importorskip("onnx")


def model(
    K: int, N: int, bits: int, group: int, level: int, *, zeros: bool = False, rows: int = 3
) -> tuple[Any, np.ndarray]:
    """A model of one node, and an input for it."""
    random = np.random.default_rng(K + N + bits)
    G = -(-K // group)
    constants = {
        "w": random.integers(0, 256, (N, G, group * bits // 8), dtype=np.uint8),
        "scale": random.uniform(0.01, 0.05, (N, G)).astype(np.float32),
    }
    names = ["a", "w", "scale"]
    if zeros:
        packed = -(-G * bits // 8)
        constants["zeros"] = random.integers(0, 256, (N, packed), dtype=np.uint8)
        names.append("zeros")
    node = onnx.helper.make_node(
        "MatMulNBits",
        names,
        ["y"],
        domain="com.microsoft",
        K=K,
        N=N,
        bits=bits,
        block_size=group,
        accuracy_level=level,
    )
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [onnx.helper.make_tensor_value_info("a", kind, ["rows", K])],
        [onnx.helper.make_tensor_value_info("y", kind, ["rows", N])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    proto = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return proto, random.standard_normal((rows, K)).astype(np.float32)


def ours(proto: Any, a: np.ndarray) -> tuple[np.ndarray, set[str]]:
    data = rt.compile(rt.import_onnx(proto))
    assert data is not None
    session = rt.Session(data)
    y = session.run({"a": a})["y"]
    return y, {step.family for step in session.steps({"a": a})}


CASES = [
    (128, 48, 4, 32, False),
    (256, 33, 4, 128, True),
    (80, 20, 4, 32, True),
    (64, 16, 8, 32, False),
    (64, 17, 8, 64, True),
]


@pytest.mark.parametrize("level", [0, 4])
@pytest.mark.parametrize(("K", "N", "bits", "group", "zeros"), CASES)
def test_onnxruntime_agrees(K: int, N: int, bits: int, group: int, zeros: bool, level: int) -> None:
    ort = pytest.importorskip("onnxruntime")
    proto, a = model(K, N, bits, group, level, zeros=zeros)
    y, families = ours(proto, a)
    assert ("gemm_groups" in families) == (level == 4)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"a": a})[0]
    # Both round activations at level 4, but not alike.
    tolerance = 0.01 if level == 4 else 1e-5
    magnitude = np.abs(expected).max()
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance * magnitude)


def test_the_file_keeps_weights_packed() -> None:
    for level in (0, 4):
        proto, _ = model(1024, 256, 4, 32, level)
        data = rt.compile(rt.import_onnx(proto))
        assert data is not None
        assert len(data) < 1024 * 256 * (0.5 + 4 / 32) + 8192


@pytest.mark.parametrize(("bits", "group"), [(3, 32), (4, 8)])
def test_other_bits_are_refused(bits: int, group: int) -> None:
    proto, _ = model(64, 16, bits, group, 4)
    with pytest.raises(UnsupportedError, match="bits"):
        rt.import_onnx(proto)

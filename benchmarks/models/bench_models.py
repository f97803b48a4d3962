"""Whole networks against onnxruntime, batch 1: those of the demo, compressed, and real ones.

The real ones lie beside the repository (`../shared/models`) where somebody put them; each is run on
the inputs that were recorded with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyruntime as rt
from benchmarks import peers
from benchmarks.peers import Array, Subject

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "benchmarks" / "demo"
SHARED = ROOT.parent / "shared" / "models"

Feeds = dict[str, Array]


@functools.cache
def calibration() -> Array:
    """[200, 1, 28, 28] f32 in 0..1."""
    images = np.load(DEMO / "data" / "mnist_calibration.npz")["calibration"]
    return images[:, None].astype(np.float32) / 255


def demo_feeds() -> Feeds:
    return {"image": calibration()[:1]}


def compressed(model: str, recipe: str) -> Subject:
    graph = rt.import_onnx(DEMO / "models" / model)
    if recipe:
        graph, _ = rt.compress(graph, recipe, calibration={"image": calibration()}, threads=1)
    return compiled(graph, demo_feeds())


def low_rank() -> Subject:
    graph = rt.import_onnx(DEMO / "models" / "mnist_cnn.onnx")
    graph, _ = rt.factorize(graph, rank=16)  # what it was trained for
    return compiled(graph, demo_feeds())


def compiled(graph: rt.Graph, feeds: Feeds) -> Subject:
    data = rt.compile(graph)
    assert data is not None
    return peers.own_model(data, feeds)


def onnxruntime_demo(model: str) -> Subject:
    return peers.onnxruntime_model((DEMO / "models" / model).read_bytes(), demo_feeds())


def onnxruntime_int8(model: str, folder: Path) -> Subject:
    """Static quantisation by onnxruntime with the same images, weights per channel."""
    peers.require("onnxruntime")
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images = iter(calibration())

        def get_next(self) -> Feeds | None:
            image = next(self.images, None)
            return None if image is None else {"image": image[None]}

    path, prepared = folder / "int8.onnx", folder / "prepared.onnx"
    quantization.quant_pre_process(DEMO / "models" / model, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared,
        path,
        Reader(),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return peers.onnxruntime_model(path.read_bytes(), demo_feeds())


DENSE, PRUNED = "mnist_cnn.onnx", "mnist_cnn_90zeros.onnx"
# (group, subject) -> how to make it; a folder for temporary files is passed.
DEMO_SUBJECTS: dict[tuple[str, str], Callable[[Path], Subject]] = {
    ("mnist_cnn", "pyruntime"): lambda _: compressed(DENSE, ""),
    ("mnist_cnn", "onnxruntime"): lambda _: onnxruntime_demo(DENSE),
    ("mnist_cnn-int8", "pyruntime"): lambda _: compressed(DENSE, "int8"),
    ("mnist_cnn-int8", "onnxruntime"): lambda folder: onnxruntime_int8(DENSE, folder),
    ("mnist_cnn-z90", "pyruntime"): lambda _: compressed(PRUNED, ""),
    ("mnist_cnn-z90", "onnxruntime"): lambda _: onnxruntime_demo(PRUNED),
    ("mnist_cnn-z90-int8", "pyruntime"): lambda _: compressed(PRUNED, "int8"),
    ("mnist_cnn-z90-int8", "onnxruntime"): lambda folder: onnxruntime_int8(PRUNED, folder),
    ("mnist_cnn-rank16", "pyruntime"): lambda _: low_rank(),
    ("mnist_cnn-rank16", "onnxruntime-dense"): lambda _: onnxruntime_demo(DENSE),
}


@pytest.mark.parametrize(
    ("group", "name"), [pytest.param(*key, id=f"{key[0]}-t1-{key[1]}") for key in DEMO_SUBJECTS]
)
def bench_demo(benchmark: Any, tmp_path: Path, group: str, name: str) -> None:
    subject = DEMO_SUBJECTS[group, name](tmp_path)
    dtype = "int8" if group.endswith("int8") else "f32"
    peers.measure(benchmark, subject, group=group, subject=name, dtype=dtype)


MODELS = sorted(path.stem for path in SHARED.glob("*.onnx"))


def recorded(name: str) -> Feeds:
    with np.load(SHARED / f"{name}__0.npz") as file:
        return {key.removeprefix("in:"): file[key] for key in file if key.startswith("in:")}


@pytest.mark.skipif(not MODELS, reason=f"there are no models in {SHARED}")
@pytest.mark.parametrize("engine", ["pyruntime", "onnxruntime"])
@pytest.mark.parametrize("name", MODELS or ["none"], ids=lambda name: f"{name}-t1")
def bench_real(benchmark: Any, name: str, engine: str) -> None:
    feeds = recorded(name)
    if engine == "onnxruntime":
        subject = peers.onnxruntime_model((SHARED / f"{name}.onnx").read_bytes(), feeds)
    else:
        subject = compiled(rt.import_onnx(SHARED / f"{name}.onnx"), feeds)
    dtype = "int8" if "int8" in name else "f32"
    peers.measure(benchmark, subject, group=name, subject=engine, dtype=dtype)

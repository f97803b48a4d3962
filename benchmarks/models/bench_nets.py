"""Standard networks, batch 1, dense and with zeros, against engines that multiply the zeros.

int8 is static: here by pyruntime, for the peers by onnxruntime's quantiser (QDQ), from the same
float model and inputs. Peers get dense weights: theirs take as long with zeros.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

import pyruntime as rt
from benchmarks import engines, peers
from benchmarks.models import networks
from benchmarks.peers import Model, Subject

# Share of zeros and block (columns x depth); dense first.
DENSE = (0.0, 1, 1)
SPARSE = ((0.5, 1, 1), (0.7, 1, 1), (0.8, 1, 1), (0.9, 1, 1), (0.95, 1, 1), (0.9, 16, 4))
OF_ZEROS = ("mobilenet_v2", "resnet50", "bert_base", "ds_cnn", "lstm")


@functools.cache
def network(name: str, zeros: tuple[float, int, int] = DENSE) -> Model:
    model = networks.NETWORKS[name]()
    return model if zeros == DENSE else networks.prune(model, *zeros)


@functools.lru_cache(maxsize=2)
def quantized(name: str, folder: Path) -> Model:
    """Static int8 by onnxruntime, weights per channel."""
    peers.require("onnxruntime")
    import onnx
    from onnxruntime import quantization

    model = network(name)
    samples = [networks.feeds(model, seed) for seed in range(2, 6)]

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.samples = iter(samples)

        def get_next(self) -> Any:
            return next(self.samples, None)

    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    quantization.quantize_static(
        path,
        folder / f"{name}-int8.onnx",
        Reader(),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return onnx.load(folder / f"{name}-int8.onnx")


def own(name: str, dtype: str, zeros: tuple[float, int, int]) -> Subject:
    model = network(name, zeros)
    graph = rt.import_onnx(model)
    if dtype == "int8":
        samples = [networks.feeds(model, seed) for seed in range(2, 6)]
        graph, _ = rt.quantize(graph, calibration=samples)
    data = rt.compile(graph)
    assert data is not None
    subject = peers.own_model(data, networks.feeds(model))
    return Subject(subject.run, subject.result, {**subject.info, "file_bytes": len(data)})


def peer(engine: str, name: str, dtype: str, folder: Path) -> Subject:
    model = network(name) if dtype == "f32" else quantized(name, folder)
    feeds = networks.feeds(model)
    if engine == "onnxruntime":
        return peers.onnxruntime_model(model, feeds)
    try:
        return engines.openvino_model(model, feeds)
    except RuntimeError as error:
        pytest.skip(f"openvino refuses {name}, {dtype}: {str(error).splitlines()[-1]}")


@pytest.fixture(scope="module")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("engine", ["pyruntime", "onnxruntime", "openvino"])
@pytest.mark.parametrize("dtype", ["f32", "int8"])
@pytest.mark.parametrize("name", networks.NETWORKS)
def bench_nets(benchmark: Any, models_folder: Path, name: str, dtype: str, engine: str) -> None:
    if engine == "pyruntime":
        subject = own(name, dtype, DENSE)
    else:
        subject = peer(engine, name, dtype, models_folder)
    peers.measure(benchmark, subject, group=name, subject=engine, dtype=dtype)


def label(zeros: tuple[float, int, int]) -> str:
    """As z90 or z90-16x4."""
    share, height, width = zeros
    return f"z{100 * share:.0f}" + ("" if (height, width) == (1, 1) else f"-{height}x{width}")


@pytest.mark.parametrize("zeros", SPARSE, ids=label)
@pytest.mark.parametrize("dtype", ["f32", "int8"])
@pytest.mark.parametrize("name", OF_ZEROS)
def bench_nets_zeros(benchmark: Any, name: str, dtype: str, zeros: tuple[float, int, int]) -> None:
    subject = f"pyruntime-{label(zeros)}"
    peers.measure(benchmark, own(name, dtype, zeros), group=name, subject=subject, dtype=dtype)

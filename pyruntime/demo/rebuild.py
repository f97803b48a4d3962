"""Makes the package's `.pyrt` files and images from benchmarks/demo: `pyruntime demo --rebuild`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.api import factorize, quantize
from pyruntime.compression._layers import layers
from pyruntime.demo import networks
from pyruntime.errors import ArgumentError
from pyruntime.graph import Graph
from pyruntime.onnx_import import import_onnx
from pyruntime.passes.pipeline import optimize_float
from pyruntime.plan.compile import compile as compile_graph
from pyruntime.plan.container import write_atomically
from pyruntime.preprocess import ANNOTATION, Preprocess

SOURCE = Path(__file__).parents[2] / "benchmarks" / "demo"
# 360 images are all that the digits have outside of training: these calibrate, the rest judge.
DIGITS_CALIBRATION = 60
# Of 23 stored bits of a float's mantissa: what fp16 would keep.
_DROPPED_BITS = 13


def source(repository: Path = SOURCE) -> Path:
    """The folder with the demo's ONNX files.

    Raises:
        ArgumentError: this is an installed package, not a clone.
    """
    if not (repository / "models").is_dir():
        raise ArgumentError(
            f"--rebuild compresses the ONNX files of a clone; there are none in {repository}"
        )
    return repository


def rebuild(
    target: Path = networks.DATA,
    repository: Path = SOURCE,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Compresses the networks and writes everything into `target`.

    Args:
        target: folder for the files; they are replaced one by one, each atomically.
        repository: benchmarks/demo of a clone.
        progress: called with the number of files written, out of `FILES`.
    """
    files = _networks(source(repository)) | _images(repository)
    target.mkdir(exist_ok=True)
    for number, (name, data) in enumerate(files.items(), 1):
        is_float = name.endswith(".pyrt") and "int8" not in name
        packed = networks.packed(data, elements=4 if is_float else 1)
        write_atomically(target / f"{name}.xz", [packed])
        progress(number)


FILES = len(networks.MNIST) + len(networks.DIGITS) + 2


def _networks(repository: Path) -> dict[str, bytes]:
    dense = _read(repository, "mnist_cnn")
    zeros = _read(repository, "mnist_cnn_90zeros")
    digits = import_onnx(repository / "models" / "digits_mlp.onnx")
    calibration = _inputs(_load(repository, "mnist_calibration")["calibration"], 255)[:, None]
    few = _inputs(_load(repository, "digits_heldout")["images"][:DIGITS_CALIBRATION], 16)
    ranks = dict.fromkeys(networks.FACTORED, networks.RANK)
    low_rank = _compiled(rounded(factorize(dense, rank=ranks)[0]))
    return {
        "mnist-fp32.pyrt": networks.without_factored(_compiled(rounded(dense))),
        "mnist-lowrank.pyrt": low_rank,
        "mnist-zeros.pyrt": _compiled(rounded(zeros)),
        "mnist-int8.pyrt": _compiled(quantize(dense, calibration)[0]),
        "mnist-zeros-int8.pyrt": _compiled(quantize(zeros, calibration)[0]),
        "digits-fp32.pyrt": _compiled(rounded(digits)),
        "digits-int8.pyrt": _compiled(quantize(digits, few)[0]),
    }


def _images(repository: Path) -> dict[str, bytes]:
    mnist, digits = _load(repository, "mnist_heldout"), _load(repository, "digits_heldout")
    return {
        "mnist.npz": _npz(mnist["images"], mnist["labels"], 255),
        "digits.npz": _npz(
            digits["images"][DIGITS_CALIBRATION:], digits["labels"][DIGITS_CALIBRATION:], 16
        ),
    }


def rounded(graph: Graph) -> Graph:
    """A copy, optimised, whose layers have weights of 11 significant bits."""
    result = optimize_float(graph)
    for layer in layers(result):
        bits = np.ascontiguousarray(layer.weights).view(np.uint32)
        half = np.uint32(1 << (_DROPPED_BITS - 1))
        kept = ((bits + half) >> np.uint32(_DROPPED_BITS)) << np.uint32(_DROPPED_BITS)
        layer.set_weights(result, kept.view(np.float32))
    return result


def _read(repository: Path, name: str) -> Graph:
    graph = import_onnx(repository / "models" / f"{name}.onnx")
    graph.annotations[ANNOTATION] = Preprocess(size=(28, 28), grey=True).annotation()
    return graph


def _compiled(graph: Graph) -> bytes:
    data = compile_graph(graph)
    assert data is not None
    return data


def _load(repository: Path, name: str) -> dict[str, NDArray[Any]]:
    with np.load(repository / "data" / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def _inputs(images: NDArray[Any], white: int) -> NDArray[np.float32]:
    inputs: NDArray[np.float32] = images.astype(np.float32) / np.float32(white)
    return inputs


def _npz(images: NDArray[Any], labels: NDArray[Any], white: int) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, images=images, labels=labels, white=np.uint8(white))
    return buffer.getvalue()

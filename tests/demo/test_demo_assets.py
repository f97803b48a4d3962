"""The demo's committed networks and images are what benchmarks/demo/README.md says they are.

The demo quotes accuracies and sizes measured on these files. The table in that README is the one
place where the figures stand, so this reads it and holds each file to its row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

try:
    import onnxruntime
except ImportError:  # ONNX's own evaluator gives the same answers, only slower
    onnxruntime = None

DEMO = Path(__file__).resolve().parents[2] / "benchmarks" / "demo"
ROW = re.compile(r"\| `(models/\S+)` \| ([\d.]+)% \| ([\d,]+) \| ([\d.]+)% \| ([\d,]+) \|")
MODELS_BYTES_LIMIT = 1_000_000
HELDOUT_BYTES_LIMIT = 250_000
# Another onnxruntime or CPU sums in another order, which can turn an image that was on the fence.
ACCURACY_SLACK = 0.002


@dataclass(frozen=True, slots=True)
class Figures:
    """One row of the README's table."""

    path: Path
    accuracy: float
    weights: int
    zero_share: float
    file_bytes: int


def read_table() -> dict[str, Figures]:
    text = (DEMO / "README.md").read_text(encoding="utf-8")
    return {
        Path(file).name: Figures(
            path=DEMO / file,
            accuracy=float(accuracy) / 100,
            weights=int(weights.replace(",", "")),
            zero_share=float(zeros) / 100,
            file_bytes=int(size.replace(",", "")),
        )
        for file, accuracy, weights, zeros, size in ROW.findall(text)
    }


TABLE = read_table()
HELDOUT = {"mnist_cnn": "mnist", "mnist_cnn_90zeros": "mnist", "digits_mlp": "digits"}
WHITE = {"mnist": np.float32(255), "digits": np.float32(16)}
SHAPE = {"mnist": (-1, 1, 28, 28), "digits": (-1, 64)}


def load_heldout(name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(DEMO / "data" / f"{name}_heldout.npz") as file:
        return file["images"], file["labels"]


def run(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    if onnxruntime is None:
        (logits,) = ReferenceEvaluator(path).run(["logits"], feeds)
    else:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], feeds)
    return np.asarray(logits)


def weights_of(path: Path) -> list[np.ndarray]:
    """The matrices of Conv and Gemm nodes: second input."""
    graph = onnx.load(path).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    return [tensors[n.input[1]] for n in graph.node if n.op_type in ("Conv", "Gemm")]


def test_the_table_names_every_network():
    committed = {path.name for path in (DEMO / "models").iterdir()}
    assert set(TABLE) == committed == {f"{stem}.onnx" for stem in HELDOUT}


@pytest.mark.parametrize("stem", HELDOUT)
def test_accuracy_is_as_recorded(stem: str):
    data = HELDOUT[stem]
    images, labels = load_heldout(data)
    figures = TABLE[f"{stem}.onnx"]
    logits = run(
        figures.path, {"image": images.reshape(SHAPE[data]).astype(np.float32) / WHITE[data]}
    )
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    assert accuracy >= figures.accuracy - ACCURACY_SLACK


def test_pruning_costs_at_most_one_point():
    dense, pruned = TABLE["mnist_cnn.onnx"], TABLE["mnist_cnn_90zeros.onnx"]
    assert dense.accuracy >= 0.98
    assert dense.accuracy - pruned.accuracy <= 0.010


@pytest.mark.parametrize("stem", HELDOUT)
def test_weights_and_zeros_are_as_recorded(stem: str):
    figures = TABLE[f"{stem}.onnx"]
    weights = weights_of(figures.path)
    count = sum(w.size for w in weights)
    zeros = sum(int((w == 0).sum()) for w in weights)
    assert count == figures.weights
    assert zeros / count == pytest.approx(figures.zero_share, abs=0.0005)


def test_pruned_layers_are_nine_tenths_zeros():
    weights = weights_of(TABLE["mnist_cnn_90zeros.onnx"].path)
    shares = [float((w == 0).mean()) for w in weights]
    assert min(shares[1:-1]) >= 0.90
    assert sum((w == 0).sum() for w in weights) / sum(w.size for w in weights) >= 0.90


@pytest.mark.parametrize("stem", HELDOUT)
def test_file_is_self_contained_and_plain(stem: str):
    figures = TABLE[f"{stem}.onnx"]
    assert figures.path.stat().st_size == figures.file_bytes
    model = onnx.load(figures.path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
    assert not any(n.op_type == "Constant" or n.doc_string for n in model.graph.node)
    assert [v.name for v in model.graph.input] == ["image"]
    assert [v.name for v in model.graph.output] == ["logits"]
    batch, *rest = model.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param == "batch"
    assert tuple(d.dim_value for d in rest) == SHAPE[HELDOUT[stem]][1:]


def test_batch_normalization_is_left_to_fuse():
    operators = [n.op_type for n in onnx.load(TABLE["mnist_cnn.onnx"].path).graph.node]
    assert operators.count("BatchNormalization") == operators.count("Conv") == 5


def test_sizes_stay_small():
    assert sum(path.stat().st_size for path in (DEMO / "models").iterdir()) <= MODELS_BYTES_LIMIT
    for path in (DEMO / "data").iterdir():
        assert path.stat().st_size <= HELDOUT_BYTES_LIMIT, path.name


@pytest.mark.parametrize(
    ("name", "shape", "per_class"), [("mnist", (1000, 28, 28), 100), ("digits", (360, 64), 36)]
)
def test_heldout_is_balanced(name: str, shape: tuple[int, ...], per_class: int):
    images, labels = load_heldout(name)
    assert images.shape == shape
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [per_class] * 10
    assert images.max() == WHITE[name]


def test_calibration_shares_no_image_with_heldout():
    heldout, _ = load_heldout("mnist")
    with np.load(DEMO / "data" / "mnist_calibration.npz") as file:
        assert file.files == ["calibration"]
        calibration = file["calibration"]
    assert calibration.shape == (200, 28, 28)
    assert calibration.dtype == np.uint8
    known = {image.tobytes() for image in heldout}
    assert not [k for k, image in enumerate(calibration) if image.tobytes() in known]

"""onnxruntime on the same networks, if it is installed and the ONNX files are there."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pyruntime.demo.measure import Array, Contestant
from pyruntime.demo.rebuild import SOURCE

INSTALL = "pip install onnxruntime onnx"


def onnxruntime_rows(repository: Path = SOURCE) -> tuple[list[Contestant], str]:
    """The rows that can be made here, and a sentence on those that cannot."""
    if importlib.util.find_spec("onnxruntime") is None:
        return [], f"onnxruntime is not installed; {INSTALL} adds its fp32 and int8 rows"
    model = repository / "models" / "mnist_cnn.onnx"
    if not model.is_file():
        return [], "onnxruntime's rows need the ONNX files of a clone of the repository"
    rows = [_row("onnxruntime fp32", model.read_bytes(), "its own graph optimisations, all on")]
    if importlib.util.find_spec("onnx") is None:
        return rows, f"onnxruntime's int8 row needs onnx to be made; {INSTALL}"
    try:
        data = _quantized(model, repository / "data" / "mnist_calibration.npz")
    except Exception as error:  # another library's versions must not end our demo
        return rows, f"onnxruntime's int8 row could not be made: {error}"
    rows.append(
        _row("onnxruntime int8", data, "static QDQ, per channel, the same 200 calibration images")
    )
    return rows, ""


def _row(label: str, model: bytes, note: str) -> Contestant:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def classify(inputs: Array) -> Array:
        return np.asarray(session.run(None, {name: inputs})[0])

    return Contestant(label, len(model), classify, note, peer=True)


def _quantized(model: Path, calibration: Path) -> bytes:
    with _quiet():
        from onnxruntime import quantization

        with np.load(calibration, allow_pickle=False) as file:
            images = file["calibration"].astype(np.float32)[:, None] / np.float32(255)

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc] # has no types
            """Hands the images out one by one."""

            def __init__(self) -> None:
                self._feeds = iter([{"image": images[i : i + 1]} for i in range(len(images))])

            def get_next(self) -> dict[str, Any] | None:
                return next(self._feeds, None)

        with tempfile.TemporaryDirectory() as folder:
            prepared, result = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
            quantization.shape_inference.quant_pre_process(
                str(model), str(prepared), skip_symbolic_shape=True
            )
            quantization.quantize_static(
                str(prepared),
                str(result),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
            )
            return result.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Its quantiser logs advice on the root logger; here it would tear the table apart."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

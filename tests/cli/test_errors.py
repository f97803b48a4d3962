"""Whatever is wrong with what the user gave: one clear line, exit code 1, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Call = Callable[..., Any]  # the fixture `call`


def refused(call: Call, *words: object, code: int = 1) -> str:
    """The one line on stderr of a command that refuses."""
    given = call(*words)
    assert given.code == code, given
    assert given.out == ""
    assert given.err.count("\n") == 1
    return given.err


@pytest.mark.parametrize("command", ["inspect", "bench", "profile"])
def test_no_such_file_and_a_folder(call: Call, tmp_path: Path, command: str) -> None:
    assert "no such file" in refused(call, command, tmp_path / "none.onnx")
    assert "is a folder" in refused(call, command, tmp_path)


def test_a_model_with_several_problems_names_them_in_a_line(call: Call, broken_model: Path) -> None:
    line = refused(call, "inspect", broken_model)
    assert "NoSuchOperator" in line
    assert "NorThisOne" in line


def test_what_is_no_onnx_model(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"this is text")
    assert "bad.onnx" in refused(call, "compile", path, "-o", tmp_path / "m.pyrt")
    path.write_bytes(b"")
    refused(call, "compile", path, "-o", tmp_path / "m.pyrt")
    assert not (tmp_path / "m.pyrt").exists()


def test_a_truncated_or_flipped_file(call: Call, compiled: Path) -> None:
    data = compiled.read_bytes()
    for length in (0, 7, 100, len(data) // 2, len(data) - 1):
        compiled.write_bytes(data[:length])
        refused(call, "inspect", compiled)
    flipped = bytearray(data)
    flipped[-5] ^= 4
    compiled.write_bytes(flipped)
    assert "checksum" in refused(call, "bench", compiled)


def test_compiling_what_is_compiled(call: Call, compiled: Path, tmp_path: Path) -> None:
    assert "compiled already" in refused(call, "compile", compiled, "-o", tmp_path / "n.pyrt")


def test_an_existing_output_needs_force(
    call: Call, model: Path, compiled: Path, samples: Path, tmp_path: Path
) -> None:
    before = compiled.read_bytes()
    for command in ("compile", "compress"):
        assert "--force" in refused(call, command, model, "-o", compiled)
    assert "--force" in refused(call, "run", compiled, samples, "-o", samples)
    assert compiled.read_bytes() == before
    assert call("compress", model, "-o", compiled, "--force").code == 0
    assert compiled.read_bytes() != before
    assert "does not exist" in refused(call, "compile", model, "-o", tmp_path / "no" / "m.pyrt")
    assert "is a folder" in refused(call, "compile", model, "-o", tmp_path)


def bad_images(kind: str) -> np.ndarray:
    images = np.random.default_rng(0).random((20, 3, 8, 8), dtype=np.float32)
    match kind:
        case "constant":
            images[:] = 0.5
        case "pixels":
            images = np.rint(images * 255).astype(np.float32)
        case "nhwc":
            images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        case "nan":
            images[3, 0, 0, 0] = np.nan
        case "dtype":
            images = images.astype(np.float64)
        case "shape":
            images = images[:, :, :5]
        case "empty":
            images = images[:0]
    return images


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("constant", "constant"),
        ("pixels", "raw pixels 0..255"),
        ("nhwc", "--layout NHWC"),
        ("nan", "NaN"),
        ("dtype", "float64"),
        ("shape", "has shape"),
        ("empty", "empty"),
    ],
)
def test_bad_calibration_data_is_named(
    call: Call, model: Path, tmp_path: Path, kind: str, words: str
) -> None:
    data, path = tmp_path / "data.npy", tmp_path / "m.pyrt"
    np.save(data, bad_images(kind))
    assert words in refused(call, "compress", model, "--calibration", data, "-o", path)
    assert list(tmp_path.glob("*.pyrt*")) == []


def test_calibration_outside_of_the_range_given(call: Call, model: Path, tmp_path: Path) -> None:
    data, path = tmp_path / "data.npy", tmp_path / "m.pyrt"
    np.save(data, bad_images("none") * np.float32(200))
    line = refused(
        call, "compress", model, "--calibration", data, "--input-range", 0, 1, "-o", path
    )
    assert "expected 0..1" in line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--calibration", "none.npz"), "no such file"),
        (("--calibration", "nothing"), "no such file or folder"),
        (("--calibration", "no_module:f"), "no_module"),
        (("--recipe", "magic"), "unknown method"),
        (("--recipe", "prune"), "needs a number"),
        (("--recipe", "prune:2"), "sparsity"),
        (("--recipe", "none.json"), "no such file"),
        (("--max-size", "big"), "not a size"),
        (("--max-drop", "1"), "--labels"),
        (("--input-range", "1", "2"), "--input-range"),
        (("--std", "0"), "std"),
    ],
)
def test_bad_options_of_compress(
    call: Call, model: Path, tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    path = tmp_path / "m.pyrt"
    assert words in refused(call, "compress", model, "-o", path, *flags)
    assert not path.exists()


def test_an_error_in_the_users_function_names_its_line(
    call: Call, model: Path, tmp_path: Path
) -> None:
    judge = tmp_path / "judge.py"
    judge.write_text("def evaluate(run):\n    return 1 / 0\n")
    line = refused(call, "compress", model, "--evaluate", judge, "-o", tmp_path / "m.pyrt")
    assert "ZeroDivisionError" in line
    assert "judge.py:2" in line


def test_bad_inputs_of_run(call: Call, compiled: Path, tmp_path: Path) -> None:
    array, names = tmp_path / "x.npy", tmp_path / "names.txt"
    np.save(array, np.zeros((1, 3, 8, 9), np.float32))
    assert "image" in refused(call, "run", compiled, array)
    np.save(array, np.zeros((1, 3, 8, 8), np.float64))
    assert "image" in refused(call, "run", compiled, array)
    array.write_bytes(b"\x93NUMPY damaged")
    assert "x.npy" in refused(call, "run", compiled, array)
    picture = tmp_path / "p.png"
    picture.write_bytes(b"no picture")
    assert "p.png" in refused(call, "run", compiled, picture)
    archive = tmp_path / "x.npz"
    archive.write_bytes(b"PK\x03\x04 damaged")
    assert "x.npz" in refused(call, "run", compiled, archive)
    np.savez(archive, a=np.zeros(2), b=np.zeros(2))
    assert "image" in refused(call, "run", compiled, archive)
    np.save(array, np.zeros((1, 3, 8, 8), np.float32))
    names.write_text("one\ntwo\n")
    assert "2 names" in refused(call, "run", compiled, array, "--labels", names)
    assert "is a folder" in refused(call, "run", compiled, tmp_path)


def test_bad_shapes(call: Call, compiled: Path) -> None:
    assert "NAME=" in refused(call, "bench", compiled, "--shape", "1,3")
    assert "no inputs called" in refused(call, "bench", compiled, "--shape", "x=1,3,8,8")
    assert "image" in refused(call, "inspect", compiled, "--shape", "image=1,3,8,9")


def test_wrong_usage_is_code_2(call: Call, compiled: Path) -> None:
    for words in (["bench", str(compiled), "--threads", "0"], ["compile", "m.onnx"], ["nonsense"]):
        with pytest.raises(SystemExit) as stop:
            call(*words)
        assert stop.value.code == 2


def test_onnx_missing_says_what_to_install(
    call: Call, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert "pip install 'pyruntime[onnx]'" in refused(call, "inspect", model)

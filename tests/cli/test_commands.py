"""Each command does its work and says so, for people and as JSON."""

from __future__ import annotations

import itertools
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyruntime as rt
from pyruntime import costs
from pyruntime.cli.main import COMMANDS, main
from pyruntime.tuning import fit

WIDTH = 100

Call = Callable[..., Any]  # the fixture `call`


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        text = capsys.readouterr().out
        assert stop.value.code == 0
        assert "example" in text, command
        assert "--json" in text, command


def test_without_a_command_the_commands_are_listed(call: Call) -> None:
    given = call()
    assert given.code == 2
    assert all(command in given.out for command in COMMANDS)


def test_version(call: Call) -> None:
    assert call("--version").out == f"pyruntime {rt.__version__}\n"


def test_inspect_onnx_and_compiled(call: Call, model: Path, compiled: Path) -> None:
    text = call("inspect", model)
    assert text.code == 0
    assert "4x3x3x3" in text.out
    assert "bit-exact: no" in text.out
    assert max(map(len, text.out.splitlines())) <= WIDTH
    found = call("inspect", compiled, "--json", "--shape", "image=2,3,8,8").json
    assert found["inputs"][0]["name"] == "image"
    stem = next(step for step in found["steps"] if step["name"] == "stem")
    assert stem["outputs"][0]["dims"] == [2, 4, 8, 8]
    assert "fast pairs" not in text.out  # f32


def test_inspect_says_why(call: Call, compiled: Path) -> None:
    text = call("inspect", compiled, "--why").out
    assert "why no faster kernel" in text
    assert "roofline" in text
    assert max(map(len, text.splitlines())) <= WIDTH
    found = call("inspect", compiled, "--why", "--json").json
    assert [entry["step"] for entry in found["why"]] == [
        step["name"] or "(form)" for step in found["steps"]
    ]
    for entry in found["why"]:
        assert entry["reason"]
        assert entry["bytes"] >= 0
    stem = next(entry for entry in found["why"] if entry["step"] == "stem")
    assert stem["macs"] == 4 * 27 * 64
    assert stem["roofline"] > 0
    for constant in found["constants"]:
        assert constant["bytes"] + 1 >= constant["bound"]


def test_tune_writes_what_sessions_read(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = list(itertools.islice(fit.problems(), 2))
    monkeypatch.setattr(fit, "problems", lambda: some)
    path = tmp_path / "tuning.json"
    made = call("tune", "-o", path, "--json").json
    assert made["file"] == str(path)
    assert made["factors"].keys() == costs.load(path).keys()
    assert 0 <= made["near_best"]["after"] <= 1
    text = call("tune", "-o", path)
    assert "within 10 %" in text.out
    assert str(path) in text.out
    off = call("tune")  # the suite runs with PYRUNTIME_TUNING=off
    assert off.code == 1
    assert "--output" in off.err


def test_compile_stores_the_preprocessing(call: Call, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pyrt"
    flags = ("--mean", 0.5, 0.4, 0.3, "--std", 0.2, "--no-rgb", "--input-range", 0, 255)
    made = call("compile", model, "-o", path, *flags, "--json")
    assert made.json["bytes"] == path.stat().st_size
    record = rt.Session(path).annotations["preprocess"]
    assert list(record["size"]) == [8, 8]
    assert list(record["mean"]) == [0.5, 0.4, 0.3]
    assert record["maximum"] == 255
    assert record["rgb"] is False


def test_compress_with_calibration_makes_integer_steps(
    call: Call, model: Path, samples: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.pyrt"
    made = call("compress", model, "--calibration", samples, "-o", path)
    assert made.code == 0
    assert "int8" in made.out
    families = {step.row for step in rt.Session(path).steps()}
    assert any("s8" in row for row in families)
    image = np.load(samples)["image"][:3]
    exact = rt.Session(rt.compile(rt.import_onnx(model))).run({"image": image})["scores"]
    close = rt.Session(path).run({"image": image})["scores"]
    np.testing.assert_allclose(close, exact, atol=0.05 * np.abs(exact).max())


def test_compress_without_calibration_says_what_it_would_add(
    call: Call, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.pyrt"
    made = call("compress", model, "-o", path, "--json")
    assert "no calibration data: only the weights are 8-bit" in " ".join(made.json["notes"])
    assert made.json["layers"][0]["method"] == "int8 weights"


def test_compress_measures_accuracy(call: Call, model: Path, samples: Path, tmp_path: Path) -> None:
    session = rt.Session(rt.compile(rt.import_onnx(model)))
    right = session.run(dict(np.load(samples)))["scores"].argmax(axis=1)
    labels, path = tmp_path / "labels.txt", tmp_path / "m.pyrt"
    labels.write_text("\n".join(map(str, right)))
    made = call(
        "compress", model, "--calibration", samples, "--labels", labels, "-o", path, "--json"
    )
    assert made.json["score_before"] == 100.0
    assert made.json["score_after"] >= 90.0


def test_evaluate_judges_with_a_function(call: Call, model: Path, tmp_path: Path) -> None:
    judge, path = tmp_path / "judge.py", tmp_path / "m.pyrt"
    judge.write_text(
        "import numpy as np\ndef evaluate(run):\n"
        "    return float(run({'image': np.ones((1, 3, 8, 8), np.float32)})['scores'].size) / 8\n"
    )
    made = call("compress", model, "--evaluate", judge, "-o", path, "--json")
    assert made.json["score_before"] == made.json["score_after"] == 50.0


@pytest.mark.parametrize(
    ("limit", "words"),
    [(("--max-size", "1kB"), "--max-size"), (("--max-drop", "-1"), "--max-drop")],
)
def test_a_limit_not_met_is_code_3_and_writes_nothing(
    call: Call, model: Path, samples: Path, tmp_path: Path, limit: tuple[str, str], words: str
) -> None:
    path, labels = tmp_path / "m.pyrt", tmp_path / "labels.npy"
    np.save(labels, np.zeros(40, np.int64))
    made = call("compress", model, "--calibration", samples, "--labels", labels, "-o", path, *limit)
    assert made.code == 3
    assert words in made.err
    assert not path.exists()


@pytest.mark.parametrize(
    "recipe", ["prune:0.5", "svd:0.5", "fp16", "int8-weights", "prune:0.5+fp16"]
)
def test_recipes(call: Call, model: Path, tmp_path: Path, recipe: str) -> None:
    path = tmp_path / "m.pyrt"
    made = call("compress", model, "--recipe", recipe, "-o", path)
    assert made.code == 0, made.err
    image = np.ones((2, 3, 8, 8), np.float32)
    assert rt.Session(path).run({"image": image})["scores"].shape == (2, 4)


def test_calibration_from_a_folder_of_images(call: Call, model: Path, tmp_path: Path) -> None:
    folder, path = tmp_path / "images", tmp_path / "m.pyrt"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 10, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    made = call("compress", model, "--calibration", folder, "-o", path, "--json")
    assert made.code == 0, made.err
    assert "only 3 calibration samples" in " ".join(made.json["notes"])
    assert made.json["layers"][0]["method"] == "int8"


def test_run_takes_arrays_and_images(
    call: Call, compiled: Path, samples: Path, tmp_path: Path
) -> None:
    names, picture, array = tmp_path / "names.txt", tmp_path / "p.png", tmp_path / "x.npy"
    names.write_text("cat\ndog\nowl\nant\n")
    pixels = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(picture)
    np.save(array, (pixels.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32))
    scores = {}
    for path in (picture, array):
        given = call("run", compiled, path, "--labels", names, "--json")
        scores[path.suffix] = given.json[0]["outputs"]["scores"][0]
        top = given.json[0]["top"]["scores"][0]
        assert [score for _, score in top] == sorted(scores[path.suffix], reverse=True)
    np.testing.assert_allclose(scores[".png"], scores[".npy"], rtol=1e-5)
    text = call("run", compiled, picture, "--labels", names).out
    assert all(name in text for name in ("cat", "dog", "owl", "ant"))
    out = tmp_path / "out.npz"
    assert call("run", compiled, samples, "-o", out).code == 0
    assert np.load(out)["scores"].shape == (40, 4)


def test_run_takes_sound(call: Call, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("ReduceMax", ["sound"], ["peak"], keepdims=0)],
        "sound",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT, [1, 400])],
        [helper.make_tensor_value_info("peak", TensorProto.FLOAT, [])],
    )
    path, file = tmp_path / "s.onnx", tmp_path / "s.wav"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(np.array([0, 16384, -300], "<i2").tobytes())
    assert call("run", path, file, "--json").json[0]["outputs"]["peak"] == 0.5


def test_bench_reports_all_figures(call: Call, compiled: Path) -> None:
    found = call("bench", compiled, "--runs", 30, "--warmup", 2, "--threads", 1, "--json").json
    assert (found["runs"], found["warmup"], found["threads"]) == (30, 2, 1)
    assert found["min_ms"] <= found["p50_ms"] <= found["p90_ms"] <= found["p99_ms"]
    assert found["load_ms"] > 0
    assert found["peak_rss_mb"] > 1
    text = call("bench", compiled, "--runs", 10, "--shape", "image=2,3,8,8").out
    assert all(word in text for word in ("warm-up", "min", "p50", "p90", "p99", "RSS", "load"))


def test_profile_names_steps(call: Call, compiled: Path) -> None:
    steps = call("profile", compiled, "--runs", 3, "--json").json
    assert {"stem", "pool"} <= {step["name"] for step in steps}
    assert sum(step["share"] for step in steps) == pytest.approx(1.0)
    assert len(call("profile", compiled, "--runs", 3, "--top", 1).out.splitlines()) == 4


def test_as_a_program(model: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "pyruntime.cli.main"]
    path = tmp_path / "m.pyrt"
    done = subprocess.run([*program, "compile", model, "-o", path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*program, "bench", path, "--runs", "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage:" in done.stderr
    done = subprocess.run([*program, "inspect", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr

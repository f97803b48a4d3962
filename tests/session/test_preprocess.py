"""The preprocessing record and what it makes of images, sound and arrays."""

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyruntime.errors import ArgumentError, FormatError, UnsupportedError
from pyruntime.preprocess import Preprocess, fit_samples, load_item, read_wave

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14


def test_pixels_become_what_the_formula_says() -> None:
    record = Preprocess(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    got = record.image(PIXELS)
    want = (PIXELS / 255.0 - [0.1, 0.2, 0.3]) / [0.5, 0.25, 0.125]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want.transpose(2, 0, 1)[None], rtol=1e-5, atol=1e-6)
    assert got.flags.c_contiguous


def test_layout_colour_order_and_range() -> None:
    got = Preprocess(layout="NHWC", rgb=False, maximum=255.0).image(PIXELS)
    np.testing.assert_array_equal(got[0], PIXELS[:, :, ::-1].astype(np.float32))
    np.testing.assert_array_equal(
        Preprocess(dtype="u8").image(PIXELS)[0], PIXELS.transpose(2, 0, 1)
    )


def test_grey_images() -> None:
    grey = Preprocess(grey=True, maximum=255.0).image(PIXELS)
    assert grey.shape == (1, 1, 2, 3)
    luma = PIXELS @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[0, 0] - luma).max() <= 1
    three = Preprocess(dtype="u8").image(PIXELS[:, :, 0])
    np.testing.assert_array_equal(three[0], np.repeat(PIXELS[None, :, :, 0], 3, axis=0))


def test_images_are_resized_and_read_from_files(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    flat = np.full((40, 20, 3), (10, 200, 30), np.uint8)
    image.fromarray(flat).save(tmp_path / "a.png")
    got = load_item(tmp_path / "a.png", Preprocess(size=(8, 6), dtype="u8"), (1, 3, 8, 6))
    np.testing.assert_array_equal(
        got, np.broadcast_to(np.array([10, 200, 30], np.uint8)[None, :, None, None], (1, 3, 8, 6))
    )


@pytest.mark.parametrize(
    "record",
    [
        Preprocess(),
        Preprocess("x", (224, 224), (0.485, 0.456, 0.406), (0.2, 0.2, 0.2), "NHWC", False, 255.0),
    ],
)
def test_annotation_round_trip_is_json(record: Preprocess) -> None:
    assert Preprocess.from_annotation(json.loads(json.dumps(record.annotation()))) == record


def test_annotation_of_another_version() -> None:
    with pytest.raises(FormatError, match="not of this version"):
        Preprocess.from_annotation({"gamma": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "CHW"}, "NCHW or NHWC"),
        ({"size": (3,)}, r"\(height, width\)"),
        ({"std": (0.0,)}, "above 0"),
        ({"dtype": "f16"}, "f32 or u8"),
    ],
)
def test_bad_records_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Preprocess(**change)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"got float32 \[2, 3, 3\]"):
        Preprocess().image(PIXELS.astype(np.float32))


@pytest.mark.parametrize(("width", "tolerance"), [(1, 1 / 127), (2, 1 / 32767), (4, 1e-7)])
def test_wave_files(tmp_path: Path, width: int, tolerance: float) -> None:
    signal = np.sin(np.linspace(0, 20, 500)) * 0.9
    scaled = np.round(signal * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    data = (scaled + 128 if width == 1 else scaled).astype("u1" if width == 1 else f"<i{width}")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(width)
        file.setframerate(16000)
        file.writeframes(np.repeat(data, 2).tobytes())
    samples, rate = read_wave(tmp_path / "a.wav")
    assert rate == 16000
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, signal, atol=2 * tolerance)
    got = load_item(tmp_path / "a.wav", Preprocess(), (None, 600, 1))
    assert got.shape == (1, 600, 1)
    np.testing.assert_array_equal(got[0, :500, 0], samples)
    assert not got[0, 500:].any()


def test_wave_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF nonsense")
    with pytest.raises(FormatError, match="not a PCM WAV"):
        read_wave(tmp_path / "a.wav")
    with wave.open(str(tmp_path / "b.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(8000)
        file.writeframes(bytes(9))
    with pytest.raises(UnsupportedError, match="24 bits"):
        read_wave(tmp_path / "b.wav")


@pytest.mark.parametrize(
    ("dims", "shape"),
    [((None,), (9,)), ((1, None), (1, 9)), ((1, 4), (1, 4)), ((None, 12, 1), (1, 12, 1))],
)
def test_signals_fit_their_input(dims: tuple[int | None, ...], shape: tuple[int, ...]) -> None:
    got = fit_samples(np.arange(9, dtype=np.float32), dims)
    assert got.shape == shape
    count = min(9, got.size)
    np.testing.assert_array_equal(got.reshape(-1)[:count], np.arange(count))


def test_signal_without_a_place() -> None:
    with pytest.raises(ArgumentError, match="9 samples"):
        fit_samples(np.zeros(9, np.float32), (1, 1))


def test_arrays_are_taken_as_they_are(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(
        load_item(tmp_path / "a.npy", Preprocess(), (None, 3, 4)), array[None]
    )
    np.testing.assert_array_equal(load_item(array, Preprocess(), (3, 4)), array)
    with pytest.raises(ArgumentError, match="is not a file"):
        load_item(tmp_path / "b.npy", Preprocess(), (3, 4))

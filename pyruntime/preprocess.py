"""What a model wants its input to look like, and how to bring images, sound and arrays there.

The record travels in the file as `graph.annotations["preprocess"]`, so
`session.preprocess("cat.jpg")`, calibration from a folder and the command line all do the same.
Pillow is needed for image files and resizing only.
"""

from __future__ import annotations

import wave
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import ArgumentError, FormatError, MissingExtraError, UnsupportedError

if TYPE_CHECKING:
    from types import ModuleType

ANNOTATION = "preprocess"
_IMAGE_RANK = 3


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The record. Pixels 0..255 become `(pixel / 255 * maximum - mean) / std`.

    Attributes:
        input: name of the model's input; empty for the first.
        size: (height, width) to resize to; empty keeps the image's own.
        mean: per channel, or one for all, or empty for 0.
        std: likewise; empty for 1.
        layout: "NCHW" or "NHWC".
        rgb: order of the channels; False for BGR.
        maximum: what pixel 255 becomes before mean and std: 1.0 or 255.0.
        grey: one channel instead of three.
        dtype: "f32", or "u8" for models that take pixels as they are (then mean and std are empty).
    """

    input: str = ""
    size: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: str = "NCHW"
    rgb: bool = True
    maximum: float = 1.0
    grey: bool = False
    dtype: str = "f32"

    def __post_init__(self) -> None:
        if self.layout not in ("NCHW", "NHWC"):
            raise ArgumentError(f"preprocess: layout is '{self.layout}', give NCHW or NHWC")
        if len(self.size) not in (0, 2):
            raise ArgumentError(f"preprocess: size is {self.size}, give (height, width)")
        if self.dtype not in ("f32", "u8"):
            raise ArgumentError(f"preprocess: dtype is '{self.dtype}', give f32 or u8")
        if any(not std > 0 for std in self.std):
            raise ArgumentError(f"preprocess: std is {self.std}, every element must be above 0")

    def annotation(self) -> dict[str, Any]:
        """What goes into `graph.annotations["preprocess"]`."""
        return {
            name: list(item) if isinstance(item, tuple) else item
            for name, item in asdict(self).items()
        }

    @staticmethod
    def from_annotation(record: Mapping[str, Any]) -> Preprocess:
        """The record of an annotation.

        Raises:
            FormatError: it has keys that this version does not know.
        """
        fields: dict[str, Any] = {
            name: tuple(item) if isinstance(item, list) else item for name, item in record.items()
        }
        try:
            return Preprocess(**fields)
        except TypeError as error:
            raise FormatError(
                f"the preprocess annotation {dict(record)} is not of this version: {error}"
            ) from error

    def image(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The input tensor of one image.

        Args:
            pixels: [height, width], [height, width, 1 or 3] u8, channels in RGB order.

        Returns:
            [1, channels, height, width] or [1, height, width, channels] of `dtype`.

        Raises:
            ArgumentError: not an image of this kind.
        """
        pixels = np.asarray(pixels)
        if pixels.ndim == _IMAGE_RANK - 1:
            pixels = pixels[:, :, None]
        if pixels.ndim != _IMAGE_RANK or pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3):
            raise ArgumentError(
                f"an image must be u8 [height, width, 1 or 3], got {pixels.dtype} "
                f"{list(pixels.shape)}"
            )
        pixels = self._channels(self._resized(pixels))
        if self.dtype == "u8":
            tensor: NDArray[Any] = pixels
        else:
            tensor = pixels.astype(np.float32) * np.float32(self.maximum / 255)
            if self.mean:
                tensor -= np.array(self.mean, np.float32)
            if self.std:
                tensor /= np.array(self.std, np.float32)
        if self.layout == "NCHW":
            tensor = tensor.transpose(2, 0, 1)
        return np.ascontiguousarray(tensor[None])

    def _channels(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if self.grey:
            # ITU-R 601 luma in integers, as Pillow's convert("L") computes it.
            weights = np.array([19595, 38470, 7471], np.uint32)
            if pixels.shape[2] != 1:
                pixels = ((pixels @ weights + 0x8000) >> 16).astype(np.uint8)[:, :, None]
        elif pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        return pixels if self.rgb else pixels[:, :, ::-1]

    def _resized(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if not self.size or pixels.shape[:2] == self.size:
            return pixels
        pillow = _pillow()
        height, width = self.size
        single = pixels.shape[2] == 1
        image = pillow.fromarray(pixels[:, :, 0] if single else pixels)
        resized = np.asarray(image.resize((width, height), pillow.Resampling.BILINEAR))
        return resized[:, :, None] if single else resized


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "reading or resizing images needs Pillow; pip install 'pyruntime[report]'"
        ) from error
    return Image


def read_wave(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Mono samples in [-1, 1) and the sample rate of a PCM WAV file; channels are averaged.

    Raises:
        FormatError: not a PCM WAV file.
        UnsupportedError: samples of other than 1, 2 or 4 bytes.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise FormatError(f"'{path}' is not a PCM WAV file: {error}") from error
    if width not in (1, 2, 4):
        raise UnsupportedError(f"'{path}' has samples of {8 * width} bits; convert it to 16 bits")
    if width == 1:  # the only unsigned one
        samples = np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)
    else:
        samples = np.frombuffer(data, f"<i{width}").astype(np.float32)
    samples /= np.float32(2 ** (8 * width - 1))
    return samples.reshape(-1, channels).mean(axis=1, dtype=np.float32), rate


def fit_samples(samples: NDArray[Any], dims: tuple[int | None, ...]) -> NDArray[Any]:
    """A 1-D signal as an input of the given dims (None for free ones), cut or padded with zeros.

    The signal runs along the largest known dim above 1, else along the last free one; the others
    become 1.

    Raises:
        ArgumentError: no dim can hold it.
    """
    known = [(dim, axis) for axis, dim in enumerate(dims) if dim is not None and dim > 1]
    free = [axis for axis, dim in enumerate(dims) if dim is None]
    if not known and not free:
        raise ArgumentError(
            f"an input with dims {list(dims)} cannot take a signal of {samples.size} samples"
        )
    axis = max(known)[1] if known else free[-1]
    length = dims[axis] or samples.size
    fitted = np.zeros(length, samples.dtype)
    fitted[: min(length, samples.size)] = samples[:length]
    return fitted.reshape([length if i == axis else 1 for i in range(len(dims))])


def load_item(
    item: str | Path | NDArray[Any], record: Preprocess, dims: tuple[int | None, ...]
) -> NDArray[Any]:
    """The input tensor for a file (.npy, .wav, an image) or an array.

    Args:
        item: a path or an array. u8 arrays [H, W] or [H, W, C] are images; any other array is taken
            as it is, with a batch dim in front where it lacks one.
        record: what the model wants.
        dims: the input's dims, None for free ones.

    Raises:
        ArgumentError: the file does not exist or the array does not fit.
        MissingExtraError: an image file without Pillow.
    """
    if isinstance(item, (str, Path)):
        path = Path(item)
        if not path.is_file():
            raise ArgumentError(
                f"'{path}' is not a file; give an image, a .wav, a .npy or an array"
            )
        suffix = path.suffix.lower()
        if suffix == ".wav":
            return fit_samples(read_wave(path)[0], dims)
        if suffix != ".npy":
            with _pillow().open(path) as image:
                return record.image(np.asarray(image.convert("RGB")))
        try:
            item = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise FormatError(f"'{path}' is no .npy file of numbers: {error}") from error
    array = np.asarray(item)
    is_image = array.dtype == np.uint8 and (
        array.ndim == _IMAGE_RANK - 1 or (array.ndim == _IMAGE_RANK and array.shape[2] in (1, 3))
    )
    if is_image and len(dims) == _IMAGE_RANK + 1:
        return record.image(array)
    return array[None] if array.ndim == len(dims) - 1 else array

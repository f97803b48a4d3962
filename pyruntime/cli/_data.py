"""Samples from what a user points at: arrays, folders of images or sound, or a function."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from pyruntime.errors import ArgumentError
from pyruntime.preprocess import Preprocess, load_item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyruntime.graph import Value
    from pyruntime.session import TensorInfo

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
SOUND_SUFFIXES = (".wav",)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a .npz (by key) or .npy (under the name "").

    Raises:
        ArgumentError: not such a file, or damaged.
    """
    try:
        with path.open("rb") as file:  # closed here even where numpy would leave it open
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"": loaded}
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, BadZipFile) as error:
        raise ArgumentError(f"{path}: cannot be read as an array file: {error}") from error


def load_callable(text: str) -> Any:
    """What "module:function" or "file.py:function" names."""
    module_name, _, attribute = text.rpartition(":")
    if not module_name or not attribute:
        raise ArgumentError(f"'{text}' is not module:function")
    try:
        if module_name.endswith(".py"):
            spec = importlib.util.spec_from_file_location("pyruntime_user_module", module_name)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            sys.path.insert(0, str(Path.cwd()))
            module = importlib.import_module(module_name)
    except (ImportError, FileNotFoundError, SyntaxError) as error:
        raise ArgumentError(f"'{text}': {error}") from error
    if not hasattr(module, attribute):
        raise ArgumentError(f"'{text}': the module has no '{attribute}'")
    return getattr(module, attribute)


def media_files(folder: Path) -> list[Path]:
    """Images and sounds below a folder, sorted."""
    suffixes = IMAGE_SUFFIXES + SOUND_SUFFIXES
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    if not files:
        raise ArgumentError(f"{folder}: no images or WAV files found ({', '.join(suffixes)})")
    return files


def calibration_samples(text: str, inputs: Sequence[Value], record: Preprocess, limit: int) -> Any:
    """What `rt.quantize(calibration=...)` takes, from the text after --calibration.

    Args:
        text: a .npz (keys = input names, first axis = samples), .npy, a folder of images or WAV
            files, or module:function returning any of what `rt.quantize` takes.
        inputs: the model's inputs.
        record: how media files become arrays.
        limit: at most so many samples.
    """
    path = Path(text)
    if path.is_dir():
        return _media_feeds(media_files(path)[:limit], inputs, record)
    if path.suffix in (".npz", ".npy"):
        if not path.exists():
            raise ArgumentError(f"{path}: no such file")
        arrays = {name: array[:limit] for name, array in load_arrays(path).items()}
        return match_inputs(arrays, inputs, path)
    if ":" in text:
        return load_callable(text)()
    if not path.exists():
        raise ArgumentError(
            f"'{text}': no such file or folder; give a .npz, .npy, a folder of images or WAV "
            "files, or module:function"
        )
    raise ArgumentError(
        f"'{text}': unknown kind of data; give a .npz, .npy, a folder or module:function"
    )


def match_inputs(
    arrays: Mapping[str, NDArray[Any]], inputs: Sequence[Value | TensorInfo], where: Path
) -> dict[str, NDArray[Any]]:
    """Arrays under the model's input names; a single array needs no name."""
    names = [value.name for value in inputs]
    if len(names) == 1 and len(arrays) == 1 and names[0] not in arrays:
        return {names[0]: next(iter(arrays.values()))}
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ArgumentError(f"{where}: lacks inputs {missing}; it holds {sorted(arrays)}")
    return {name: arrays[name] for name in names}


def _media_feeds(
    files: Sequence[Path], inputs: Sequence[Value], record: Preprocess
) -> Iterator[dict[str, NDArray[Any]]]:
    if len(inputs) != 1:
        names = [value.name for value in inputs]
        raise ArgumentError(f"a folder feeds models of one input; this has {names}: use a .npz")
    dims = tuple(dim if isinstance(dim, int) else None for dim in inputs[0].dims)
    for file in files:
        yield {inputs[0].name: load_item(file, record, dims)}


def load_labels(path: Path) -> NDArray[np.int64]:
    """Class numbers from a .npy, a .npz with `labels` (or one array), or text, one a line."""
    if not path.is_file():
        raise ArgumentError(f"--labels {path}: no such file")
    if path.suffix in (".npy", ".npz"):
        arrays = load_arrays(path)
        array = arrays.get("labels", next(iter(arrays.values())))
    else:
        try:
            array = np.array([int(line) for line in path.read_text().split()])
        except ValueError as error:
            raise ArgumentError(
                f"--labels {path}: {error}; give one class number a line"
            ) from error
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ArgumentError(
            f"--labels {path}: need a vector of integers, got {array.dtype} {array.shape}"
        )
    return array.astype(np.int64)

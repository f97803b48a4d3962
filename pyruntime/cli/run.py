"""`pyruntime run`: a model on arrays, images or sound."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.cli import _arguments as shared
from pyruntime.cli._data import load_arrays, match_inputs
from pyruntime.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pyruntime.session import Session

TOP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags."""
    shared.add_model(parser)
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        help="a .npz with all inputs by name, or one .npy, image or .wav file per input; several "
        "images run one after the other through a model of one input",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="class names, one a line: print the top five"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write the outputs to a .npz"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing output")
    shared.add_threads(parser)
    shared.add_json(parser)
    parser.epilog = (
        "examples:\n  pyruntime run model.pyrt cat.jpg dog.jpg --labels names.txt\n"
        "  pyruntime run model.pyrt inputs.npz -o outputs.npz"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs every item and prints or writes what came out."""
    if arguments.output:
        shared.check_output(arguments.output, arguments.force)
    names = _read_names(arguments.labels) if arguments.labels else None
    session = shared.open_session(arguments.model, arguments.threads)
    items = _items(session, arguments.inputs)
    results = [(label, session.run(feeds)) for label, feeds in items]
    if names is not None:
        _check_names(arguments.labels, names, results[0][1])
    if arguments.output:
        _write(arguments.output, results)
    if arguments.json:
        shared.print_json(
            [
                {"input": label, "outputs": {k: v.tolist() for k, v in outputs.items()}}
                | ({"top": _tops(outputs, names)} if names else {})
                for label, outputs in results
            ]
        )
        return 0
    for label, outputs in results:
        shared.say(f"{label}:")
        for name, array in outputs.items():
            shared.say(_describe(name, array, names))
    return 0


def _items(session: Session, inputs: Sequence[Path]) -> list[tuple[str, dict[str, NDArray[Any]]]]:
    """(label, feeds) per run."""
    missing = [str(path) for path in inputs if not path.is_file()]
    if any(path.is_dir() for path in inputs):
        raise ArgumentError(f"{missing[0]} is a folder; name the files, e.g. {missing[0]}/*.png")
    if missing:
        raise ArgumentError(f"no such file: {', '.join(missing)}")
    if len(inputs) == 1 and inputs[0].suffix == ".npz":
        arrays = match_inputs(load_arrays(inputs[0]), session.inputs, inputs[0])
        return [(inputs[0].name, arrays)]
    if len(session.inputs) == 1:
        return [(path.name, dict(session.preprocess(path))) for path in inputs]
    if len(inputs) != len(session.inputs):
        wanted = [info.name for info in session.inputs]
        raise ArgumentError(
            f"the model has {len(wanted)} inputs {wanted}: give a .npz with these names, or one "
            ".npy each in this order"
        )
    feeds: dict[str, NDArray[Any]] = {}
    for info, path in zip(session.inputs, inputs, strict=True):
        feeds[info.name] = next(iter(load_arrays(path).values()))
    return [("inputs", feeds)]


def _read_names(path: Path) -> list[str]:
    if not path.is_file():
        raise ArgumentError(f"--labels {path}: no such file")
    return path.read_text(encoding="utf-8").splitlines()


def _check_names(path: Path, names: Sequence[str], outputs: Mapping[str, NDArray[Any]]) -> None:
    """Refuses a list of names that belongs to another model."""
    sizes = {name: array.shape[-1] if array.ndim else 1 for name, array in outputs.items()}
    if len(names) not in sizes.values():
        raise ArgumentError(
            f"--labels {path}: {len(names)} names, but the outputs hold {sizes} scores; "
            "one name a line, none left out"
        )


def _top(array: NDArray[Any], names: Sequence[str]) -> list[list[tuple[str, float]]]:
    """For each vector of scores its best names, best first."""
    tops = []
    for scores in array.reshape(-1, len(names)).astype(np.float64):
        order = np.argsort(-scores, kind="stable")[:TOP]
        tops.append([(names[i], float(scores[i])) for i in order])
    return tops


def _tops(outputs: Mapping[str, NDArray[Any]], names: Sequence[str]) -> dict[str, Any]:
    """`_top` of the outputs that hold a score for each name."""
    return {
        name: _top(array, names)
        for name, array in outputs.items()
        if array.ndim and array.shape[-1] == len(names)
    }


def _describe(name: str, array: NDArray[Any], names: Sequence[str] | None) -> str:
    shape = "x".join(map(str, array.shape)) or "scalar"
    if names is not None and array.ndim and array.shape[-1] == len(names):
        lines = []
        for index, best in enumerate(_top(array, names)):
            lines.append(f"  {name}:" if array.size == len(names) else f"  {name}[{index}]:")
            lines += [f"    {score:10.4f}  {label}" for label, score in best]
        return "\n".join(lines)
    with np.printoptions(precision=4, threshold=20, edgeitems=5, linewidth=90):
        values = str(array).replace("\n", "\n    ")
    return f"  {name} {array.dtype} {shape}\n    {values}"


def _write(path: Path, results: Sequence[tuple[str, Mapping[str, NDArray[Any]]]]) -> None:
    """All outputs; with several items they are stacked along the first axis where shapes agree."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in results[0][1]:
        parts = [outputs[name] for _, outputs in results]
        if len({part.shape for part in parts}) > 1:
            raise ArgumentError(
                f"output '{name}' has different shapes for different inputs; run them one by one"
            )
        arrays[name] = (
            parts[0] if len(parts) == 1 else np.concatenate([np.atleast_1d(p) for p in parts])
        )
    temporary = path.with_name(path.name + ".partial")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

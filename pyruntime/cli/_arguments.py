"""Flags that several commands share, so that they agree everywhere."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyruntime.errors import ArgumentError
from pyruntime.preprocess import ANNOTATION, Preprocess

if TYPE_CHECKING:
    from pyruntime.graph import Graph
    from pyruntime.session import Session


def add_model(parser: argparse.ArgumentParser, what: str = "a .onnx or .pyrt file") -> None:
    """The model argument."""
    parser.add_argument("model", type=Path, help=what)


def add_dims(parser: argparse.ArgumentParser) -> None:
    """--dim."""
    parser.add_argument(
        "--dim",
        action="append",
        default=[],
        metavar="NAME=SIZE",
        help="fix a dimension that the ONNX file leaves open, such as batch=1 (repeatable)",
    )


def parse_dims(texts: Sequence[str]) -> dict[str, int]:
    """Name -> size from NAME=SIZE."""
    dims = {}
    for text in texts:
        name, _, size = text.rpartition("=")
        if not name or not (size.isascii() and size.isdigit()):
            raise ArgumentError(f"--dim {text}: write NAME=SIZE, such as batch=1")
        dims[name] = int(size)
    return dims


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """-o and --force."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)
    parser.add_argument("--force", action="store_true", help="overwrite an existing output")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def positive(text: str) -> int:
    """An integer of at least 1, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return number


def add_threads(parser: argparse.ArgumentParser) -> None:
    """--threads."""
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads to use (default: all that this process may)",
    )


def add_preprocess(parser: argparse.ArgumentParser) -> None:
    """What the model wants its images to look like."""
    group = parser.add_argument_group(
        "preprocessing",
        "how images become the model's input; stored in the file, so `run` does the same",
    )
    group.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="resize images to H x W"
    )
    group.add_argument("--mean", type=float, nargs="+", metavar="M", help="subtract, per channel")
    group.add_argument(
        "--std", type=float, nargs="+", metavar="S", help="then divide by, per channel"
    )
    group.add_argument(
        "--layout", choices=("NCHW", "NHWC"), help="order of the model's input (default NCHW)"
    )
    group.add_argument(
        "--rgb",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="channel order; --no-rgb is BGR",
    )
    group.add_argument("--grey", action="store_true", default=None, help="one grey channel")
    group.add_argument(
        "--input-range",
        type=float,
        nargs=2,
        metavar=("LO", "HI"),
        help="what pixels 0..255 become before mean and std: 0 1 (default) or 0 255",
    )


def preprocess_from(arguments: argparse.Namespace, graph: Graph) -> Preprocess:
    """The record from the flags; size and greyness from the model's input where not given."""
    fields: dict[str, Any] = {}
    for name in ("mean", "std"):
        if getattr(arguments, name) is not None:
            fields[name] = tuple(getattr(arguments, name))
    for name in ("layout", "rgb", "grey"):
        if getattr(arguments, name) is not None:
            fields[name] = getattr(arguments, name)
    if arguments.input_range is not None:
        low, high = arguments.input_range
        if low != 0 or high not in (1, 255):
            raise ArgumentError(
                f"--input-range {low:g} {high:g}: use 0 1 or 0 255; --mean and --std do the rest"
            )
        fields["maximum"] = high
    dims = graph.inputs[0].dims if graph.inputs else ()
    if len(dims) == 4:
        nhwc = fields.get("layout") == "NHWC"
        channels, height, width = (dims[3], dims[1], dims[2]) if nhwc else dims[1:]
        if arguments.size is not None:
            fields["size"] = tuple(arguments.size)
        elif isinstance(height, int) and isinstance(width, int):
            fields["size"] = (height, width)
        fields.setdefault("grey", channels == 1)
    return Preprocess(**fields)


def add_annotation(graph: Graph, record: Preprocess) -> None:
    """Stores the record in the graph."""
    graph.annotations[ANNOTATION] = record.annotation()


def check_output(path: Path, force: bool) -> None:
    """Refuses before the work is done what could not be written after it."""
    if path.is_dir():
        raise ArgumentError(f"{path} is a folder; name a file in it")
    if path.exists() and not force:
        raise ArgumentError(f"{path} exists; choose another name or add --force")
    if not path.parent.is_dir():
        raise ArgumentError(f"{path}: the folder {path.parent} does not exist")


def check_model(path: Path) -> None:
    """Refuses what is no file."""
    if path.is_dir():
        raise ArgumentError(f"{path} is a folder; give the .onnx or .pyrt file in it")
    if not path.is_file():
        raise ArgumentError(f"{path}: no such file")


def read_graph(path: Path, dims: Sequence[str] = ()) -> Graph:
    """The graph of an ONNX file, with the dimensions that --dim fixed."""
    check_model(path)
    if path.suffix == ".pyrt":
        raise ArgumentError(f"{path} is compiled already; give the ONNX file it came from")
    from pyruntime.onnx_import import import_onnx

    return import_onnx(path, dims=parse_dims(dims))


def open_session(path: Path, threads: int | None = None, dims: Sequence[str] = ()) -> Session:
    """A session of a .pyrt, or of an ONNX file compiled in memory."""
    from pyruntime.session import Session

    check_model(path)
    if path.suffix == ".pyrt":
        if dims:
            raise ArgumentError(f"--dim {dims[0]}: {path} is compiled; compile its ONNX file again")
        return Session(path, threads=threads)
    from pyruntime.plan.compile import compile as compile_graph

    data = compile_graph(read_graph(path, dims))
    assert data is not None
    return Session(data, threads=threads)


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def say(text: str) -> None:
    """One line for people on stdout."""
    sys.stdout.write(text + "\n")

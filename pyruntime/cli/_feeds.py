"""Made-up inputs of the right shape, for commands that only need time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.cli._data import load_arrays, match_inputs
from pyruntime.errors import ArgumentError
from pyruntime.graph.types import DType

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from pyruntime.session import Session


def add_feeds(parser: argparse.ArgumentParser) -> None:
    """--inputs and --shape."""
    parser.add_argument(
        "--inputs",
        type=Path,
        metavar="FILE.npz",
        help="inputs by name (default: seeded random numbers)",
    )
    add_shape(parser)


def add_shape(parser: argparse.ArgumentParser) -> None:
    """--shape alone."""
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1,3,224,224",
        help="shape of an input whose dimensions are free (default: small ones that it takes)",
    )


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Name -> dims from NAME=1,3,224,224."""
    shapes = {}
    for text in texts:
        name, _, numbers = text.rpartition("=")
        try:
            shapes[name] = tuple(int(number) for number in numbers.split(",") if number)
        except ValueError:
            raise ArgumentError(f"--shape {text}: write NAME=1,3,224,224") from None
        if not name or any(size < 0 for size in shapes[name]):
            raise ArgumentError(f"--shape {text}: write NAME=1,3,224,224")
    return shapes


def given_dims(session: Session, texts: Sequence[str]) -> dict[str, tuple[int, ...]] | None:
    """Dims of all inputs where --shape names some, free ones of the others being 1; else None."""
    shapes = parse_shapes(texts)
    names = [info.name for info in session.inputs]
    unknown = [name for name in shapes if name not in names]
    if unknown:
        raise ArgumentError(f"--shape: no inputs called {unknown}; the model has {names}")
    if not shapes:
        return None
    return {info.name: shapes.get(info.name, _ones(info.dims)) for info in session.inputs}


def _ones(dims: Sequence[int | str]) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else 1 for dim in dims)


def make_feeds(session: Session, arguments: argparse.Namespace) -> dict[str, NDArray[Any]]:
    """Inputs from --inputs, else seeded random ones of the shapes wanted."""
    if arguments.inputs:
        if not arguments.inputs.is_file():
            raise ArgumentError(f"--inputs {arguments.inputs}: no such file")
        return match_inputs(load_arrays(arguments.inputs), session.inputs, arguments.inputs)
    shapes = given_dims(session, arguments.shape) or session.trial_dims()
    generator = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for info in session.inputs:
        shape = shapes[info.name]
        dtype = DType(info.dtype)
        if dtype.is_float:
            feeds[info.name] = generator.random(shape, dtype=np.float32).astype(dtype.numpy)
        elif dtype is DType.BOOL:
            feeds[info.name] = np.ones(shape, dtype=bool)
        else:
            feeds[info.name] = generator.integers(0, 2, shape).astype(dtype.numpy)
    return feeds

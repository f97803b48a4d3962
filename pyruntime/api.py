"""The compression calls as users make them: calibrated by the compiled runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from pyruntime.compression import quantize as _quantize
from pyruntime.compression import recipe as _recipe
from pyruntime.compression.calibrate import Feeds, RangeMethod, Run
from pyruntime.compression.factorize import factorize
from pyruntime.compression.prune import prune
from pyruntime.compression.record import Record
from pyruntime.graph import Graph
from pyruntime.plan.compile import compile as _compile
from pyruntime.session import Session

__all__ = ["compiled_run", "compress", "factorize", "prune", "quantize"]


def compiled_run(threads: int | None = None) -> Run:
    """A `Run` that compiles the graph once for the values asked for and keeps the session."""
    sessions: dict[tuple[int, tuple[str, ...]], tuple[Graph, Session]] = {}

    def run(graph: Graph, feeds: Feeds, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        key = (id(graph), tuple(names))
        if key not in sessions:
            probe = graph.copy()
            by_name = {value.name: value for value in probe.values()}
            probe.outputs = [by_name[name] for name in names]
            probe.output_names = list(names)
            data = _compile(probe, optimize=False)
            assert data is not None
            sessions[key] = (graph, Session(data, threads=threads))
        results: Mapping[str, NDArray[Any]] = sessions[key][1].run(dict(feeds))
        return results

    return run


def quantize(  # noqa: PLR0913 - keyword options of the public call, each with a default
    graph: Graph,
    calibration: Any = None,
    *,
    method: RangeMethod = "mse",
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    input_range: tuple[float, float] | None = None,
    batch: int = 16,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Graph, Record]:
    """Static int8; see `pyruntime.compression.quantize.quantize`.

    Args:
        graph: left as it is.
        calibration: a dict of arrays (first axis = samples), one array, or an iterable of feeds;
            about 100 samples.
            None: only the weights become 8-bit.
        method: "mse", "minmax" or "percentile".
        percentile: for that method.
        exclude: names of layers that stay in float.
        input_range: what float inputs should lie in, e.g. (0, 1), to check the calibration data.
        batch: samples per calibration run.
        threads: for the calibration runs.
        progress: called with the number of runs done so far.

    Returns:
        (graph with Q/DQ pairs, record).
    """
    run = compiled_run(threads)
    return _quantize.quantize(
        graph,
        calibration,
        method=method,
        percentile=percentile,
        exclude=exclude,
        input_range=input_range,
        batch=batch,
        run=run if progress is None else _counting(run, progress),
    )


def _counting(run: Run, progress: Callable[[int], None]) -> Run:
    done = 0

    def counted(graph: Graph, feeds: Feeds, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        nonlocal done
        results = run(graph, feeds, names)
        done += 1
        progress(done)
        return results

    return counted


def compress(
    graph: Graph,
    recipe: str | Sequence[_recipe.Step],
    *,
    calibration: Any = None,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Graph, Record]:
    """Applies a recipe, e.g. "prune:0.9+int8" or a list of steps.

    Args:
        graph: left as it is.
        recipe: see `pyruntime.compression.recipe.compress`.
        calibration: as for `quantize`.
        threads: for the calibration runs.
        progress: called with the number of calibration runs done so far.

    Returns:
        (compressed graph, record of all steps).
    """
    run = compiled_run(threads)
    counted = run if progress is None else _counting(run, progress)
    return _recipe.compress(graph, recipe, calibration=calibration, run=counted)

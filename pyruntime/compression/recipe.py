"""Recipes: compression steps in a row, as data.

A recipe is a list of steps, each a mapping with `method` and that method's arguments. Short text is
understood too: "int8", "prune:0.9", "prune:0.9+int8", "svd:0.5", "fp16", "int8-weights".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyruntime.compression.calibrate import Run, reference_run
from pyruntime.compression.factorize import factorize
from pyruntime.compression.prune import prune
from pyruntime.compression.quantize import quantize, store_fp16, store_int8
from pyruntime.compression.record import Record
from pyruntime.errors import ArgumentError
from pyruntime.graph import Graph

Step = Mapping[str, Any]
_Apply = Callable[..., tuple[Graph, Record]]

_METHODS: dict[str, _Apply] = {
    "prune": prune,
    "svd": factorize,
    "int8": quantize,
    "int8-weights": store_int8,
    "fp16": store_fp16,
}
_SHORT_ARGUMENT = {"prune": "sparsity", "svd": "ratio"}


def parse_recipe(text: str) -> list[Step]:
    """A recipe from short text such as "prune:0.9+int8".

    Raises:
        ArgumentError: an unknown method or a number that is none.
    """
    steps: list[Step] = []
    for part in text.split("+"):
        method, _, number = part.strip().partition(":")
        _check_method(method)
        step: dict[str, Any] = {"method": method}
        if number:
            if method not in _SHORT_ARGUMENT:
                raise ArgumentError(f"recipe: '{method}' takes no number, got '{part.strip()}'")
            try:
                step[_SHORT_ARGUMENT[method]] = float(number)
            except ValueError:
                raise ArgumentError(
                    f"recipe: '{number}' in '{part.strip()}' is no number; write e.g. {method}:0.5"
                ) from None
        elif method in _SHORT_ARGUMENT:
            raise ArgumentError(f"recipe: '{method}' needs a number, e.g. {method}:0.5")
        steps.append(step)
    return steps


def _check_method(method: object) -> None:
    if method not in _METHODS:
        raise ArgumentError(f"recipe: unknown method '{method}'; known are {', '.join(_METHODS)}")


def compress(
    graph: Graph,
    recipe: str | Sequence[Step],
    *,
    calibration: Any = None,
    run: Run = reference_run,
) -> tuple[Graph, Record]:
    """Applies the steps of a recipe in order.

    Args:
        graph: left as it is.
        recipe: short text or a list of steps, e.g. [{"method": "prune", "sparsity": 0.9},
            {"method": "int8"}].
        calibration: samples for "int8" (see `quantize`).
        run: how calibration runs a graph.

    Returns:
        The compressed graph and the record of all steps.
    """
    steps = parse_recipe(recipe) if isinstance(recipe, str) else list(recipe)
    if not steps:
        raise ArgumentError("recipe: no steps; give at least one, e.g. 'int8'")
    record = Record()
    for step in steps:
        _check_method(step.get("method"))
        arguments = {key: value for key, value in step.items() if key != "method"}
        if step["method"] == "int8":
            arguments = {"calibration": calibration, "run": run} | arguments
        try:
            graph, rows = _METHODS[step["method"]](graph, **arguments)
        except TypeError as error:
            raise ArgumentError(f"recipe: step {dict(step)}: {error}") from error
        record = record + rows
    return graph, record

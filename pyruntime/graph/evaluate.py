"""Runs a graph by the numpy references of its operators: for calibration, folding and tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import ArgumentError, DTypeError, ShapeError
from pyruntime.graph.dims import evaluate as evaluate_dim
from pyruntime.graph.graph import Graph, Value
from pyruntime.graph.types import DType

Array = NDArray[Any]


def evaluate(
    graph: Graph, feeds: Mapping[str, Array], *, keep: Collection[str] | None = None
) -> dict[str, Array]:
    """The outputs of a graph. Results are freed after their last use.

    Args:
        graph: the model.
        feeds: input name -> array.
        keep: names of values to give back as well, e.g. activations to calibrate.

    Returns:
        Output name -> array, then value name -> array for `keep`.

    Raises:
        ArgumentError: a feed is missing or unknown, or `keep` names no value.
        ShapeError, DTypeError: a feed does not fit its input.
    """
    values = _bind(graph, feeds)
    wanted = set(keep or ())
    kept: dict[str, Array] = {}
    last = {id(v): i for i, node in enumerate(graph.nodes) for v in node.inputs if v is not None}
    outputs = {id(value) for value in graph.outputs}

    def look_up(value: Value) -> Array:
        array = value.constant if value.constant is not None else values[id(value)]
        if value.name in wanted:
            kept[value.name] = array
        return array

    for value in graph.inputs:
        look_up(value)
    for position, node in enumerate(graph.nodes):
        arrays = [None if value is None else look_up(value) for value in node.inputs]
        results = node.operator.reference(node.attributes, arrays, len(node.outputs))
        for value, array in zip(node.outputs, results, strict=True):
            values[id(value)] = array
            look_up(value)
        for used in (*node.inputs, *node.outputs):
            done = used is not None and last.get(id(used), position) == position
            if done and id(used) not in outputs:
                values.pop(id(used), None)
    found = {
        name: look_up(value) for name, value in zip(graph.output_names, graph.outputs, strict=True)
    }
    if wanted - kept.keys():
        raise ArgumentError(f"the graph has no value named {sorted(wanted - kept.keys())[0]!r}")
    return {**kept, **found}


def _bind(graph: Graph, feeds: Mapping[str, Array]) -> dict[int, Array]:
    names = {value.name for value in graph.inputs}
    if names != set(feeds):
        raise ArgumentError(f"the model has inputs {sorted(names)}, given are {sorted(feeds)}")
    sizes: dict[str, int] = {}
    values: dict[int, Array] = {}
    for value in graph.inputs:
        array = np.asarray(feeds[value.name])
        if DType.of(array) is not value.dtype:
            raise DTypeError(f"input '{value.name}' is {array.dtype}, must be {value.dtype}")
        if array.ndim != len(value.dims):
            raise ShapeError(
                f"input '{value.name}' has dims {list(array.shape)}, must have {list(value.dims)}"
            )
        for dim, size in zip(value.dims, array.shape, strict=True):
            if not isinstance(dim, int) and list(dim.terms) == [(repr(dim),)]:
                sizes.setdefault(repr(dim), size)
        values[id(value)] = array
    for value in graph.inputs:
        wanted = [evaluate_dim(dim, sizes) for dim in value.dims]
        if wanted != list(values[id(value)].shape):
            raise ShapeError(
                f"input '{value.name}' has dims {list(values[id(value)].shape)}, must have {wanted}"
            )
    return values

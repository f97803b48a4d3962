"""Which activations become 8-bit.

The inputs of quantised layers, and whatever lies between them that integer kernels can do, so that
an integer graph stays integer from end to end. Operators that only move or select data keep the
scale of what they move, so these values form groups with one range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pyruntime.compression.calibrate import BINS, Histogram
from pyruntime.graph import DType, Graph, Node, Value
from pyruntime.passes.integer.supported import keeps_scale, makes_scale


class Regions:
    """The values to quantise, in order, and the groups among them that share one range."""

    def __init__(self, graph: Graph) -> None:
        self.values: list[Value] = []
        self._graph = graph
        self._parent: dict[int, int] = {}
        self._members: set[int] = set()
        self._users: dict[int, list[tuple[Node, int]]] = {}

    def __contains__(self, value: Value | None) -> bool:
        return value is not None and id(value) in self._members

    def add(self, value: Value) -> None:
        """Marks a value."""
        if id(value) not in self._members:
            self._members.add(id(value))
            self._parent[id(value)] = id(value)
            self.values.append(value)

    def use(self, value: Value, node: Node, index: int) -> None:
        """Notes that an input of a node reads the 8-bit form."""
        self._users.setdefault(id(value), []).append((node, index))

    def users(self, value: Value) -> list[tuple[Node, int]]:
        """The inputs that read the 8-bit form of the value."""
        return self._users.get(id(value), [])

    def _root(self, key: int) -> int:
        while self._parent[key] != key:
            key = self._parent[key]
        return key

    def join(self, values: Sequence[Value]) -> None:
        """Gives all the values one range."""
        first = self._root(id(values[0]))
        for value in values[1:]:
            self._parent[self._root(id(value))] = first

    def groups(self) -> Iterator[list[Value]]:
        """Values that share a range, together."""
        grouped: dict[int, list[Value]] = {}
        for value in self.values:
            grouped.setdefault(self._root(id(value)), []).append(value)
        yield from grouped.values()

    @staticmethod
    def merge(histograms: Iterable[Histogram]) -> Histogram:
        """One histogram over all."""
        parts = [part for part in histograms if part.samples]
        if len(parts) == 1:
            return parts[0]
        merged = Histogram()
        merged.low = min((part.low for part in parts), default=0.0)
        high = max((part.low + BINS * part.width for part in parts), default=1.0)
        merged.width = (high - merged.low) * (1 + 1e-9) / BINS
        for part in parts:
            index = ((part.centres - merged.low) / merged.width).astype(np.int64)
            np.add.at(merged.counts, np.clip(index, 0, BINS - 1), part.counts)
            merged.minimum = min(merged.minimum, part.minimum)
            merged.maximum = max(merged.maximum, part.maximum)
            merged.samples += part.samples
        return merged


def _activations(node: Node) -> list[tuple[int, Value]]:
    return [
        (index, value)
        for index, value in enumerate(node.inputs)
        if value is not None and value.constant is None and value.dtype is DType.F32
    ]


def integer_regions(graph: Graph, targets: Sequence[Node]) -> Regions:
    """Finds the values to quantise for the given layers.

    Backwards, the nodes whose results only 8-bit users read; forwards, those among them whose
    inputs are 8-bit.
    """
    target_ids = {id(node) for node in targets}
    wanted = _wanted_nodes(graph, target_ids)
    regions = Regions(graph)
    for node in graph.nodes:
        activations = _activations(node)
        between = (
            id(node) in wanted
            and bool(activations)
            and all(
                value in regions
                or (value.producer is not None and id(value.producer) in target_ids)
                for _, value in activations
            )
        )
        if id(node) not in target_ids and not between:
            continue
        for index, value in activations:
            regions.add(value)
            regions.use(value, node, index)
        if between:
            for output in node.outputs:
                regions.add(output)
            if keeps_scale(node):
                regions.join([*(value for _, value in activations), *node.outputs])
    return regions


def _wanted_nodes(graph: Graph, target_ids: set[int]) -> set[int]:
    """Nodes that integer kernels can do and whose every user, in the end, is a quantised layer."""
    consumers = graph.consumers()
    wanted: set[int] = set()
    for node in reversed(graph.nodes):
        if id(node) in target_ids or not (keeps_scale(node) or makes_scale(node)):
            continue
        users = [user for output in node.outputs for user, _ in consumers.get(id(output), [])]
        visible = any(graph.is_output(output) for output in node.outputs)
        quantised = all(id(user) in target_ids or id(user) in wanted for user in users)
        if users and quantised and not visible:
            wanted.add(id(node))
    return wanted

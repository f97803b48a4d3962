"""The record that describes a pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyruntime.graph import Graph


@dataclass(frozen=True, slots=True)
class Pass:
    """A rewrite of a graph, in place.

    Attributes:
        name: as given to `optimize(skip=...)`.
        requires: what must hold before, in words.
        ensures: what holds afterwards, in words.
        run: rewrites the graph and says whether anything changed.
    """

    name: str
    requires: str
    ensures: str
    run: Callable[[Graph], bool]

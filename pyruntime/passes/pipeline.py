"""The order of the passes, as one list with reasons."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pyruntime.errors import ArgumentError
from pyruntime.graph import Graph
from pyruntime.graph.verify import verify
from pyruntime.passes._pass import Pass
from pyruntime.passes.canonicalize import CANONICALIZE
from pyruntime.passes.common_subexpressions import COMMON_SUBEXPRESSIONS
from pyruntime.passes.dead_code import DEAD_CODE
from pyruntime.passes.fold_constants import FOLD_CONSTANTS, FOLD_WEIGHTS
from pyruntime.passes.fuse_activation import FUSE_ACTIVATION
from pyruntime.passes.fuse_affine import FUSE_AFFINE
from pyruntime.passes.fuse_epilogue import FUSE_EPILOGUE
from pyruntime.passes.fuse_gelu import FUSE_GELU
from pyruntime.passes.fuse_layer_norm import FUSE_LAYER_NORM
from pyruntime.passes.fuse_sign import FUSE_SIGN
from pyruntime.passes.identity import IDENTITY
from pyruntime.passes.integer.between import BETWEEN
from pyruntime.passes.integer.expand_qlinear import EXPAND_QLINEAR
from pyruntime.passes.integer.layers import LAYERS
from pyruntime.passes.integer.propagate import PROPAGATE
from pyruntime.passes.integer.signed import SIGNED

_log = logging.getLogger(__name__)

FLOAT_PASSES: tuple[Pass, ...] = (
    DEAD_CODE,  # what no output needs would only cost time below
    FOLD_CONSTANTS,  # shape arithmetic and derived weights become constants that fusion can see
    IDENTITY,  # no-ops would hide neighbours from each other
    COMMON_SUBEXPRESSIONS,  # equal branches become one value with several users
    CANONICALIZE,  # one linear operator and one addition for the fusions
    FUSE_GELU,
    FUSE_LAYER_NORM,
    FUSE_ACTIVATION,  # before a piece of the pattern is taken for a bias or a clip
    DEAD_CODE,  # pieces of patterns would count as users
    FUSE_AFFINE,  # needs bare layers: before clips and shortcuts are fused
    FUSE_SIGN,  # likewise, and takes the scaling along
    FUSE_EPILOGUE,
    DEAD_CODE,
)
INTEGER_PASSES: tuple[Pass, ...] = (
    EXPAND_QLINEAR,  # one form of quantised layers
    SIGNED,  # one sign
    PROPAGATE,  # brings DQ next to the layers
    LAYERS,
    BETWEEN,  # additions and activations that layers did not take as epilogues
    PROPAGATE,  # pairs that have become neighbours cancel
    DEAD_CODE,
    FOLD_WEIGHTS,  # quantised weights whose layer stayed in float
    FUSE_AFFINE,
    FUSE_EPILOGUE,
    COMMON_SUBEXPRESSIONS,
    DEAD_CODE,
)


def run_passes(graph: Graph, passes: Sequence[Pass], skip: Sequence[str] = ()) -> None:
    """Runs passes on the graph itself and verifies it after each.

    Raises:
        ArgumentError: `skip` names no pass.
    """
    names = {entry.name for entry in (*FLOAT_PASSES, *INTEGER_PASSES)}
    unknown = [name for name in skip if name not in names]
    if unknown:
        raise ArgumentError(f"no passes called {unknown}; known are {sorted(names)}")
    for entry in passes:
        if entry.name in skip:
            continue
        changed = entry.run(graph)
        _log.debug("pass %s: %s", entry.name, "changed" if changed else "no change")
        if changed:
            verify(graph)


def optimize_float(graph: Graph) -> Graph:
    """A copy with the float passes applied: what compression works on."""
    result = graph.copy()
    run_passes(result, FLOAT_PASSES)
    return result


def optimize(graph: Graph, skip: Sequence[str] = ()) -> Graph:
    """A copy with all passes applied, ready to be lowered.

    Args:
        graph: left as it is.
        skip: names of passes to leave out, to find out what one does.
    """
    result = graph.copy()
    run_passes(result, (*FLOAT_PASSES, *INTEGER_PASSES), skip)
    return result

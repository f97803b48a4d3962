"""`pyruntime.compile`: Graph -> optimised Graph -> Program -> `.pyrt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyruntime.errors import UnsupportedError
from pyruntime.graph.graph import Graph
from pyruntime.passes.pipeline import optimize as run_passes
from pyruntime.plan import file
from pyruntime.plan.inputs import fold_input
from pyruntime.plan.lower import lower
from pyruntime.plan.program import Program

# Steps named in a refusal; a model has hundreds and the first ones say enough.
_NAMED = 8


def to_program(graph: Graph, *, optimize: bool = True) -> Program:
    """The Program of a graph, which is left as it is.

    Args:
        graph: the model.
        optimize: whether the passes run first; without them each node is lowered as the model has
            it.

    Raises:
        UnsupportedError, ShapeError, DTypeError: something in the graph cannot be compiled; the
        node is named.
    """
    return lower(run_passes(graph) if optimize else graph)


def compile(
    graph: Graph,
    path: str | Path | None = None,
    *,
    bit_exact: bool = False,
    optimize: bool = True,
    input_layout: str = "",
    input_dtype: str = "",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> bytes | None:
    """Compiles a graph; it runs on every CPU and at every input shape the model allows.

    Args:
        graph: the model; it is not changed.
        path: where the `.pyrt` file goes, atomically; an existing file is replaced. None gives its
            bytes back.
        bit_exact: refuse a model whose outputs are not the same bytes on every CPU.
        optimize: whether to run the passes first.
        input_layout: "NHWC" gives the image input channels last.
        input_dtype: "u8" makes it take pixels 0..255.
        mean: what the model subtracts from the scaled pixels then, per channel; None takes it from
            the preprocess annotation.
        std: what it divides them by, likewise.

    Returns:
        The content of the file if `path` is None, else None.

    Raises:
        UnsupportedError: the graph cannot be compiled, or is not bit-exact though asked to be; the
            message names the nodes.
    """
    if input_layout or input_dtype or mean is not None or std is not None:
        graph = fold_input(graph, layout=input_layout, dtype=input_dtype, mean=mean, std=std)
    program = to_program(graph, optimize=optimize)
    if not bit_exact and path is not None:
        file.write(program, path)
        return None
    data = file.to_bytes(program)
    if bit_exact:
        refuse_inexact(data)
    if path is None:
        return data
    file.write(program, path)
    return None


def refuse_inexact(data: bytes) -> None:
    """Checks that every output of a compiled model is the same bytes on every CPU.

    Raises:
        UnsupportedError: it is not; the message names the steps.
    """
    from pyruntime.kernels import inexact_steps

    names = inexact_steps(data)
    if names:
        shown = ", ".join(f"'{name}'" for name in names[:_NAMED])
        rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise UnsupportedError(
            f"the model is not bit-exact: {shown}{rest} compute in floating point whose order "
            "depends on the CPU, or "
            "run on the host. Quantise them (pyruntime.quantize) or compile without bit_exact"
        )

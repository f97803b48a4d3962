"""`pyruntime inspect`: what is in a model and how this machine would run it."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pyruntime.cli import _arguments as shared
from pyruntime.cli._feeds import add_shape, given_dims
from pyruntime.cli._table import table
from pyruntime.compression._layers import layers, zero_share
from pyruntime.graph.dims import evaluate, product
from pyruntime.preprocess import ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pyruntime.graph import Dim, Graph
    from pyruntime.session import Session

_NAME_WIDTH = 34
_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags."""
    shared.add_model(parser)
    shared.add_dims(parser)
    parser.add_argument(
        "--why", action="store_true", help="for each step, why it got its kernel and why no other"
    )
    add_shape(parser)
    shared.add_threads(parser)
    shared.add_json(parser)
    parser.epilog = (
        "examples:\n  pyruntime inspect model.onnx\n  pyruntime inspect model.pyrt --why"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints layers (ONNX) and steps (either)."""
    result: dict[str, Any] = {"model": str(arguments.model)}
    lines: list[str] = []
    if arguments.model.suffix != ".pyrt":
        graph = shared.read_graph(arguments.model, arguments.dim)
        result["graph"] = describe_graph(graph)
        lines += _graph_lines(result["graph"])
    session = shared.open_session(arguments.model, arguments.threads, arguments.dim)
    if arguments.model.suffix == ".pyrt":
        lines += _file_lines(arguments.model, session)
    dims = given_dims(session, arguments.shape)
    result["inputs"] = [asdict(info) for info in session.inputs]
    result["outputs"] = [asdict(info) for info in session.outputs]
    result["steps"] = [asdict(step) for step in session.steps(dims)]
    result["inexact_steps"] = list(session.inexact_steps(dims))
    result["memory"] = session.memory(dims)
    lines += _session_lines(session, dims, arguments.why)
    if arguments.json:
        shared.print_json(result)
    else:
        shared.say("\n".join(lines))
    return 0


class _Ones(dict[str, int]):
    """Every free dimension is 1."""

    def __missing__(self, name: str) -> int:
        return 1

    def __contains__(self, name: object) -> bool:
        return True


def _size(dims: tuple[Dim, ...]) -> int:
    return evaluate(product(dims), _Ones())


def describe_graph(graph: Graph) -> dict[str, Any]:
    """Inputs, outputs, operators and the layers with weights; free dimensions count as 1."""
    rows = []
    for layer in layers(graph):
        weights, output = layer.weights, layer.node.outputs[0]
        channels = weights.shape[layer.output_axis] or 1
        rows.append(
            {
                "layer": layer.name,
                "operator": layer.node.operator.name,
                "weights": "x".join(map(str, weights.shape)),
                "parameters": int(weights.size),
                "zeros": f"{zero_share(weights):.4f}",
                "macs": int(weights.size * _size(output.dims) // channels),
            }
        )
    return {
        "inputs": {value.name: f"{value.dtype}[{_dims(value.dims)}]" for value in graph.inputs},
        "outputs": {
            name: f"{value.dtype}[{_dims(value.dims)}]"
            for name, value in zip(graph.output_names, graph.outputs, strict=True)
        },
        "operators": dict(Counter(node.operator.name for node in graph.nodes).most_common()),
        "layers": rows,
        "parameters": sum(
            int(value.constant.size) for value in graph.constants() if value.constant is not None
        ),
        "macs": sum(row["macs"] for row in rows),
    }


def _dims(dims: Iterable[Dim | str]) -> str:
    return ",".join(map(str, dims))


def _graph_lines(graph: dict[str, Any]) -> list[str]:
    lines = [f"input   {name}: {kind}" for name, kind in graph["inputs"].items()]
    lines += [f"output  {name}: {kind}" for name, kind in graph["outputs"].items()]
    lines.append("")
    rows = [
        (
            row["layer"][-_NAME_WIDTH:],
            row["operator"],
            row["weights"],
            f"{row['parameters']:,}",
            f"{float(row['zeros']):.0%}",
            f"{row['macs']:,}",
        )
        for row in graph["layers"]
    ]
    if rows:
        lines.append(
            table(("layer", "operator", "weights", "parameters", "zeros", "MACs"), rows, left=3)
        )
    operators = ", ".join(f"{name} {count}" for name, count in graph["operators"].items())
    lines += [
        f"{graph['parameters']:,} parameters, {graph['macs']:,} multiply-accumulates in them",
        f"operators: {operators}",
        "",
    ]
    return lines


def _file_lines(path: Path, session: Session) -> list[str]:
    """Of a .pyrt: inputs, outputs, and what compression and preprocessing noted in it."""
    lines = [f"{path.name}: {path.stat().st_size:,} bytes"]
    for side, infos in (("input ", session.inputs), ("output", session.outputs)):
        lines += [f"{side}  {info.name}: {info.dtype}[{_dims(info.dims)}]" for info in infos]
    notes = session.annotations
    if ANNOTATION in notes:
        fields = ", ".join(f"{key} {item}" for key, item in notes[ANNOTATION].items() if item)
        lines.append(f"preprocessing: {fields}"[:_WIDTH])
    methods = Counter(row["method"] for row in notes.get("record", {}).get("layers", ()))
    if methods:
        done = ", ".join(f"{method} in {count} layers" for method, count in methods.items())
        lines.append(f"compressed: {done}"[:_WIDTH])
    return [*lines, ""]


def _session_lines(
    session: Session, dims: Mapping[str, tuple[int, ...]] | None, why: bool
) -> list[str]:
    steps = session.steps(dims)
    rows: list[tuple[str, ...]] = [
        (
            step.name[-_NAME_WIDTH:],
            step.family,
            step.exactness,
            step.row or "numpy reference",
            "" if step.fast_share is None else f"{step.fast_share:.1%}",
        )
        for step in steps
    ]
    header: tuple[str, ...] = ("step", "family", "class", "kernel", "fast pairs")
    if all(step.fast_share is None for step in steps):
        header, rows = header[:-1], [row[:-1] for row in rows]
    lines = [table(header, rows, left=4)]
    host = sum(1 for step in steps if step.host)
    lines.append(
        f"{len(steps)} steps: {len(steps) - host} native, {host} by numpy reference; {session.isa}"
    )
    inexact = session.inexact_steps(dims)
    if inexact:
        lines.append(f"bit-exact: no ({len(inexact)} steps, first: {', '.join(inexact[:3])})")
    else:
        lines.append("bit-exact: yes, every output has the same bytes on every CPU")
    memory = ", ".join(
        f"{name.removesuffix('_bytes')} {size:,}" for name, size in session.memory(dims).items()
    )
    lines.append(f"bytes in memory: {memory}")
    if why:
        lines.append("")
        for step in steps:
            lines.append(f"{step.name}: {step.row or 'numpy reference'}")
            lines += [f"    {reason}" for reason in step.why]
    return lines

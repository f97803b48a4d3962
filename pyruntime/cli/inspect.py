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
from pyruntime.plan.file import Document
from pyruntime.preprocess import ANNOTATION
from pyruntime.tuning.explain import reason
from pyruntime.tuning.roofline import bytes_moved, macs, measure_peaks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pyruntime.graph import Dim, Graph
    from pyruntime.kernels import StepInfo
    from pyruntime.session import Session

_NAME_WIDTH = 34
_WIDTH = 100
_LARGE_CONSTANT = 1024  # bytes in the file


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
        result["constants"] = [asdict(item) for item in Document(arguments.model).constants()]
    dims = given_dims(session, arguments.shape)
    result["inputs"] = [asdict(info) for info in session.inputs]
    result["outputs"] = [asdict(info) for info in session.outputs]
    steps = session.steps(dims)
    result["steps"] = [asdict(step) for step in steps]
    result["inexact_steps"] = list(session.inexact_steps(dims))
    result["memory"] = session.memory(dims)
    lines += _session_lines(session, dims, steps)
    if arguments.why:
        result["why"] = describe_why(steps, session.isa)
        lines += _why_lines(result["why"])
        lines += _constant_lines(result.get("constants", []))
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


def _step_table(steps: Sequence[StepInfo]) -> str:
    shares = any(step.fast_share is not None for step in steps)
    rows = [
        (
            step.name[-_NAME_WIDTH:],
            step.family,
            step.exactness,
            step.row or "numpy reference",
            *((_share(step.fast_share),) if shares else ()),
        )
        for step in steps
    ]
    header = ("step", "family", "class", "kernel", *(("fast pairs",) if shares else ()))
    return table(header, rows, left=4)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def describe_why(steps: Sequence[StepInfo], isa: str) -> list[dict[str, Any]]:
    """Of each step: work, traffic, how near its prediction is to what this core could do, why."""
    peaks = measure_peaks(isa)
    return [
        {
            "step": step.name or "(form)",
            "kernel": step.row or "numpy reference",
            "isa": _isa_of(step),
            "density": step.density,
            "macs": macs(step),
            "bytes": bytes_moved(step),
            "predicted_ns": step.predicted_ns,
            "roofline": peaks.bound_ns(step) / step.predicted_ns if step.predicted_ns > 0 else None,
            "reason": reason(step),
        }
        for step in steps
    ]


def _isa_of(step: StepInfo) -> str:
    return step.row.rsplit("_", 1)[-1] if step.row else ""


def _why_lines(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            entry["step"][-_NAME_WIDTH:],
            entry["kernel"],
            "" if entry["density"] is None else f"{entry['density']:.2f}",
            f"{entry['bytes'] / 1e3:,.1f}",
            _share(entry["roofline"]) if entry["macs"] else "",
        )
        for entry in entries
    ]
    width = max((len(row[0]) for row in rows), default=0)
    return [
        "",
        table(("step", "kernel", "density", "kB moved", "roofline"), rows, left=2),
        "roofline: the least time for dense weights by this core's measured peaks, over the",
        "predicted time; above 100 % where zeros are skipped.",
        "",
        "why no faster kernel (--json lists every candidate):",
        *(
            f"  {row[0]:{width}}  {entry['reason']}"
            for row, entry in zip(rows, entries, strict=True)
        ),
    ]


def _constant_lines(constants: Sequence[Mapping[str, Any]]) -> list[str]:
    """The constants that take most of a file, against what they carry."""
    rows = [
        (
            entry["name"][-_NAME_WIDTH:],
            "x".join(map(str, entry["dims"])),
            f"{entry['scheme']}, {entry['element']}",
            f"{entry['bytes']:,}",
            f"{entry['bytes'] / entry['bound']:.3f}",
        )
        for entry in constants
        if entry["bytes"] >= _LARGE_CONSTANT
    ]
    if not rows:
        return []
    header = ("constant", "dims", "stored as", "bytes", "of what it carries")
    return ["", table(header, rows, left=3)]


def _session_lines(
    session: Session, dims: Mapping[str, tuple[int, ...]] | None, steps: Sequence[StepInfo]
) -> list[str]:
    lines = [_step_table(steps)]
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
    return [*lines, f"bytes in memory: {memory}"]

"""`pyruntime compress`: ONNX -> smaller, faster .pyrt, and a table of what was done."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyruntime.cli import _arguments as shared
from pyruntime.cli._data import calibration_samples, load_callable, load_labels
from pyruntime.cli._progress import Progress
from pyruntime.errors import ArgumentError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyruntime.compression.record import Record
    from pyruntime.graph import Graph
    from pyruntime.session import Session

CALIBRATION_BATCH = 16  # the default of `rt.quantize`

EPILOG = """recipes (steps are joined by +):
  int8             8-bit weights and activations; without --calibration only weights are 8-bit
  prune:0.9        the 90 % smallest weights of each layer become zero; accuracy usually drops,
                   so prune while training if you can: zeros that are in the ONNX file are used
  svd:0.5          low rank: each large layer becomes two with half of its weights
  fp16             half-precision weights in the file
  int8-weights     8-bit weights in the file, float arithmetic
  recipe.json      a list of steps with all options: [{"method": "prune", "threshold": 0.01}]

examples:
  pyruntime compress model.onnx --calibration images/ -o model.pyrt
  pyruntime compress model.onnx --recipe prune:0.9+int8 --calibration data.npz -o model.pyrt
  pyruntime compress model.onnx --calibration data.npz --labels labels.npy --max-drop 0.5 \\
      -o model.pyrt

exit code 3: a limit (--max-drop, --max-size) was not met; nothing is written then"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags."""
    shared.add_model(parser, "an ONNX file")
    shared.add_dims(parser)
    shared.add_output(parser, "the .pyrt file to write")
    parser.add_argument(
        "--recipe", default="int8", metavar="R", help="what to do, see below (default: int8)"
    )
    parser.add_argument(
        "--calibration",
        metavar="DATA",
        help="about 100 typical inputs: .npz or .npy (first axis: samples), a folder of images or "
        "WAV files, or module:function",
    )
    parser.add_argument(
        "--samples",
        type=shared.positive,
        default=256,
        metavar="N",
        help="use at most N samples (256)",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="class numbers of the calibration samples, for accuracy",
    )
    parser.add_argument(
        "--metric",
        choices=("top1", "top5"),
        default="top1",
        help="what --labels is judged by (top1)",
    )
    parser.add_argument(
        "--evaluate",
        metavar="FILE.py",
        help="a file defining evaluate(run) -> float in 0..1, higher is better; run(feeds) gives "
        "the outputs",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="P",
        help="refuse when accuracy drops by more (points of 100)",
    )
    parser.add_argument(
        "--max-size", metavar="BYTES", help="refuse a larger file, e.g. 200kB or 1.5MB"
    )
    shared.add_threads(parser)
    shared.add_json(parser)
    shared.add_preprocess(parser)
    parser.epilog = EPILOG


def run(arguments: argparse.Namespace) -> int:
    """Compresses, judges, writes."""
    from pyruntime import api
    from pyruntime.plan.compile import compile as compile_graph

    shared.check_output(arguments.output, arguments.force)
    limit = parse_size(arguments.max_size) if arguments.max_size else None
    if arguments.max_drop is not None and not (arguments.labels or arguments.evaluate):
        raise ArgumentError("--max-drop needs --labels with --calibration, or --evaluate")
    graph = shared.read_graph(arguments.model, arguments.dim)
    record = shared.preprocess_from(arguments, graph)
    shared.add_annotation(graph, record)
    calibration: Any = None
    if arguments.calibration:
        calibration = calibration_samples(
            arguments.calibration, graph.inputs, record, arguments.samples
        )
    recipe = read_recipe(arguments.recipe)
    if arguments.input_range is not None and record.mean == () and record.std == ():
        recipe = [
            {"input_range": tuple(arguments.input_range)} | dict(step)
            if step["method"] == "int8"
            else step
            for step in recipe
        ]
    with Progress("calibrating", _calibration_runs(graph, calibration, recipe)) as progress:
        compressed, done = api.compress(
            graph,
            recipe,
            calibration=calibration,
            threads=arguments.threads,
            progress=progress.update,
        )
    compressed.annotations["record"] = done.to_json()
    data = compile_graph(compressed)
    assert data is not None
    if limit is not None and len(data) > limit:
        raise LimitError(
            f"the file would have {len(data):,} bytes, --max-size is {limit:,}; "
            "try a stronger recipe"
        )
    scores = _scores(arguments, graph, data, calibration)
    if arguments.max_drop is not None and scores is not None:
        drop = scores[0] - scores[1]
        if drop > arguments.max_drop:
            raise LimitError(
                f"accuracy drops by {drop:.2f} points ({scores[0]:.2f} -> {scores[1]:.2f}), "
                f"--max-drop is {arguments.max_drop:g}; try a weaker recipe or more calibration "
                "samples"
            )
    compile_graph(compressed, arguments.output)
    _report(arguments, done, len(data), scores)
    return 0


def _calibration_runs(graph: Graph, calibration: Any, recipe: Sequence[Mapping[str, Any]]) -> int:
    """How many runs calibration will take, for the progress bar; 0 if that is not known."""
    if not isinstance(calibration, dict) or not graph.inputs:
        return 0
    dims = graph.inputs[0].dims
    batch = dims[0] if dims and isinstance(dims[0], int) else CALIBRATION_BATCH
    samples: int = len(next(iter(calibration.values())))
    passes = sum(1 for step in recipe if step["method"] == "int8")
    return passes * -(-samples // max(batch, 1))


def read_recipe(text: str) -> Sequence[Mapping[str, Any]]:
    """A recipe from short text or a .json file."""
    from pyruntime.compression.recipe import parse_recipe

    if not text.endswith(".json"):
        return parse_recipe(text)
    try:
        steps = json.loads(Path(text).read_text())
    except FileNotFoundError as error:
        raise ArgumentError(f"--recipe {text}: no such file") from error
    except ValueError as error:
        raise ArgumentError(f"--recipe {text}: not JSON: {error}") from error
    if not isinstance(steps, list) or not all(
        isinstance(step, dict) and "method" in step for step in steps
    ):
        raise ArgumentError(f'--recipe {text}: need a list of steps like {{"method": "int8"}}')
    return steps


_UNITS = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}


def parse_size(text: str) -> int:
    """Bytes from text such as 200kB."""
    number = text.strip().lower()
    unit = "b"
    for name in sorted(_UNITS, key=len, reverse=True):
        if number.endswith(name):
            number, unit = number[: -len(name)], name
            break
    try:
        size = float(number) * _UNITS[unit]
    except ValueError:
        raise ArgumentError(f"'{text}' is not a size; write e.g. 200kB or 1.5MB") from None
    if not size > 0:
        raise ArgumentError(f"'{text}': a size must be above 0")
    return int(size)


def _scores(
    arguments: argparse.Namespace, graph: Graph, data: bytes, calibration: Any
) -> tuple[float, float] | None:
    """(before, after), in points of 100 for labels; None without a way to judge."""
    if not arguments.labels and not arguments.evaluate:
        return None
    from pyruntime.plan.compile import compile as compile_graph
    from pyruntime.session import Session

    plain = compile_graph(graph)
    assert plain is not None
    sessions = [Session(image, threads=arguments.threads) for image in (plain, data)]
    if arguments.evaluate:
        evaluate = load_callable(f"{arguments.evaluate}:evaluate")
        before, after = (_evaluated(evaluate, session, arguments.evaluate) for session in sessions)
        return before, after
    if not isinstance(calibration, dict):
        raise ArgumentError(
            "--labels needs --calibration with a .npz or .npy of the samples in the same order"
        )
    labels = load_labels(arguments.labels)[: arguments.samples]
    top = 5 if arguments.metric == "top5" else 1
    before, after = (_accuracy(session, calibration, labels, top) for session in sessions)
    return before, after


def _evaluated(evaluate: Callable[..., Any], session: Session, file: str) -> float:
    """What the user's function says of a session, in points of 100."""
    try:
        return 100.0 * float(evaluate(session.run))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise ArgumentError(
            f"--evaluate {file}: {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        ) from error


def _accuracy(session: Session, samples: Mapping[str, Any], labels: Any, top: int) -> float:
    import numpy as np

    count = len(next(iter(samples.values())))
    if count != len(labels):
        raise ArgumentError(f"--labels has {len(labels)} labels for {count} samples")
    hits = 0
    for i in range(count):
        feeds = {name: array[i : i + 1] for name, array in samples.items()}
        scores = next(iter(session.run(feeds).values())).reshape(-1)
        hits += int(labels[i] in np.argsort(-scores, kind="stable")[:top])
    return 100.0 * hits / count


def _report(
    arguments: argparse.Namespace, done: Record, size: int, scores: tuple[float, float] | None
) -> None:
    before = arguments.model.stat().st_size
    if arguments.json:
        shared.print_json(
            {
                "output": str(arguments.output),
                "bytes": size,
                "bytes_before": before,
                "score_before": scores[0] if scores else None,
                "score_after": scores[1] if scores else None,
                **done.to_json(),
            }
        )
        return
    shared.say(done.table())
    shared.say(
        f"{arguments.output}: {size:,} bytes, {before / size:.2f}x smaller than "
        f"{arguments.model.name}"
    )
    if scores:
        shared.say(
            f"score: {scores[0]:.2f} before, {scores[1]:.2f} after ({scores[1] - scores[0]:+.2f})"
        )
    else:
        sys.stderr.write("accuracy was not measured: give --labels or --evaluate to know it\n")

"""`pyruntime demo`: five compressions of a real network, side by side."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from pyruntime.cli import _arguments as shared
from pyruntime.cli._progress import Progress
from pyruntime.errors import ArgumentError

PAGE = Path("pyruntime-demo.html")
SECONDS = 6.0  # gives some hundred runs of each row; the whole demo stays below 20 s


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags."""
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help=f"where the page with plots goes ({PAGE})"
    )
    parser.add_argument("--no-html", action="store_true", help="write no page")
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        metavar="S",
        help=f"how long to take latencies ({SECONDS:g})",
    )
    parser.add_argument(
        "--no-peers", action="store_true", help="leave onnxruntime out even if it is installed"
    )
    parser.add_argument(
        "--save", type=Path, metavar="FOLDER", help="also write the .pyrt files there, to play with"
    )
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="first compress the ONNX files of benchmarks/demo again (in a clone; needs onnx)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite what --html or --save name")
    shared.add_json(parser)
    parser.epilog = (
        "examples:\n  pyruntime demo\n"
        "  pyruntime demo --save nets && pyruntime bench nets/mnist-int8.pyrt\n"
        "  pyruntime demo --rebuild   # in a clone: from the ONNX files to the table"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measures, prints, writes the page."""
    if arguments.no_html and arguments.html:
        raise ArgumentError("--html and --no-html exclude each other")
    if not arguments.seconds > 0:
        raise ArgumentError(f"--seconds must be above 0, got {arguments.seconds:g}")
    if arguments.html:
        shared.check_output(arguments.html, arguments.force)
    if arguments.save and arguments.save.exists() and not arguments.save.is_dir():
        raise ArgumentError(f"--save {arguments.save}: is not a folder")
    if arguments.rebuild:
        _rebuild()
    if arguments.save:
        _save(arguments.save, arguments.force)
    from pyruntime.demo import page, report
    from pyruntime.demo.run import run as measure
    from pyruntime.plan.container import write_atomically

    with Progress("demo", 100) as progress:
        result = measure(
            arguments.seconds,
            peers=not arguments.no_peers,
            progress=lambda what, done: progress.update(done, what),
        )
    if arguments.json:
        shared.print_json(asdict(result))
    else:
        shared.say(report.text(result))
    if not arguments.no_html:
        path = arguments.html or PAGE  # the default name is the demo's own: replaced each time
        write_atomically(path, [page.html(result).encode()])
        if not arguments.json:
            shared.say(f"\nThe same with plots: {path}")
    return 0


def _rebuild() -> None:
    from pyruntime.demo import rebuild

    rebuild.source()
    with Progress("compressing", rebuild.FILES) as progress:
        rebuild.rebuild(progress=progress.update)


def _save(folder: Path, force: bool) -> None:
    from pyruntime.demo import networks
    from pyruntime.plan.container import write_atomically

    files = {folder / f"{n.name}.pyrt": n.name for n in networks.MNIST + networks.DIGITS}
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        shared.check_output(path, force)
    for path, name in files.items():
        write_atomically(path, [networks.load_network(name)])

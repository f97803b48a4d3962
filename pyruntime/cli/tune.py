"""`pyruntime tune`: fits the predicted times of kernels to this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyruntime import costs
from pyruntime.cli import _arguments as shared
from pyruntime.cli._progress import Progress
from pyruntime.cli._table import table
from pyruntime.errors import ArgumentError
from pyruntime.tuning import fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=f"where to keep the result (default: {costs.VARIABLE}, or a file in your cache folder "
        "that every session reads)",
    )
    shared.add_json(parser)
    parser.epilog = (
        "Run it once on the device, with nothing else running. Sessions then choose kernels by "
        "what was\nmeasured; results stay the same where the model is bit-exact.\n\nexample:\n"
        "  pyruntime tune && pyruntime bench model.pyrt"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measures, writes, tells what changed."""
    path = arguments.output or costs.default_path()
    if path is None:
        raise ArgumentError(f"{costs.VARIABLE} is off; name a file with --output")
    with Progress("measuring kernels", fit.count()) as progress:
        measured = fit.tune(progress=progress.update)
    factors = fit.fit(measured)
    costs.save(factors, path)
    before, after = fit.near_best(measured, {}), fit.near_best(measured, factors)
    if arguments.json:
        shared.print_json(
            {"file": str(path), "factors": factors, "near_best": {"before": before, "after": after}}
        )
        return 0
    rows = [(row, f"{factor:.2f}") for row, factor in sorted(factors.items())]
    shared.say(table(("kernel", "measured / predicted"), rows))
    shared.say(
        f"{len(measured)} problems: the predicted kernel is within 10 % of the fastest in "
        f"{before:.0%} before, {after:.0%} now\n{path}"
    )
    return 0

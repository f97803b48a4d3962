"""`pyruntime profile`: where the time goes, step by step."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from pyruntime.cli import _arguments as shared
from pyruntime.cli._feeds import add_feeds, make_feeds
from pyruntime.cli._table import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags."""
    shared.add_model(parser)
    parser.add_argument(
        "--runs",
        type=shared.positive,
        default=50,
        metavar="N",
        help="runs to take the median of (50)",
    )
    parser.add_argument(
        "--top",
        type=shared.positive,
        metavar="N",
        help="show the N slowest steps only, slowest first",
    )
    add_feeds(parser)
    shared.add_threads(parser)
    shared.add_json(parser)
    parser.epilog = "example:\n  pyruntime profile model.pyrt --threads 1 --top 10"


def run(arguments: argparse.Namespace) -> int:
    """Profiles and prints."""
    session = shared.open_session(arguments.model, arguments.threads)
    steps = session.profile(make_feeds(session, arguments), runs=arguments.runs)
    if arguments.json:
        shared.print_json([asdict(step) for step in steps])
        return 0
    total = sum(step.ns for step in steps) or 1
    shown = sorted(steps, key=lambda step: -step.ns)[: arguments.top] if arguments.top else steps
    rows = [
        (
            step.name[-34:] or "(form)",
            step.family,
            f"{step.ns / 1e3:.2f}",
            f"{step.ns / total:.1%}",
            step.row,
        )
        for step in shown
    ]
    shared.say(table(("step", "family", "us", "share", "kernel"), rows, left=2))
    shared.say(
        f"{len(steps)} steps, {total / 1e3:.1f} us, {session.isa}, "
        f"{session.threads} thread{'s' if session.threads > 1 else ''}"
    )
    return 0

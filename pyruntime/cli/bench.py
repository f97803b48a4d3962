"""`pyruntime bench`: latency with its spread, load time and memory."""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

from pyruntime.cli import _arguments as shared
from pyruntime.cli._feeds import add_feeds, make_feeds
from pyruntime.cli._progress import Progress
from pyruntime.demo.measure import percentile
from pyruntime.errors import ArgumentError

SECONDS = 2.0  # of counted runs, where --runs does not say how many


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags."""
    shared.add_model(parser)
    parser.add_argument(
        "--runs",
        type=shared.positive,
        metavar="N",
        help="counted runs (default: two seconds' worth, 10 at least)",
    )
    parser.add_argument("--warmup", type=int, default=10, metavar="N", help="runs before that (10)")
    add_feeds(parser)
    shared.add_threads(parser)
    shared.add_json(parser)
    parser.epilog = "example:\n  pyruntime bench model.pyrt --threads 1 --shape image=1,3,224,224"


def run(arguments: argparse.Namespace) -> int:
    """Loads, warms up, measures, prints."""
    if arguments.warmup < 0:
        raise ArgumentError(f"--warmup must be at least 0, got {arguments.warmup}")
    start = time.perf_counter()
    session = shared.open_session(arguments.model, arguments.threads)
    load_ms = 1e3 * (time.perf_counter() - start)
    feeds = make_feeds(session, arguments)
    start = time.perf_counter()
    session.run(feeds)
    first_ms = 1e3 * (time.perf_counter() - start)
    warm = time.perf_counter()
    for _ in range(arguments.warmup):
        session.run(feeds)
    each = (time.perf_counter() - warm) / arguments.warmup if arguments.warmup else first_ms / 1e3
    runs = arguments.runs or max(10, min(10_000, int(SECONDS / max(each, 1e-6))))
    times = []
    with Progress("measuring", runs) as progress:
        for i in range(runs):
            start = time.perf_counter()
            session.run(feeds)
            times.append(1e3 * (time.perf_counter() - start))
            if i % 16 == 0:
                progress.update(i)
    times.sort()
    result: dict[str, Any] = {
        "model": str(arguments.model),
        "bytes": arguments.model.stat().st_size,
        "isa": session.isa,
        "threads": session.threads,
        "shapes": {name: list(array.shape) for name, array in feeds.items()},
        "load_ms": load_ms,
        "first_run_ms": first_ms,
        "warmup": arguments.warmup,
        "runs": runs,
        "min_ms": times[0],
        "p50_ms": percentile(times, 0.50),
        "p90_ms": percentile(times, 0.90),
        "p99_ms": percentile(times, 0.99),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if arguments.json:
        shared.print_json(result)
        return 0
    threads = f"{session.threads} thread" + ("s" if session.threads > 1 else "")
    shared.say(f"{result['model']}: {result['bytes']:,} bytes, {session.isa}, {threads}")
    compiled = "" if arguments.model.suffix == ".pyrt" else " (compiling the ONNX file included)"
    shared.say(
        f"  load {load_ms:.2f} ms{compiled}, first run {first_ms:.2f} ms, "
        f"peak RSS {result['peak_rss_mb']:.0f} MB"
    )
    shapes = " ".join(
        f"{name}={','.join(map(str, shape))}" for name, shape in result["shapes"].items()
    )
    shared.say(f"  inputs {shapes}")
    shared.say(
        f"  {runs:,} runs after {arguments.warmup} warm-up: min {result['min_ms']:.4f}, "
        f"p50 {result['p50_ms']:.4f}, p90 {result['p90_ms']:.4f}, p99 {result['p99_ms']:.4f} ms"
    )
    return 0

"""The whole demo: measures all rows and keeps what the table and the page show."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pyruntime import kernels
from pyruntime.demo import networks
from pyruntime.demo.explain import reason
from pyruntime.demo.measure import Contestant, Row, half_width, hits, round_robin, rows_of
from pyruntime.demo.peers import onnxruntime_rows
from pyruntime.plan.file import producer
from pyruntime.session import Session

THREADS = 1  # at batch 1 these networks are too small for more, and one thread compares kernels


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that is shown.

    Attributes:
        producer: pyruntime and its version.
        cpu: model name.
        isa: preset in use.
        threads: of each run, onnxruntime's included.
        date: ISO date of the measurement.
        mnist: rows of the convolutional network.
        digits: rows of the MLP.
        images: held-out images behind `mnist`.
        digits_images: behind `digits`.
        runs: timed runs of each row of `mnist`.
        noise: half of the 95 % interval of fp32's accuracy, in points.
        peers: what is missing of onnxruntime's rows and how to get it; empty if nothing.
    """

    producer: str
    cpu: str
    isa: str
    threads: int
    date: str
    mnist: tuple[Row, ...]
    digits: tuple[Row, ...]
    images: int
    digits_images: int
    runs: int
    noise: float
    peers: str


def run(
    seconds: float, *, peers: bool = True, progress: Callable[[str, int], None] | None = None
) -> Result:
    """Measures.

    Args:
        seconds: how long latencies are taken, over all rows of the convolutional network.
        peers: whether onnxruntime takes part where it is installed.
        progress: called with what is being done and how many of 100 parts of it are.
    """
    tell = progress or (lambda _what, _done: None)
    others: list[Contestant] = []
    missing = ""
    if peers:
        tell("preparing onnxruntime", 0)
        others, missing = onnxruntime_rows()
    mnist, runs, isa = _measure("mnist", networks.MNIST, others, seconds, tell)
    digits, _, _ = _measure("digits", networks.DIGITS, [], seconds / 8, tell)
    images = len(networks.load_images("mnist").labels)
    return Result(
        producer=producer(),
        cpu=str(kernels.cpu()["name"]),
        isa=isa,
        threads=THREADS,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        mnist=mnist,
        digits=digits,
        images=images,
        digits_images=len(networks.load_images("digits").labels),
        runs=runs,
        noise=half_width(mnist[0].correct / 100, images),
        peers=missing,
    )


def _measure(
    name: str,
    found: Sequence[networks.Network],
    others: Sequence[Contestant],
    seconds: float,
    tell: Callable[[str, int], None],
) -> tuple[tuple[Row, ...], int, str]:
    samples = networks.load_images(name)
    sessions = {}
    contestants = []
    for network in found:
        data = networks.load_network(network.name)
        session = Session(data, threads=THREADS)
        sessions[network.label] = session
        contestants.append(_contestant(network, len(data), session))
    contestants += others
    right = {}
    for number, contestant in enumerate(contestants):
        tell(f"{name}: counting correct answers", 100 * number // len(contestants))
        right[contestant.label] = hits(contestant, samples.inputs, samples.labels)
    sample = np.ascontiguousarray(samples.inputs[:1])
    times = round_robin(
        contestants, sample, seconds, lambda done: tell(f"{name}: measuring latency", done)
    )
    first = next(iter(sessions.values()))
    feeds = {first.inputs[0].name: sample}

    def why(label: str) -> str:
        return reason(sessions[label], feeds, zeros="zeros" in label)

    rows = rows_of(contestants, right, times, why)
    return tuple(rows), len(times[found[0].label]), first.isa


def _contestant(network: networks.Network, size: int, session: Session) -> Contestant:
    name = session.inputs[0].name
    output = session.outputs[0].name
    run = session.run
    return Contestant(network.label, size, lambda inputs: run({name: inputs})[output], network.note)

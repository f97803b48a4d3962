"""What a call costs beside the work: one 16x16 layer, its native time subtracted."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import pyruntime as rt
from benchmarks import peers
from benchmarks.peers import Array, Subject

# Microseconds over native time that a call may cost; onnxruntime has no limit here.
LIMITS_US = {"run": 10.0, "loop": 1.5}
SIZE = 16


@functools.cache
def model() -> tuple[Any, Array]:
    random = np.random.default_rng(0)
    a, w = (random.normal(size=(SIZE, SIZE)).astype(np.float32) for _ in range(2))
    ends = ("FLOAT", a.shape)
    return peers.onnx_chain([("MatMul", ["a", "w"], "y")], {"a": ends}, {"w": w}, ends), a


def native_ns(session: rt.Session, feeds: dict[str, Array]) -> float:
    """Time of the steps alone, by the runtime's own clock."""
    return sum(step.ns for step in session.profile(feeds, runs=501))


@pytest.mark.parametrize("way", ["run", "loop", "onnxruntime"])
def bench_overhead(benchmark: Any, way: str) -> None:
    proto, a = model()
    feeds = {"a": a}
    data = rt.compile(rt.import_onnx(proto))
    assert data is not None
    session = rt.Session(data, threads=1)
    native = native_ns(session, feeds)
    if way == "onnxruntime":
        subject = peers.onnxruntime_model(proto, feeds)
    else:
        run = session.bind(feeds).run if way == "loop" else functools.partial(session.run, feeds)
        subject = Subject(run, lambda: run()["y"], {"isa": session.isa, "bytes": len(data)})
    name = "onnxruntime" if way == "onnxruntime" else f"pyruntime-{way}"
    peers.measure(
        benchmark, subject, group="overhead-16x16", subject=name, dtype="f32", native_ns=native
    )
    if benchmark.stats is not None:
        over = 1e6 * benchmark.stats.stats.median - native / 1e3
        benchmark.extra_info["over_native_us"] = over
        benchmark.extra_info["limit_us"] = LIMITS_US.get(way)

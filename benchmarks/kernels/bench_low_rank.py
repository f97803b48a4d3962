"""A layer against its two factors of rank R, f32, in pyruntime and in onnxruntime."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import pyruntime as rt
from benchmarks import peers
from benchmarks.kernels.bench_gemm import shape_id
from benchmarks.peers import Array, Model

# (M, N, K) and ranks: half and a quarter of the weights, for squares.
SHAPES = ((1, 1024, 1024), (128, 768, 768), (784, 128, 128))
SHARES = (50, 25)
Shape = tuple[int, int, int]


@functools.lru_cache(maxsize=1)
def factors(shape: Shape, share: int) -> tuple[Array, Array, Array]:
    """Gives a [M, K], u [K, R], v [R, N]; the rank keeps `share` percent of the weights."""
    M, N, K = shape
    rank = max(1, share * N * K // (100 * (N + K)))
    random = np.random.default_rng(share)
    a, u, v = (random.normal(size=s).astype(np.float32) for s in ((M, K), (K, rank), (rank, N)))
    return a, u, v / np.float32(np.sqrt(rank))


def model(shape: Shape, share: int, kind: str) -> tuple[Model, Array]:
    a, u, v = factors(shape, share)
    ends = {"a": ("FLOAT", a.shape)}, ("FLOAT", (a.shape[0], v.shape[1]))
    if kind == "dense":
        return peers.onnx_chain([("MatMul", ["a", "w"], "y")], ends[0], {"w": u @ v}, ends[1]), a
    nodes = [("MatMul", ["a", "u"], "t"), ("MatMul", ["t", "v"], "y")]
    return peers.onnx_chain(nodes, ends[0], {"u": u, "v": v}, ends[1]), a


CASES = [
    pytest.param(
        shape, share, kind, engine, id=f"{shape_id(shape)}-r{share}-f32-t1-{engine}-{kind}"
    )
    for shape in SHAPES
    for share in SHARES
    for engine in ("pyruntime", "onnxruntime")
    for kind in ("pair", "dense")
]


@pytest.mark.parametrize(("shape", "share", "kind", "engine"), CASES)
def bench_low_rank(benchmark: Any, shape: Shape, share: int, kind: str, engine: str) -> None:
    proto, a = model(shape, share, kind)
    if engine == "pyruntime":
        data = rt.compile(rt.import_onnx(proto))
        assert data is not None
        subject = peers.own_model(data, {"a": a})
    else:
        subject = peers.onnxruntime_model(proto, {"a": a})
    _, u, v = factors(shape, share)
    M, N, K = shape
    macs = M * N * K if kind == "dense" else M * u.shape[1] * (N + K)
    peers.measure(
        benchmark,
        subject,
        group=f"{shape_id(shape)}-r{share}",
        operations=2 * macs,
        expected=a.astype(np.float64) @ u @ v,
        tolerance=1e-4 * np.sqrt(K) * 8,
        subject="pyruntime" if (engine, kind) == ("pyruntime", "pair") else f"{engine}-{kind}",
        dtype="f32",
    )

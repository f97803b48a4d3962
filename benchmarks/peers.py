"""What pyruntime is measured against, and how: the same for every benchmark.

Everything runs in one process that `conftest.py` has pinned to one core, with one thread each, so
that a ratio compares code and not schedulers. A peer that is not installed is skipped with the
reason.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pyruntime as rt
from benchmarks import peak
from pyruntime import kernels

Array = NDArray[Any]
Model = Any  # onnx.ModelProto

PACKAGES = (
    "numpy",
    "torch",
    "onnxruntime",
    "openvino",
    "ai-edge-litert",
    "ncnn",
    "scipy",
    "numba",
)
# A round lasts at least this long, so that the clock's resolution does not matter.
ROUND_SECONDS = 2e-3
# Enough for a median; the whole suite then takes a few minutes.
CASE_SECONDS = 0.2
SHORT_CASE_SECONDS = 0.08  # of each of many like it
MIN_ROUNDS, MAX_ROUNDS = 9, 41


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to time: `run` is timed, `result` gives what it computes, to check it."""

    run: Callable[[], object]
    result: Callable[[], Array]
    info: Mapping[str, Any]
    # Seconds of the work alone, where a better clock than that around `run` knows them.
    seconds: Callable[[], float] | None = None


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def require(package: str) -> ModuleType:
    """A peer's module, or a skip that says how to get it."""
    if not installed(package):
        pytest.skip(f"{package} is not installed: see the extra `bench` in pyproject.toml")
    return importlib.import_module(package)


def machine() -> dict[str, Any]:
    """CPU, ISA and versions, for the report."""
    cpu = kernels.cpu()
    versions = {"python": platform.python_version(), "pyruntime": rt.__version__}
    for package in PACKAGES:
        if installed(package.replace("-", "_")):
            versions[package] = metadata.version(package)
    isa = os.environ.get("PYRUNTIME_ISA") or cpu["best_preset"]
    return {"cpu": cpu["name"], "isa": isa, "threads": 1, "versions": versions}


def measure(
    benchmark: Any,
    subject: Subject,
    /,
    *,
    group: str,
    operations: int = 0,
    weight_bytes: int = 0,
    expected: Array | None = None,
    tolerance: float = 0.0,
    seconds: float = CASE_SECONDS,
    **info: Any,
) -> None:
    """Checks the subject's result and times it.

    Args:
        benchmark: pytest-benchmark's fixture.
        subject: what to time.
        group: one shape; all variants and peers share it.
        operations: of one run, a multiply-add counted as two; for the rate.
        weight_bytes: of a product with a vector, which is measured by the reads of as many bytes.
        expected: what it must compute; None where nothing cheap knows.
        tolerance: largest absolute difference allowed; a subject whose info says `saturates` may
            exceed it, and the report says by how much.
        seconds: about how long to measure.
        info: more for the report.

    Raises:
        AssertionError: it computes something else.
    """
    if expected is not None:
        error = float(np.max(np.abs(subject.result().astype(np.float64) - expected)))
        # Without VNNI, onnxruntime's u8 * s8 kernels saturate sums of two products.
        assert error <= tolerance or subject.info.get("saturates"), f"wrong by {error}"
        benchmark.extra_info["wrong_by"] = error if error > tolerance else 0.0
    subject.run()
    start = time.perf_counter()
    subject.run()
    once = time.perf_counter() - start
    iterations = max(1, min(10_000, int(ROUND_SECONDS / once)))
    rounds = max(MIN_ROUNDS, min(MAX_ROUNDS, int(seconds / (once * iterations))))
    benchmark.group = group
    benchmark.extra_info.update({"threads": 1, **subject.info, **info})
    benchmark.pedantic(subject.run, rounds=rounds, iterations=iterations, warmup_rounds=2)
    if operations and benchmark.stats is not None:  # None with --benchmark-disable
        median = benchmark.stats.stats.median
        if subject.seconds is not None:
            median = benchmark.extra_info["seconds"] = subject.seconds()
        rate = operations / median / 1e9
        benchmark.extra_info["giga_per_second"] = rate
        if "row" in subject.info:
            note_limit(benchmark.extra_info, rate, operations, weight_bytes)


def quick_seconds(subject: Subject) -> float:
    """Median of a few hundred calls, for short ones."""
    times = []
    for _ in range(300):
        start = time.perf_counter()
        subject.run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def note_limit(extra: dict[str, Any], rate: float, operations: int, weight_bytes: int) -> None:
    """Adds the share of what the core can do at most, measured now: `peak_share`, `peak`."""
    family = extra["row"].split("_")[0]
    products = family in ("gemm", "conv")
    loop = peak.yardstick(extra["dtype"], extra["row"]) if products else ""
    if weight_bytes:
        limit, name = operations / weight_bytes * peak.read_rate(weight_bytes), "reads"
    else:
        limit, name = (peak.rate(loop), loop) if loop else (0.0, "")
    if limit:
        extra["peak_share"], extra["peak"] = rate / limit, name


def own_step(
    family: str,
    inputs: kernels.Operands,
    outputs: list[tuple[str, tuple[int, ...]] | None],
    attributes: Mapping[str, Any] | None = None,
    row: str = "",
    threads: int = 1,
) -> Subject:
    """One step of pyruntime on arrays that stay, by the row it chooses or the one named."""
    kernel = kernels.Kernel(family, inputs, outputs, attributes, row=row, threads=threads)
    step = kernel.step
    info = {"row": step.row, "isa": machine()["isa"], "bytes": step.packed_bytes}
    return Subject(kernel.loop(), lambda: kernel()[0], info)


def own_model(data: bytes, feeds: Mapping[str, Array]) -> Subject:
    """A compiled model, bound to its inputs."""
    session = rt.Session(data, threads=1)
    loop = session.bind(feeds)
    steps = session.steps(feeds)
    host = sum(step.host for step in steps)
    info = {
        "row": f"{len(steps) - host} native, {host} host steps",
        "isa": session.isa,
        "bytes": len(data),
    }
    return Subject(loop.run, lambda: next(iter(loop.run().values())), info)


def onnxruntime_model(model: Model, feeds: Mapping[str, Array]) -> Subject:
    """A model in onnxruntime with its inputs and outputs bound to memory, as ours are."""
    ort = require("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    data = model if isinstance(model, bytes) else model.SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
    for output in session.get_outputs():
        binding.bind_output(output.name)

    def run() -> None:
        session.run_with_iobinding(binding)

    def result() -> Array:
        run()
        first: Array = binding.copy_outputs_to_cpu()[0]
        return first

    return Subject(run, result, {"bytes": len(data)})


def onnx_chain(
    nodes: list[tuple[str, list[str], str]],
    inputs: Mapping[str, tuple[str, tuple[int, ...]]],
    constants: Mapping[str, Array],
    output: tuple[str, tuple[int, ...]],
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Model:
    """An ONNX model of plain nodes `(operator, inputs, output)`; the last gives `y`.

    Dtypes are ONNX's names, such as FLOAT; `attributes` go by operator. An operator may be
    `domain:name`.
    """
    onnx = require("onnx")
    helper, proto = onnx.helper, onnx.TensorProto

    def value(name: str, kind: tuple[str, tuple[int, ...]]) -> Any:
        return helper.make_tensor_value_info(name, getattr(proto, kind[0]), kind[1])

    def node(operator: str, names: list[str], result: str) -> Any:
        domain, _, name = operator.rpartition(":")
        given = (attributes or {}).get(operator, {})
        return helper.make_node(name, names, [result], domain=domain, **given)

    graph = helper.make_graph(
        [node(*entry) for entry in nodes],
        "benchmark",
        [value(name, kind) for name, kind in inputs.items()],
        [value("y", output)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def quantized_chain(
    operator: str,
    x_dims: tuple[int, ...],
    w: Array,
    scale: np.float32,
    y_dims: tuple[int, ...],
    **attributes: Any,
) -> Model:
    """u8 `a` -> dequantise -> operator with dequantised s8 weights -> quantise -> u8 `y`.

    What OpenVINO turns into an 8-bit kernel. Inputs have scale 1, zero point 128; `scale` brings
    the products to the units of the output.
    """
    constants = {
        "one": np.float32(1),
        "middle": np.uint8(128),
        "zero": np.int8(0),
        "w": w,
        "y_scale": np.asarray(1 / scale, np.float32),
    }
    nodes = [
        ("DequantizeLinear", ["a", "one", "middle"], "a_f32"),
        ("DequantizeLinear", ["w", "one", "zero"], "w_f32"),
        (operator, ["a_f32", "w_f32"], "y_f32"),
        ("QuantizeLinear", ["y_f32", "y_scale", "middle"], "y"),
    ]
    ends = {"a": ("UINT8", x_dims)}, ("UINT8", y_dims)
    return onnx_chain(nodes, ends[0], constants, ends[1], {operator: attributes})


def numpy_product(a: Array, w: Array) -> Subject:
    """The product by numpy (BLAS) into an array that stays."""
    out = np.empty((a.shape[0], w.shape[1]), a.dtype)

    def run() -> Array:
        return np.matmul(a, w, out=out)

    return Subject(run, run, {"bytes": w.nbytes})


def scipy_csr_product(a: Array, w: Array) -> Subject:
    """The CSR of w transposed times a transposed, by scipy: in the order that suits it best."""
    require("scipy")
    sparse = importlib.import_module("scipy.sparse")
    matrix = sparse.csr_matrix(np.ascontiguousarray(w.T))
    columns = np.ascontiguousarray(a.T)
    size = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    return Subject(lambda: matrix @ columns, lambda: (matrix @ columns).T, {"bytes": size})


def mkl_csr_product(a: Array, w: Array) -> Subject:
    """scipy_csr_product by MKL."""
    require("scipy")
    # It looks for the library where conda would put it.
    libraries = sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))
    if not libraries:
        pytest.skip("mkl is not installed: see the extra `bench` in pyproject.toml")
    os.environ.setdefault("MKL_RT", str(libraries[0]))
    product = require("sparse_dot_mkl").dot_product_mkl
    sparse = importlib.import_module("scipy.sparse")
    matrix = sparse.csr_matrix(np.ascontiguousarray(w.T))
    columns = np.ascontiguousarray(a.T)
    out = np.zeros((w.shape[1], a.shape[0]), a.dtype)
    size = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes

    def run() -> Array:
        result: Array = product(matrix, columns, out=out, out_scalar=0.0)
        return result

    return Subject(run, lambda: run().T, {"bytes": size})


def numba_csr_product(a: Array, w: Array) -> Subject:
    """The plain CSR loop that people write, compiled by numba, in the order of scipy's."""
    require("numba")
    if a.dtype == np.int8:
        a, w = a.astype(np.int32), w.astype(np.int32)
    rows, columns = np.nonzero(w.T)
    values = np.ascontiguousarray(w.T[rows, columns])
    starts = np.searchsorted(rows, np.arange(w.shape[1] + 1)).astype(np.int32)
    columns = columns.astype(np.int32)
    dense = np.ascontiguousarray(a.T)
    out = np.empty((w.shape[1], a.shape[0]), a.dtype)
    loop = _numba_loop()
    size = values.nbytes + columns.nbytes + starts.nbytes

    def run() -> Array:
        loop(starts, columns, values, dense, out)
        return out

    return Subject(run, lambda: run().T, {"bytes": size})


@functools.cache
def _numba_loop() -> Callable[..., None]:
    numba = require("numba")

    @numba.njit(fastmath=True)  # type: ignore[untyped-decorator]
    def csr_times_dense(
        starts: Array, columns: Array, values: Array, dense: Array, out: Array
    ) -> None:
        for n in range(out.shape[0]):
            for m in range(out.shape[1]):
                out[n, m] = 0
            for i in range(starts[n], starts[n + 1]):
                value, k = values[i], columns[i]
                for m in range(out.shape[1]):
                    out[n, m] += value * dense[k, m]

    loop: Callable[..., None] = csr_times_dense
    return loop

"""Work, traffic and reasons of single steps."""

from __future__ import annotations

import numpy as np
import pytest

from pyruntime.kernels import Kernel, StepInfo, rows
from pyruntime.tuning.explain import reason
from pyruntime.tuning.roofline import Peaks, bytes_moved, macs, measure_peaks

RNG = np.random.default_rng(0)


def product(zeros: float, rows_of_a: int = 96, dtype: str = "int8") -> StepInfo:
    """A bound product [rows, 512] x [512, 256] with that share of zero weights."""
    a = RNG.integers(-100, 100, (rows_of_a, 512)).astype(dtype)
    w = RNG.integers(1, 100, (512, 256)).astype(dtype)
    w[RNG.random(w.shape) < zeros] = 0
    return Kernel("gemm", [a, w], [("s32" if dtype == "int8" else "f32", (rows_of_a, 256))]).step


def test_density_and_break_even_are_told() -> None:
    dense, sparse = product(0), product(0.95)
    assert dense.density == 1
    assert dense.break_even is None
    assert sparse.density == pytest.approx(0.05, abs=0.01)
    compressed = {row.name for row in rows() if row.compressed}
    assert sparse.row in compressed
    assert sparse.break_even is not None
    assert sparse.break_even >= sparse.density
    assert reason(sparse).startswith("density 0.05 <= break-even")


def test_too_few_zeros_name_the_break_even() -> None:
    step = product(0.3)
    assert step.row not in {row.name for row in rows() if row.compressed}
    assert reason(step).startswith("density 0.70")
    assert "break-even" in reason(step) or "sparse" in reason(step) or "zero" in reason(step)


def test_a_dense_step_names_the_next_best() -> None:
    assert "next is gemm_" in reason(product(0))


def test_work_of_a_product_and_a_convolution() -> None:
    step = product(0.95)
    assert macs(step) == 96 * 512 * 256
    assert bytes_moved(step) == step.packed_bytes + 96 * 512 + 96 * 256 * 4
    x = RNG.standard_normal((2, 8, 12, 12)).astype(np.float32)
    w = RNG.standard_normal((16, 8, 3, 3)).astype(np.float32)
    conv = Kernel("conv", [x, w], [("f32", (2, 16, 10, 10))]).step
    assert macs(conv) == 2 * 16 * 100 * 72
    relu = Kernel("elementwise", [x], [("f32", x.shape)], {"op": "relu"}).step
    assert macs(relu) == 0
    assert bytes_moved(relu) == 2 * x.nbytes


def test_the_roofline_is_the_longer_of_two() -> None:
    step = product(0, rows_of_a=1)
    assert Peaks(s8=1e9, f32=1, read=2).bound_ns(step) == bytes_moved(step) / 2
    assert Peaks(s8=0.5, f32=1, read=1e9).bound_ns(step) == macs(step) / 0.5


def test_peaks_are_measured_once() -> None:
    peaks = measure_peaks()
    assert peaks is measure_peaks()
    assert min(peaks.s8, peaks.f32, peaks.read) > 0

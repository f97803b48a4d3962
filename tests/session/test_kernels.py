"""Single kernel calls and the typed view of the tables."""

import numpy as np
import pytest

from pyruntime import kernels
from pyruntime.errors import DTypeError, FormatError, ShapeError, UnsupportedError

A = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
Y = [("f32", (5, 3))]


@pytest.mark.parametrize("isa", kernels.presets())
def test_call_at_every_preset(isa: str) -> None:
    (got,) = kernels.call("gemm", [A, W], outputs=Y, isa=isa)
    np.testing.assert_allclose(got, A.astype(np.float64) @ W, rtol=1e-5, atol=1e-6)


def test_call_of_every_row_that_runs_here() -> None:
    candidates = kernels.rows_for("gemm", [A, W], outputs=Y)
    able = [c.row for c in candidates if c.cost_ns >= 0]
    assert "gemm_f32_f32_f32_scalar" in able
    assert sum(not c.reason for c in candidates) == 1
    assert all(c.reason for c in candidates if c.cost_ns < 0)
    for row in able:
        kernel = kernels.Kernel("gemm", [A, W], Y, row=row)
        assert row in kernel.step.row
        np.testing.assert_allclose(kernel()[0], A.astype(np.float64) @ W, rtol=1e-5, atol=1e-6)


def test_constants_are_those_the_family_declares() -> None:
    kernel = kernels.Kernel("gemm", [A, W], Y)
    (same,) = kernel()
    (double,) = kernel(A * 2)
    np.testing.assert_allclose(double, same * 2, rtol=1e-6)
    variable = kernels.Kernel("gemm", [A, W], Y, constants=())
    np.testing.assert_allclose(variable(A, W * 2)[0], same * 2, rtol=1e-6)
    assert variable.step.packed_bytes == 0


def test_loop_runs_on_the_same_arrays() -> None:
    a = A.copy()
    run = kernels.Kernel("gemm", [a, W], Y).loop(a)
    run()
    run()


def test_time_of_a_step_leaves_its_result() -> None:
    kernel = kernels.Kernel("gemm", [A, W], Y)
    before = kernel()[0].copy()
    assert kernel.step_ns(3) > 0
    np.testing.assert_array_equal(kernel()[0], before)


def test_attributes_are_passed() -> None:
    (got,) = kernels.call("gemm", [A, W.T.copy()], {"trans_b": 1, "lo": 0.0}, outputs=Y)
    np.testing.assert_allclose(got, np.maximum(A.astype(np.float64) @ W, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif("avx2" not in kernels.presets(), reason="the CPU has no AVX2")
def test_share_of_pairs_that_fit_in_16_bits() -> None:
    def share(w: np.ndarray) -> float | None:
        inputs = [np.zeros((64, 256), np.int8), w.astype(np.int8)]
        kernel = kernels.Kernel("gemm", inputs, [("s32", (64, 32))], row="u8_s8_s32_4x16x8_avx2")
        return kernel.step.fast_share

    assert share(np.full((256, 32), 64)) == 1  # 4 * 64 does not fit, 2 * 64 does
    assert share(np.full((256, 32), 127)) == 0
    one = np.zeros((256, 32))
    one[3:5, 7] = 127  # neighbours, but no pair
    assert share(one) == 1
    one[2, 7] = 2
    assert share(one) == 1 - 1 / (128 * 32)
    assert kernels.Kernel("gemm", [A, W], Y).step.fast_share is None


@pytest.mark.parametrize(
    ("inputs", "attributes", "error", "message"),
    [
        ([A, W[:5]], {}, ShapeError, "K = 7 but w .* K = 5"),
        ([A, W.astype(np.float64)], {}, DTypeError, "f32 and f64"),
        ([A, W], {"size": 3}, FormatError, "no attribute 'size'"),
    ],
)
def test_problems_that_the_family_refuses(
    inputs: list[np.ndarray], attributes: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        kernels.call("gemm", inputs, attributes, outputs=Y)


def test_row_that_does_not_exist() -> None:
    with pytest.raises(UnsupportedError, match="nonsense"):
        kernels.Kernel("gemm", [A, W], Y, row="nonsense")()


def test_tables() -> None:
    families = kernels.families()
    gemm = families["gemm"]
    assert [operand.name for operand in gemm.inputs[:2]] == ["a", "w"]
    assert gemm.inputs[1].parameter
    lo = next(a for a in gemm.attributes if a.name == "lo")
    assert (lo.kind, lo.required, lo.default) == ("float", False, float("-inf"))
    rows = kernels.rows()
    assert {row.family for row in rows} <= families.keys()
    assert len({row.name for row in rows}) == len(rows)
    assert any(row.runnable for row in rows if row.family == "gemm")
    assert kernels.presets()[0] == "scalar"
    assert kernels.cpu()["best_preset"] in kernels.presets()

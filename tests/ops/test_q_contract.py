"""References of integer operators against scalar loops that follow the numerics contract."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pyruntime.graph import DType
from pyruntime.ops._spatial import as_ints
from pyruntime.ops.conv import resolve
from pyruntime.ops.qconv import QCONV, QConvAttributes
from pyruntime.ops.qelementwise import (
    CAST_SIGN,
    LOOKUP,
    QBINARY,
    REQUANTIZE,
    CastSignAttributes,
    LookupAttributes,
    QBinaryAttributes,
    RequantizeAttributes,
)
from pyruntime.ops.qmatmul import QMATMUL, QMatMulAttributes
from pyruntime.ops.qpool import QPOOL, QPoolAttributes

F = np.float32


def wrapped(total: int) -> int:
    return (total + 2**31) % 2**32 - 2**31


def requantized(f: np.float32, zero_point: int, lo: int, hi: int) -> int:
    clamped = min(max(float(f), lo - zero_point), hi - zero_point)
    return round(clamped) + zero_point  # Python rounds half to even


def finished(attributes, acc, bias, scale, residual, residual_scale):
    acc = wrapped(acc + bias)
    if scale is None:
        return acc
    f = F(F(acc) * F(scale))
    if residual is not None:
        f = F(f + F(F(residual - attributes.residual_zero_point) * F(residual_scale)))
    if attributes.out is DType.F32:
        return F(min(max(f, F(attributes.lo)), F(attributes.hi)))
    return requantized(f, attributes.y_zero_point, attributes.q_lo, attributes.q_hi)


def scalar_matmul(attributes, a, b, bias=None, scale=None, residual=None, residual_scale=None):
    a = a.T if attributes.trans_a else a
    b = b.T if attributes.trans_b else b
    M, K = a.shape
    N = b.shape[1]
    y = np.zeros((M, N), object)
    for m, n in itertools.product(range(M), range(N)):
        acc = sum((int(a[m, k]) - attributes.x_zero_point) * int(b[k, n]) for k in range(K))
        y[m, n] = finished(
            attributes,
            acc,
            0 if bias is None else int(bias[n]),
            None if scale is None else scale[n % scale.size],
            None if residual is None else int(residual[m, n]),
            None if residual_scale is None else residual_scale[0],
        )
    return y


def scalar_conv(attributes, x, w, bias=None, scale=None, residual=None, residual_scale=None):
    geometry = resolve(attributes, x.shape, w.shape)
    top, left = as_ints(geometry.pads)[:2]
    OH, OW = as_ints(geometry.outputs)
    outputs = w.shape[0]
    per_group = outputs // attributes.group
    y = np.zeros((x.shape[0], outputs, OH, OW), object)
    for b, o, i, j in np.ndindex(*y.shape):
        first = o // per_group * w.shape[1]
        acc = 0
        for c, ki, kj in np.ndindex(*w.shape[1:]):
            row = i * geometry.strides[0] - top + ki * geometry.dilations[0]
            column = j * geometry.strides[1] - left + kj * geometry.dilations[1]
            inside = 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
            q = int(x[b, first + c, row, column]) if inside else attributes.x_zero_point
            acc += (q - attributes.x_zero_point) * int(w[o, c, ki, kj])
        y[b, o, i, j] = finished(
            attributes,
            acc,
            0 if bias is None else int(bias[o]),
            None if scale is None else scale[o % scale.size],
            None if residual is None else int(residual[b, o, i, j]),
            None if residual_scale is None else residual_scale[0],
        )
    return y


def s8(rng, *shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


def equal(found, expected):
    assert found.shape == expected.shape
    assert np.array_equal(found, expected.astype(found.dtype))
    # The expected values must also fit the output type, or the comparison wraps.
    if found.dtype.kind == "i":
        assert all(int(e) == int(f) for e, f in zip(expected.flat, found.flat, strict=True))


OUTPUTS = {
    "s8": {"y_zero_point": 11, "q_lo": -20, "q_hi": 90},
    "s8-relu": {"y_zero_point": -128},
    "f32": {"out": DType.F32, "lo": -0.5, "hi": 1.25},
    "s32": {"out": DType.S32},
}


@pytest.mark.parametrize("trans", [(False, False), (True, True)])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_qmatmul(kind, per_channel, trans):
    rng = np.random.default_rng(5)
    attributes = QMatMulAttributes(*trans, x_zero_point=-9, **OUTPUTS[kind])
    a, b = (
        s8(rng, 7, 5) if trans[0] else s8(rng, 5, 7),
        s8(rng, 3, 7) if trans[1] else s8(rng, 7, 3),
    )
    bias = rng.integers(-30000, 30000, 3).astype(np.int32)
    scale = None if kind == "s32" else rng.uniform(1e-3, 5e-3, 3 if per_channel else 1).astype(F)
    inputs = [a, b, bias, scale]
    equal(QMATMUL.reference(attributes, inputs, 1)[0], scalar_matmul(attributes, *inputs))


@pytest.mark.parametrize("kind", ["s8", "s8-relu", "f32"])
def test_qmatmul_residual(kind):
    rng = np.random.default_rng(6)
    attributes = QMatMulAttributes(residual_zero_point=77, **OUTPUTS[kind])
    inputs = [
        s8(rng, 6, 9),
        s8(rng, 9, 4),
        None,
        np.asarray([0.003], F),
        s8(rng, 6, 4),
        np.asarray([0.41], F),
    ]
    equal(QMATMUL.reference(attributes, inputs, 1)[0], scalar_matmul(attributes, *inputs))


def test_accumulators_wrap_around():
    a, b = np.full((1, 3), -128, np.int8), np.full((3, 2), -128, np.int8)
    bias = np.asarray([2**31 - 1, -(2**31)], np.int32)
    attributes = QMatMulAttributes(out=DType.S32)
    found = QMATMUL.reference(attributes, [a, b, bias], 1)[0]
    assert found.tolist() == [[-(2**31) + 3 * 2**14 - 1, -(2**31) + 3 * 2**14]]
    equal(found, scalar_matmul(attributes, a, b, bias))


def test_wraparound_also_before_the_scale():
    a, b = np.full((1, 3), 127, np.int8), np.full((3, 1), 127, np.int8)
    inputs = [a, b, np.asarray([2**31 - 1], np.int32), np.asarray([1e-8], F)]
    attributes = QMatMulAttributes()
    found = QMATMUL.reference(attributes, inputs, 1)[0]
    assert found[0, 0] == round(F(wrapped(2**31 - 1 + 3 * 127 * 127)) * F(1e-8))
    equal(found, scalar_matmul(attributes, *inputs))


def test_ties_round_to_even_and_saturate():
    a = np.arange(-20, 21, dtype=np.int8).reshape(-1, 1)
    inputs = [a, np.asarray([[1]], np.int8), None, np.asarray([0.5], F)]
    found = QMATMUL.reference(QMatMulAttributes(y_zero_point=3), inputs, 1)[0]
    assert found[:5, 0].tolist() == [-7, -7, -6, -5, -5]  # -10, -9.5, -9, -8.5, -8, plus 3
    inputs[3] = np.asarray([3e38], F)  # overflows to infinity: clamped before conversion
    found = QMATMUL.reference(QMatMulAttributes(), inputs, 1)[0]
    assert set(found.ravel().tolist()) == {-128, 0, 127}


def test_conversion_of_large_accumulators_rounds():
    # 2^24 + 1 has no float32; float32(acc) must be 2^24 before the scale is applied.
    inputs = [
        np.zeros((1, 1), np.int8),
        np.zeros((1, 1), np.int8),
        np.asarray([2**24 + 1], np.int32),
        np.asarray([1], F),
    ]
    found = QMATMUL.reference(QMatMulAttributes(out=DType.F32), inputs, 1)[0]
    assert found.dtype == np.float32
    assert found[0, 0] == 2.0**24


@pytest.mark.parametrize(
    "geometry",
    [
        {"pads": (1, 0, 1, 2), "strides": (2, 1)},
        {"group": 2, "dilations": (1, 2)},
        {"group": 4, "auto_pad": "SAME_LOWER", "strides": (2, 2)},
    ],
)
@pytest.mark.parametrize("kind", OUTPUTS)
def test_qconv(kind, geometry):
    rng = np.random.default_rng(7)
    attributes = QConvAttributes(
        x_zero_point=31, residual_zero_point=-3, **geometry, **OUTPUTS[kind]
    )
    x, w = s8(rng, 2, 4, 5, 6), s8(rng, 4, 4 // attributes.group, 2, 3)
    inputs = [x, w, rng.integers(-9999, 9999, 4).astype(np.int32)]
    if kind != "s32":
        inputs.append(rng.uniform(1e-3, 4e-3, 4).astype(F))
        outputs = as_ints(resolve(attributes, x.shape, w.shape).outputs)
        inputs += [s8(rng, 2, 4, *outputs), np.asarray([0.21], F)]
    equal(QCONV.reference(attributes, inputs, 1)[0], scalar_conv(attributes, *inputs))


@pytest.mark.parametrize("channels", [3, 20])
def test_qconv_channel_counts_take_different_loops(channels):
    rng = np.random.default_rng(8)
    attributes = QConvAttributes(x_zero_point=-128, pads=(1, 1, 1, 1))
    inputs = [
        s8(rng, 1, channels, 4, 3),
        s8(rng, 2, channels, 3, 3),
        None,
        np.asarray([1e-3, 2e-3], F),
    ]
    equal(QCONV.reference(attributes, inputs, 1)[0], scalar_conv(attributes, *inputs))


@pytest.mark.parametrize("op", ["add", "mul"])
def test_qbinary_all_pairs(op):
    every = np.arange(-128, 128).astype(np.int8)
    a, b = every[:, None], every[None, ::3]
    attributes = QBinaryAttributes(op, 5, -77, 9, -100, 101)
    # add: quarters, so that ties occur; mul: a product of exact halves.
    a_scale, b_scale = (F(0.25), F(0.75)) if op == "add" else (F(0.03125), F(1))
    found = QBINARY.reference(attributes, [a, b, np.asarray([a_scale]), np.asarray([b_scale])], 1)[
        0
    ]
    expected = np.zeros(found.shape, object)
    for i, j in np.ndindex(*found.shape):
        left, right = int(a[i, 0]) - 5, int(b[0, j]) + 77
        f = (
            F(F(left) * a_scale) + F(F(right) * b_scale)
            if op == "add"
            else F(left * right) * a_scale
        )
        expected[i, j] = requantized(f, 9, -100, 101)
    equal(found, expected)


def test_requantize_lookup_and_cast_sign_on_every_byte():
    every = np.arange(-128, 128).astype(np.int8)
    found = REQUANTIZE.reference(RequantizeAttributes(3, -7), [every, np.asarray([1.5], F)], 1)[0]
    equal(
        found,
        np.asarray([requantized(F(F(int(q) - 3) * F(1.5)), -7, -128, 127) for q in every], object),
    )
    table = every[::-1].copy()
    assert np.array_equal(LOOKUP.reference(LookupAttributes(), [every, table], 1)[0], table)
    unsigned = CAST_SIGN.reference(CastSignAttributes(), [every], 1)[0]
    assert np.array_equal(unsigned, np.arange(256).astype(np.uint8))
    assert np.array_equal(CAST_SIGN.reference(CastSignAttributes(), [unsigned], 1)[0], every)


@pytest.mark.parametrize("include_pad", [False, True])
def test_qpool_average(include_pad):
    rng = np.random.default_rng(9)
    x = s8(rng, 1, 2, 4, 5)
    attributes = QPoolAttributes(
        op="average",
        kernel=(3, 2),
        strides=(1, 2),
        pads=(1, 1, 1, 0),
        count_include_pad=include_pad,
        x_zero_point=17,
        y_zero_point=-4,
    )
    found = QPOOL.reference(attributes, [x, np.asarray([1.125], F)], 1)[0]
    expected = np.zeros(found.shape, object)
    for b, c, i, j in np.ndindex(*found.shape):
        rows = [r for r in range(i - 1, i + 2) if 0 <= r < 4]
        columns = [s for s in range(2 * j - 1, 2 * j + 1) if 0 <= s < 5]
        total = sum(int(x[b, c, r, s]) - 17 for r in rows for s in columns)
        count = 6 if include_pad else len(rows) * len(columns)
        f = F(F(F(total) / F(count)) * F(1.125))
        expected[b, c, i, j] = requantized(f, -4, -128, 127)
    equal(found, expected)


def test_exact_float64_accumulation_limit():
    # The references add products in float64; a layer must stay far below 2^53 for that to be exact.
    assert 255 * 128 * 2**24 < 2**53
    assert math.log2(255 * 128) < 15

"""How `_core` decodes constants from hand-made files, and that it reads what Python writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyruntime import _core
from pyruntime.errors import FormatError, ResourceError
from pyruntime.graph.types import DType
from pyruntime.plan import positions, storage
from pyruntime.plan.packing import by_name as packing_by_name
from pyruntime.plan.program import ProgramValue
from tests.runtime import pyrt_files as files
from tests.runtime.pyrt_files import program_of, value


def storage_model(constant: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytes:
    """A model that outputs its constant."""
    return files.model(program_of([value("B"), constant], [], [0], [1]), tensors)


def decode(constant: dict[str, Any], **tensors: np.ndarray) -> np.ndarray:
    session = _core.Session(storage_model(constant, tensors))
    return session.run([np.zeros(1, np.float32)])[0]


RNG = np.random.default_rng(5)
Q = RNG.integers(-127, 128, (5, 7)).astype(np.int8)
SCALE = RNG.uniform(0.01, 1, 7).astype(np.float32)
DENSE = np.where(RNG.random((5, 7)) < 0.3, RNG.standard_normal((5, 7)), 0).astype(np.float32)
VALUES = DENSE[DENSE != 0]
RICE, CODE = positions.encode_gaps(np.flatnonzero(DENSE))
GAPS = {"scheme": "gaps.1", "positions": "p", "rice": RICE, "blocks": VALUES.size}
PATTERN = {"scheme": "pattern.1", "positions": "p", "pattern": [3, 7], "view": [5, 7, 1, 1]}


def test_half_precision_is_widened() -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    got = decode(value(65536, tensor="t"), t=halves)
    with np.errstate(invalid="ignore"):
        wanted = halves.astype(np.float32)
    assert np.array_equal(got, wanted, equal_nan=True)
    assert np.array_equal(np.signbit(got), np.signbit(wanted))


def test_scaled_integers() -> None:
    per_axis = value(5, 7, tensor="t", scale="s", axis=1)
    assert np.array_equal(decode(per_axis, t=Q, s=SCALE), Q.astype(np.float32) * SCALE)
    one = value(5, 7, tensor="t", scale="s")
    assert np.array_equal(decode(one, t=Q, s=SCALE[:1]), Q.astype(np.float32) * SCALE[0])
    wide = Q.astype(np.int16) * 200
    first = value(5, 7, tensor="t", scale="s", axis=0)
    wanted = wide.astype(np.float32) * SCALE[:5, None]
    assert np.array_equal(decode(first, t=wide, s=SCALE[:5]), wanted)


def test_grouped_scales() -> None:
    scale = RNG.uniform(0.01, 1, (5, 3)).astype(np.float16)
    grouped = value(5, 7, tensor="t", scale="s", axis=1, group=3)
    wanted = Q.astype(np.float32) * np.repeat(scale.astype(np.float32), 3, axis=1)[:, :7]
    assert np.array_equal(decode(grouped, t=Q, s=scale), wanted)
    scale = RNG.uniform(0.01, 1, (2, 7)).astype(np.float32)
    outer = value(5, 7, tensor="t", scale="s", axis=0, group=4)
    wanted = Q.astype(np.float32) * np.repeat(scale, 4, axis=0)[:5]
    assert np.array_equal(decode(outer, t=Q, s=scale), wanted)


def test_gaps() -> None:
    kept = np.flatnonzero(DENSE)
    rice, code = positions.encode_gaps(kept)
    constant = value(5, 7, tensor="t", positions="p", scheme="gaps.1", rice=rice, blocks=kept.size)
    assert np.array_equal(decode(constant, t=DENSE[DENSE != 0], p=code), DENSE)
    scaled = {**constant, "scale": "s", "axis": 1}
    wanted = np.where(DENSE != 0, Q.astype(np.float32) * SCALE, 0)
    assert np.array_equal(decode(scaled, t=Q[DENSE != 0], p=code, s=SCALE), wanted)


def test_blocks_at_the_edge_hold_fewer_elements() -> None:
    rice, code = positions.encode_gaps(np.array([1, 2]))  # columns 0-3: k 4-6; columns 4: k 0-3
    wanted = np.zeros((5, 7), np.float32)
    wanted[0:4, 4:7] = DENSE[0:4, 4:7] + 20
    wanted[4, 0:4] = DENSE[4, 0:4] + 20
    constant = value(
        *(5, 7),
        tensor="t",
        positions="p",
        scheme="gaps.1",
        rice=rice,
        blocks=2,
        view=[5, 7, 1, 1],
        block=[4, 4],
    )
    values = np.concatenate([wanted[0:4, 4:7].reshape(-1), wanted[4, 0:4]])
    assert np.array_equal(decode(constant, t=values, p=code), wanted)


@pytest.mark.parametrize("pack", ["b1", "t5", "s2", "s4", "u4"])
@pytest.mark.parametrize("count", [1, 4, 5, 35])
def test_packed(pack: str, count: int) -> None:
    packing = packing_by_name(pack)
    q = RNG.integers(packing.low, packing.high + 1, count).astype(np.int8)
    if pack == "b1":
        q[q == 0] = 1
    packed = packing.pack(q)
    assert packed.size == packing.size(count)
    scaled = value(count, tensor="t", pack=pack, scale="s")
    assert np.array_equal(decode(scaled, t=packed, s=SCALE[:1]), q.astype(np.float32) * SCALE[:1])
    dtype = "u4" if pack == "u4" else "s8"
    plain = value(count, dtype=dtype, tensor="t", pack=pack)
    assert np.array_equal(decode(plain, t=packed).astype(np.int8), q)


def pattern_of(shape: tuple[int, ...], most: int, group: int) -> np.ndarray:
    """Random s8 weights with at most `most` non-zeros among `group` neighbours of the last axis."""
    keep = RNG.random((*shape[:-1], shape[-1] // group, group)).argsort(-1).argsort(-1) < most
    values = RNG.integers(1, 100, shape).astype(np.int8)
    values[..., 0] = 0  # some groups have fewer
    return values * keep.reshape(shape)


def blocks_of(height: int, width: int) -> np.ndarray:
    """Random s8 weights [64, 64] of which nine in ten blocks are zero."""
    kept = RNG.random((64 // height, 64 // width)) < 0.1
    return RNG.integers(1, 100, (64, 64)).astype(np.int8) * np.kron(
        kept, np.ones((height, width), np.int8)
    )


@pytest.mark.parametrize(
    ("weights", "scheme"),
    [
        (pattern_of((64, 64), 2, 4), "pattern.1"),
        (pattern_of((48, 64), 4, 16), "pattern.1"),
        (np.ascontiguousarray(pattern_of((64, 64), 2, 4).T), "pattern.1"),
        (pattern_of((16, 3, 3, 32), 1, 4).transpose(0, 3, 1, 2).copy(), "pattern.1"),
        (blocks_of(1, 4), "gaps.1"),
        (blocks_of(16, 4), "gaps.1"),
        (np.ascontiguousarray(blocks_of(16, 4).T), "gaps.1"),
        (blocks_of(1, 1), "gaps.1"),
        (np.sign(blocks_of(1, 1)), "gaps.1"),
        (np.zeros((64, 64), np.int8), "gaps.1"),
        (RNG.integers(-8, 8, (64, 64)).astype(np.int8), "dense"),
    ],
)
def test_what_python_writes_the_core_reads(weights: np.ndarray, scheme: str) -> None:
    tensors: dict[str, np.ndarray] = {}

    def put(name: str, array: np.ndarray) -> str:
        tensors[name] = array
        return name

    constant = storage.encode(ProgramValue(DType.S8, weights.shape, "w", weights), "w", put)
    assert constant.get("scheme", "dense") == scheme
    read = decode(value(*weights.shape, dtype="s8", **constant), **tensors)
    assert np.array_equal(read, weights)
    again, _ = storage.decode(constant, DType.S8, weights.shape, tensors)
    assert np.array_equal(again, weights)


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        (GAPS, {"t": VALUES}, "positions"),
        (GAPS, {"t": VALUES, "p": CODE.astype(np.int8)}, "U8"),
        (GAPS, {"t": VALUES, "p": CODE[:-1]}, "fewer blocks|end early"),
        (GAPS, {"t": VALUES, "p": np.append(CODE, np.uint8(0))}, "more than 'blocks'"),
        (GAPS, {"t": VALUES[:-1], "p": CODE}, "fewer values"),
        (GAPS, {"t": np.append(VALUES, VALUES[:1]), "p": CODE}, "more values"),
        (GAPS | {"blocks": 99}, {"t": VALUES, "p": CODE}, "number of blocks"),
        (GAPS | {"blocks": -1}, {"t": VALUES, "p": CODE}, "'blocks'"),
        (GAPS | {"rice": 25}, {"t": VALUES, "p": CODE}, "'rice'"),
        (GAPS | {"rice": 9}, {"t": VALUES, "p": CODE}, "end early"),
        (GAPS | {"block": [1, 4]}, {"t": VALUES, "p": CODE}, "together"),
        (GAPS | {"block": [0, 4], "view": [5, 7, 1, 1]}, {"t": VALUES, "p": CODE}, "'block'"),
        (GAPS | {"block": [1, 4], "view": [5, 8, 1, 1]}, {"t": VALUES, "p": CODE}, "'view'"),
        (GAPS | {"block": [1, 4], "view": [5, 1, 7, 0]}, {"t": VALUES, "p": CODE}, "'view'"),
        (
            {"scheme": "gaps.1", "rice": 0, "blocks": 1, "positions": "p"},
            {"t": VALUES[:1], "p": np.array([0, 0, 0, 0, 8], np.uint8)},
            "outside",
        ),
        (PATTERN | {"pattern": [3, 2]}, {"t": VALUES, "p": CODE}, "does not fit"),
        (PATTERN | {"pattern": [2, 4]}, {"t": VALUES, "p": CODE}, "divide K"),
        (PATTERN, {"t": VALUES, "p": CODE[:0]}, "4 bytes"),
        (PATTERN, {"t": VALUES, "p": np.full(4, 255, np.uint8)}, "rank"),
        ({"pack": "s4"}, {"t": np.zeros(18, np.uint8)}, "without scale"),
        ({"pack": "s4", "scale": "s"}, {"t": np.zeros(17, np.uint8), "s": SCALE[:1]}, "18"),
        ({"pack": "s4", "scale": "s"}, {"t": np.full(18, 0xFF, np.uint8), "s": SCALE[:1]}, "unus"),
        ({"pack": "t5", "scale": "s"}, {"t": np.full(7, 243, np.uint8), "s": SCALE[:1]}, "242"),
        ({"pack": "s3", "scale": "s"}, {"t": Q, "s": SCALE[:1]}, "'s3' is unknown"),
        (GAPS | {"pack": "s4", "scale": "s"}, {"t": Q, "p": CODE, "s": SCALE[:1]}, "'stored'"),
        ({"scale": "s", "axis": 1}, {"t": Q, "s": SCALE[:6]}, "6 elements, 7"),
        ({"scale": "s", "axis": 5}, {"t": Q, "s": SCALE}, "axis 5"),
        ({"scale": "s"}, {"t": Q, "s": SCALE[:1] * np.float32(np.inf)}, "finite"),
        ({"scale": "s"}, {"t": Q, "s": SCALE[:1].astype(np.float64)}, "F32 or F16"),
        ({"scale": "s", "group": 2}, {"t": Q, "s": SCALE}, "beside 'axis'"),
        ({"scale": "s", "axis": 1, "group": 3}, {"t": Q, "s": SCALE}, "grouped"),
        ({"scale": "s", "axis": -1}, {"t": Q, "s": SCALE}, "axis"),
        ({}, {"t": Q}, "without scale"),
        ({}, {"t": DENSE.astype(np.float64)}, "cannot hold"),
    ],
)
def test_constants_that_lie(
    changes: dict[str, Any], tensors: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        decode(value(5, 7, tensor="t", **changes), **tensors)


def test_a_constant_larger_than_the_limit() -> None:
    data = storage_model(value(65536, tensor="t"), {"t": np.zeros(65536, np.float16)})
    with pytest.raises(ResourceError, match="max_bytes"):
        _core.Session(data, max_bytes=1000)

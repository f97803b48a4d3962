"""Codes of positions against what the positions carry, and that they come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyruntime.errors import FormatError
from pyruntime.plan import packing, positions, storage

SHAPE = (256, 512)


def mask_of(kind: str, zeros: float, seed: int = 0) -> np.ndarray:
    """Which of 256 x 512 weights are not zero."""
    rng = np.random.default_rng(seed)
    if ":" in kind:
        most, group = map(int, kind.split(":"))
        order = rng.random((SHAPE[0], SHAPE[1] // group, group)).argsort(-1).argsort(-1)
        return (order < most).reshape(SHAPE)
    height, width = map(int, kind.split("x"))
    kept = rng.random((SHAPE[0] // height, SHAPE[1] // width)) >= zeros
    return np.kron(kept, np.ones((height, width), bool))


def weights_of(kind: str, zeros: float) -> np.ndarray:
    """s8 weights with that structure."""
    values = np.random.default_rng(1).integers(1, 127, SHAPE).astype(np.int8)
    return values * mask_of(kind, zeros).astype(np.int8)


@pytest.mark.parametrize("zeros", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("kind", ["1x1", "1x4", "16x4"])
@pytest.mark.parametrize("columns_first", [True, False])
def test_a_tensor_is_within_a_tenth_of_its_information(
    kind: str, zeros: float, columns_first: bool
) -> None:
    weights = weights_of(kind, zeros)
    code = storage.coded(weights if columns_first else np.ascontiguousarray(weights.T))
    assert code is not None
    nonzeros = np.count_nonzero(weights)
    height, width = map(int, kind.split("x"))
    size = height * width
    bound = nonzeros + positions.log2_choose(weights.size // size, nonzeros // size) / 8
    assert code.order.size == nonzeros
    assert code.order.size + code.data.size <= 1.1 * bound


@pytest.mark.parametrize("kind", ["2:4", "1:4", "4:16", "2:16"])
def test_a_pattern_is_within_a_tenth_of_its_information(kind: str) -> None:
    weights = weights_of(kind, 0)
    code = storage.coded(weights)
    assert code is not None
    most, group = map(int, kind.split(":"))
    bound = (most * 8 + positions.log2_choose(group, most)) / 8 * (weights.size // group)
    assert code.order.size + code.data.size <= 1.1 * bound


@pytest.mark.parametrize(("zeros", "share"), [(0.9, 0.2), (0.8, 0.33)])
def test_shares_of_the_dense_bytes(zeros: float, share: float) -> None:
    code = storage.coded(weights_of("1x1", zeros))
    assert code is not None
    assert code.order.size + code.data.size <= share * np.prod(SHAPE)


@given(
    st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([(7, 40), (33, 64), (8, 3, 3, 5)])
)
def test_every_candidate_comes_back(seed: int, zeros: float, dims: tuple[int, ...]) -> None:
    stored = np.random.default_rng(seed).random(int(np.prod(dims))) >= zeros
    for code in positions.candidates(stored, dims):
        order = positions.decode(code.keys, code.data, stored.size)
        assert np.array_equal(order, code.order)
        assert set(np.flatnonzero(stored)) <= set(order.tolist())


@given(st.binary(max_size=40), st.integers(0, 24), st.integers(0, 60))
def test_random_bytes_are_positions_or_an_error(code: bytes, rice: int, blocks: int) -> None:
    entry = {"scheme": "gaps.1", "rice": rice, "blocks": blocks}
    try:
        order = positions.decode(entry, np.frombuffer(code, np.uint8), 64)
    except FormatError:
        return
    assert order.size == blocks
    assert np.all(np.diff(order) > 0)
    assert blocks == 0 or order[-1] < 64


@given(st.sampled_from(packing.PACKINGS), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_packed_elements_come_back(kind: packing.Packing, count: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(kind.low, kind.high + 1, count).astype(np.int8)
    if not kind.holds(values):
        values[values == 0] = 1
    packed = kind.pack(values)
    assert packed.size == kind.size(count)
    assert np.array_equal(kind.unpack(packed, count), values)
    if count:
        assert kind.size(count) <= packing.narrowest(np.full(count, 7, np.int8)).size(count)

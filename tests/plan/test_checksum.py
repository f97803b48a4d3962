"""CRC-32C: known answers, and both implementations agree on every way to cut the data."""

import numpy as np
import pytest

from pyruntime.kernels import native_crc32c
from pyruntime.plan.checksum import crc32c, crc32c_numpy


def test_known_answers() -> None:
    # RFC 3720, B.4.
    assert crc32c([b"123456789"]) == 0xE3069283
    assert crc32c_numpy(bytes(32)) == 0x8A9136AA
    assert crc32c_numpy(b"\xff" * 32) == 0x62A8AB43
    assert crc32c_numpy(bytes(range(32))) == 0x46DD794E


def test_nothing() -> None:
    assert crc32c([]) == crc32c_numpy(b"") == 0


@pytest.mark.parametrize("size", [1, 2047, 2048, 2049, 4096, 33_333, 1_000_003])
def test_lanes_agree_with_the_plain_loop(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    state = 0
    for start in range(0, min(size, 40_000), 1000):
        state = crc32c_numpy(data[start : min(start + 1000, 40_000)], state)
    assert crc32c_numpy(data[:40_000]) == state
    assert crc32c_numpy(data[size // 3 :], crc32c_numpy(data[: size // 3])) == crc32c_numpy(data)


def test_binding_agrees() -> None:
    native = native_crc32c()
    assert native is not None, "the binding is not built: make build"
    data = np.random.default_rng(1).integers(0, 256, 100_001, dtype=np.uint8)
    assert native(data, 0) == crc32c_numpy(data)
    assert native(data[77:], native(data[:77], 0)) == crc32c_numpy(data)
    assert crc32c([data[:77], data[77:]]) == crc32c_numpy(data)

"""Reproducible arrays for the cases of operators."""

from __future__ import annotations

import numpy as np

from pyruntime.ops._operator import Array


def example(*shape: int, seed: int = 0) -> Array:
    """f32, standard normal."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def example_ints(
    *shape: int, lo: int = -128, hi: int = 127, dtype: type = np.int8, seed: int = 0
) -> Array:
    """Integers of [lo, hi], both ends included."""
    return np.random.default_rng(seed).integers(lo, hi + 1, shape).astype(dtype)

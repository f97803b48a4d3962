"""Work and traffic of a step, and the time that this machine's peaks allow for it.

The roofline: S. Williams, A. Waterman and D. Patterson, "Roofline: an insightful visual performance
model", 2009.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from pyruntime.kernels import Kernel, OperandInfo, StepInfo

_BYTES = {"u64": 8, "s64": 8, "f64": 8, "u32": 4, "s32": 4, "f32": 4, "u16": 2, "s16": 2}
_BYTES |= {"f16": 2, "bf16": 2}  # all others: 1
_SIZE = 384  # of the products that measure a peak
_READ_BYTES = 64 << 20  # more than most last-level caches share with one core


def macs(step: StepInfo) -> int:
    """Multiply-accumulates of a product or convolution as if it were dense; 0 of other steps."""
    if step.family not in ("gemm", "conv", "conv_transpose") or len(step.inputs) < 2:
        return 0
    x, w, y = step.inputs[0], step.inputs[1], step.outputs[0]
    if x is None or w is None or y is None:
        return 0
    if step.family == "gemm":
        # The dims of w are K and N, in either order.
        return math.prod(y.dims) * math.prod(w.dims[-2:]) // max(y.dims[-1], 1)
    of = x if step.family == "conv_transpose" else y
    return math.prod(of.dims) * math.prod(w.dims[1:])


def bytes_moved(step: StepInfo) -> int:
    """Bytes of activations and packed weights that a run reads and writes once."""
    if step.alias:
        return 0
    constants = 1 if step.packed_bytes else 0  # input 1 is packed then
    operands = [item for i, item in enumerate(step.inputs) if not (constants and i == 1)]
    return step.packed_bytes + sum(_size(item) for item in (*operands, *step.outputs))


def _size(operand: OperandInfo | None) -> int:
    return 0 if operand is None else math.prod(operand.dims) * _BYTES.get(operand.dtype, 1)


@dataclass(frozen=True, slots=True)
class Peaks:
    """What one core reaches here.

    Attributes:
        s8: multiply-accumulates a nanosecond of a dense int8 product.
        f32: the same of a dense f32 product.
        read: bytes a nanosecond from memory.
    """

    s8: float
    f32: float
    read: float

    def bound_ns(self, step: StepInfo) -> float:
        """The least time for a step of dense weights: arithmetic or memory, whichever is longer."""
        first = step.inputs[0] if step.inputs else None
        rate = self.f32 if first is not None and first.dtype == "f32" else self.s8
        return max(macs(step) / rate, bytes_moved(step) / self.read)


def _best_ns(run: Callable[[], object], repeats: int = 7) -> float:
    run()
    times = []
    for _ in range(repeats):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times) * 1e9


@functools.cache
def measure_peaks(isa: str = "") -> Peaks:
    """Measures this core's peaks, which takes some tens of milliseconds.

    Args:
        isa: preset to restrict the CPU to; empty for none.
    """
    rng = np.random.default_rng(0)
    shape = (_SIZE, _SIZE)
    count = float(_SIZE**3)

    def rate(dtype: str, x: np.ndarray, w: np.ndarray) -> float:
        out = "s32" if dtype == "s8" else "f32"
        kernel = Kernel("gemm", [x, w], [(out, shape)], isa=isa)
        return count / _best_ns(kernel.loop(x))

    q = rng.integers(-100, 100, shape).astype(np.int8)
    f = rng.standard_normal(shape).astype(np.float32)
    memory = np.ones(_READ_BYTES // 8)
    return Peaks(rate("s8", q, q), rate("f32", f, f), _READ_BYTES / _best_ns(memory.sum, 3))

"""What the core can do at most, measured beside the kernels: multiply-adds and reads.

`rate` is timed anew for each case, a few milliseconds, because the clock drifts within a run.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import statistics
import subprocess
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path(__file__).with_name("peak.c")

LOOPS = ("fma", "maddwd", "maddubs", "dpbusd", "fma512", "dpbusd512")
# (dtype, preset) -> the loop that rows are measured by. The exact kernel's product is the yardstick
# of AVX2: rows that prove a faster one right may exceed it.
YARDSTICKS = {
    ("f32", "avx2"): "fma",
    ("s8", "avx2"): "maddwd",
    ("s8", "avxvnni"): "dpbusd",
    ("f32", "avx512vnni"): "fma512",
    ("s8", "avx512vnni"): "dpbusd512",
}


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled loops; None on a machine that cannot run or compile them."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None or os.uname().machine != "x86_64":
        return None
    target = ROOT / "build" / "peak.so"
    target.parent.mkdir(exist_ok=True)
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(target), str(SOURCE)]
    subprocess.run(command, check=True)
    found = ctypes.CDLL(str(target))
    for name in (*(f"peak_{loop}" for loop in LOOPS), "read_rounds"):
        getattr(found, name).restype = ctypes.c_int64
    return found


def rate(loop: str) -> float:
    """Operations per second in units of 10^9, a multiply-add counted as two; 0 if unknown."""
    found = library()
    if found is None:
        return 0.0
    function = getattr(found, f"peak_{loop}")
    n = ctypes.c_int64(20_000)
    function(n)
    best = 0.0
    for _ in range(60):  # some 3 ms: an idle core takes that long to reach its clock
        start = time.perf_counter()
        count = function(n)
        best = max(best, 2 * count / (time.perf_counter() - start) / 1e9)
    return best


def read_rate(size: int) -> float:
    """10^9 bytes per second, reading a buffer of that many bytes over and over; 0 if unknown."""
    found = library()
    if found is None:
        return 0.0
    buffer = np.ones(size, np.uint8)
    pointer, length = ctypes.c_void_p(buffer.ctypes.data), ctypes.c_int64(size)
    repeats = max(1, int(2e6 / size))
    best = 0.0
    for _ in range(9):
        start = time.perf_counter()
        found.read_rounds(pointer, length, ctypes.c_int64(repeats))
        best = max(best, repeats * size / (time.perf_counter() - start) / 1e9)
    return best


def two_core_read_ratio(size: int) -> float:
    """How much faster two threads read a buffer, a half each, than one reads all; 0 if unknown."""
    found = library()
    if found is None:
        return 0.0
    buffer = np.ones(size, np.uint8)

    def seconds(parts: int) -> float:
        """Of reading it `rounds` times, a thread for each part; ctypes lets them run together."""
        length = size // parts
        threads = [
            threading.Thread(
                target=found.read_rounds,
                args=(
                    ctypes.c_void_p(buffer.ctypes.data + part * length),
                    ctypes.c_int64(length),
                    ctypes.c_int64(rounds),
                ),
            )
            for part in range(parts)
        ]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - start

    rounds = max(1, int(2e9 / size))  # some 50 ms
    seconds(2)
    return statistics.median(seconds(1) / seconds(2) for _ in range(5))


def yardstick(dtype: str, row: str) -> str:
    """The loop that this row is measured by; empty if none fits."""
    kind = "f32" if dtype == "f32" else "s8"
    return YARDSTICKS.get((kind, row.rpartition("_")[2]), "")

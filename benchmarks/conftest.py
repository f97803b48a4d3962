"""Pins the process to one core and every library to one thread, and notes the machine in the JSON.

pytest loads this file before the benchmarks, and so before numpy: afterwards BLAS would have
started its threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
CORES: set[int] = set()
if hasattr(os, "sched_setaffinity"):
    CORES = os.sched_getaffinity(0)
    # The last core: the first one serves most interrupts.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
# Before this run adds to it.
LOAD = os.getloadavg()[0]


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:  # noqa: ARG001 (pytest passes it)
    from benchmarks import peers

    machine_info["pyruntime"] = {**peers.machine(), "load": LOAD}


@pytest.fixture
def two_cores() -> Iterator[tuple[int, int]]:
    """Lets the process run on all cores; gives the numbers of two of them."""
    if len(CORES) < 2:
        pytest.skip("this process may use one core only")
    pinned = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    first, second, *_ = sorted(CORES)
    yield first, second
    os.sched_setaffinity(0, pinned)

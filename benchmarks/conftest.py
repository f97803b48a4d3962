"""Pins the process to one core and every library to one thread, and notes the machine in the JSON.

pytest loads this file before the benchmarks, and so before numpy: afterwards BLAS would have
started its threads.
"""

from __future__ import annotations

import os
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
if hasattr(os, "sched_setaffinity"):
    # The last core: the first one serves most interrupts.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
# Before this run adds to it.
LOAD = os.getloadavg()[0]


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:  # noqa: ARG001 (pytest passes it)
    from benchmarks import peers

    machine_info["pyruntime"] = {**peers.machine(), "load": LOAD}

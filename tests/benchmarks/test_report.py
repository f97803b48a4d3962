"""The ratio table is built from pytest-benchmark's JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def entry(subject: str, median: float, **info: Any) -> dict[str, Any]:
    return {
        "name": f"bench_gemm[{subject}]",
        "fullname": f"bench_gemm.py::bench_gemm[{subject}]",
        "group": "M16-N32-K64",
        "stats": {"median": median},
        "extra_info": {"subject": subject, "dtype": "s8", **info},
    }


def test_ratios_are_those_of_the_medians(tmp_path: Path) -> None:
    machine = {"cpu": "Some CPU", "isa": "avx2", "threads": 1, "load": 9.0, "versions": {"a": "1"}}
    data = {
        "datetime": "2026-01-02T03:04:05",
        "machine_info": {"cpu": {}, "pyruntime": machine},
        "benchmarks": [
            entry(
                "pyruntime",
                2e-3,
                giga_per_second=12.34,
                row="gemm_x",
                peak_share=0.87,
                peak="maddwd",
                nets={"net": 3},
            ),
            entry("other", 5e-3, wrong_by=3.0),
            entry("slow", 7e-3, empty_call_seconds=1e-3),
        ],
    }
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(data))
    disturbed = tmp_path / "disturbed.json"
    disturbed.write_text(json.dumps({**data, "benchmarks": [entry("other", 9e-3)]}))
    report = [sys.executable, ROOT / "benchmarks" / "report.py", disturbed, path, "-o", tmp_path]
    subprocess.run(report, check=True, capture_output=True)
    text = (tmp_path / "some-cpu-avx2.md").read_text()
    times = "2 ms | 12.3 | 87 % maddwd | 2.50x | 5 ms (2.50x) \\* | 6 ms (3.00x)"
    assert f"| M16-N32-K64 | s8 | {times} | gemm_x |" in text
    best = "against the best peer 2.50x, worst 2.50x; against the best that is right 3.00x"
    assert f"- s8: geometric mean {best}, worst 3.00x." in text
    sums = "other 15 ms (2.50x), slow 18 ms (3.00x), best of each layer 15 ms (2.50x)"
    right = "best right of each layer 18 ms (3.00x)"
    assert f"- Sum over net, s8: pyruntime 6 ms, {sums}, {right}." in text
    assert "best of 2 passes" in text
    assert "Provisional: the machine was busy (load 9.0)" in text

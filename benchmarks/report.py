"""Tables of medians and ratios from pytest-benchmark's JSON: `report.py bench.json [-o FILE]`.

A ratio is the median of the subject over that of pyruntime at the same shape and dtype in the same
run: above 1, pyruntime is faster. Absolute times hold on the machine named at the head only.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
# Subject whose time the others are divided by.
BASE = "pyruntime"
# Load average before the run above which other programs disturb it.
BUSY_LOAD = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path, help="written by --benchmark-json")
    parser.add_argument(
        "-o", "--output", type=Path, help="a file, or a folder: then <cpu>-<isa>.md in it"
    )
    arguments = parser.parse_args()
    data = json.loads(arguments.json.read_text())
    text = report(data)
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    output = arguments.output
    if output.suffix != ".md":
        output.mkdir(parents=True, exist_ok=True)
        output /= file_name(data)
    output.write_text(text)
    print(f"wrote {output}")
    return 0


def file_name(data: Entry) -> str:
    """`<cpu>-<isa>.md`, in lower case, words joined by dashes."""
    words = f"{cpu_name(data)} {data['machine_info']['pyruntime']['isa']}".lower().split()
    return "-".join("".join(c for c in word if c.isalnum()) for word in words) + ".md"


def cpu_name(data: Entry) -> str:
    """As the machine says; virtual machines hide most of it, so family and model are added."""
    cpu = data["machine_info"].get("cpu", {})
    name = data["machine_info"]["pyruntime"]["cpu"]
    if "family" in cpu:
        return f"{name} family {cpu['family']} model {cpu.get('model', '?')}"
    return str(name)


def report(data: Entry) -> str:
    """The whole page."""
    machine = data["machine_info"]["pyruntime"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"# {cpu_name(data)}, {machine['isa']}",
        "",
        f"{data['datetime'][:10]}; {machine['threads']} thread on one pinned core; {versions}.",
        "Medians. A ratio is the subject's time over pyruntime's for the same shape and dtype in",
        "the same run: above 1, pyruntime is faster.",
    ]
    if machine["load"] > BUSY_LOAD:
        lines += ["", f"**Provisional: the machine was busy (load {machine['load']:.1f}).**"]
    by_bench: dict[str, list[Entry]] = defaultdict(list)
    for entry in data["benchmarks"]:
        by_bench[entry["name"].split("[")[0]].append(entry)
    for bench, entries in by_bench.items():
        lines += ["", f"## {bench.removeprefix('bench_')}", ""]
        lines += overhead_table(entries) if bench == "bench_overhead" else table(entries)
    return "\n".join(lines) + "\n"


def table(entries: list[Entry]) -> list[str]:
    """A line per (shape, dtype), a column per subject."""
    shapes: dict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        info = entry["extra_info"]
        shapes[entry["group"], info["dtype"]][info["subject"]] = entry
    others = list(dict.fromkeys(e["extra_info"]["subject"] for e in entries))
    others = [name for name in others if name != BASE]
    rated = any("giga_per_second" in entry["extra_info"] for entry in entries)
    head = ["shape", "dtype", BASE, *(["G/s"] if rated else []), *others, "kernel"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (group, dtype), subjects in shapes.items():
        own = subjects.get(BASE)
        cells = [group, dtype, duration(median(own)) if own else "–"]
        if rated:
            cells.append(f"{own['extra_info']['giga_per_second']:.1f}" if own else "–")
        cells += [cell(subjects.get(name), own) for name in others]
        cells.append(own["extra_info"].get("row", "") if own else "")
        lines.append("| " + " | ".join(cells) + " |")
    if any(entry["extra_info"].get("wrong_by") for entry in entries):
        lines += ["", "\\* computes something else here: its sums of two products saturate."]
    return lines


def overhead_table(entries: list[Entry]) -> list[str]:
    """Microseconds over native time, with the limits."""
    lines = ["| call | median | native | over native | limit |", "|---|---|---|---|---|"]
    for entry in entries:
        info = entry["extra_info"]
        limit = f"{info['limit_us']:g} us" if info.get("limit_us") else "–"
        lines.append(
            f"| {info['subject']} | {duration(median(entry))} | {info['native_ns']:.0f} ns | "
            f"{info['over_native_us']:.2f} us | {limit} |"
        )
    return lines


def median(entry: Entry) -> float:
    """Seconds."""
    return float(entry["stats"]["median"])


def cell(entry: Entry | None, own: Entry | None) -> str:
    """Time and ratio of a peer."""
    if entry is None:
        return "–"
    if own is None:
        return duration(median(entry))
    wrong = " \\*" if entry["extra_info"].get("wrong_by") else ""
    return f"{duration(median(entry))} ({median(entry) / median(own):.2f}x){wrong}"


def duration(seconds: float) -> str:
    """In a unit that leaves three digits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


if __name__ == "__main__":
    sys.exit(main())

"""Tables of medians and ratios from pytest-benchmark's JSON: `report.py bench-1.json .. [-o FILE]`.

A ratio is the median of the subject over that of pyruntime at the same shape and dtype in the same
run: above 1, pyruntime is faster. Absolute times hold on the machine named at the head only.
"""

from __future__ import annotations

import argparse
import json
import math
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
    parser.add_argument("json", type=Path, nargs="+", help="passes, written by --benchmark-json")
    parser.add_argument(
        "-o", "--output", type=Path, help="a file, or a folder: then <cpu>-<isa>.md in it"
    )
    arguments = parser.parse_args()
    data = best_of([json.loads(path.read_text()) for path in arguments.json])
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


def best_of(passes: list[Entry]) -> Entry:
    """The first pass with the entry of the lowest median for each case."""
    best: dict[str, Entry] = {}
    for data in passes:
        for entry in data["benchmarks"]:
            known = best.setdefault(entry["fullname"], entry)
            if median(entry) < median(known):
                best[entry["fullname"]] = entry
    return {**passes[0], "benchmarks": list(best.values()), "passes": len(passes)}


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
        f"Medians, the best of {data['passes']} passes. A ratio is the subject's time over",
        "pyruntime's for the same shape and dtype in the same run: above 1, pyruntime is faster.",
        "`limit` is the share of a loop over registers alone, timed just before (fma, maddwd,",
        "dpbusd), or of reading the weights.",
    ]
    if machine["load"] > BUSY_LOAD:
        lines += ["", f"**Provisional: the machine was busy (load {machine['load']:.1f}).**"]
    by_bench: dict[str, list[Entry]] = defaultdict(list)
    for entry in data["benchmarks"]:
        by_bench[entry["name"].split("[")[0]].append(entry)
    for bench, entries in by_bench.items():
        lines += ["", f"## {bench.removeprefix('bench_')}", ""]
        lines += TABLES.get(bench, table)(entries)
    return "\n".join(lines) + "\n"


Shapes = dict[tuple[str, str], dict[str, Entry]]


def table(entries: list[Entry]) -> list[str]:
    """A line per (shape, dtype), a column per subject, then means."""
    shapes: Shapes = defaultdict(dict)
    for entry in entries:
        info = entry["extra_info"]
        shapes[entry["group"], info["dtype"]][info["subject"]] = entry
    others = list(dict.fromkeys(e["extra_info"]["subject"] for e in entries))
    others = [name for name in others if name != BASE]
    rated = any("giga_per_second" in entry["extra_info"] for entry in entries)
    limited = any("peak_share" in entry["extra_info"] for entry in entries)
    head = ["shape", "dtype", BASE, *(["G/s"] if rated else []), *(["limit"] if limited else [])]
    head += ["best peer", *others, "kernel"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (group, dtype), subjects in shapes.items():
        own = subjects.get(BASE)
        cells = [group, dtype, duration(median(own)) if own else "–"]
        if rated:
            cells.append(f"{own['extra_info']['giga_per_second']:.1f}" if own else "–")
        if limited:
            cells.append(limit_cell(own))
        best = best_ratio(subjects, exact=False)
        cells.append(f"{best:.2f}x" if best else "–")
        cells += [cell(subjects.get(name), own) for name in others]
        cells.append(own["extra_info"].get("row", "") if own else "")
        lines.append("| " + " | ".join(cells) + " |")
    if any(entry["extra_info"].get("wrong_by") for entry in entries):
        lines += ["", "\\* computes something else here: its sums of two products saturate."]
    return lines + mean_lines(shapes) + net_lines(shapes)


def is_peer(name: str) -> bool:
    """Whether a subject is another library, in the form that competes with `pyruntime`."""
    return not name.startswith(BASE)


def best_ratio(subjects: dict[str, Entry], *, exact: bool) -> float | None:
    """The best peer's time over ours; `exact` leaves out those that compute something else."""
    own = subjects.get(BASE)
    times = [
        median(entry)
        for name, entry in subjects.items()
        if is_peer(name) and not (exact and entry["extra_info"].get("wrong_by"))
    ]
    times = [time for time in times if time > 0]  # not below what an empty call takes
    return min(times) / median(own) if own and times else None


def mean_lines(shapes: Shapes) -> list[str]:
    """Geometric means and worst of the ratio to the best peer, by dtype."""
    lines = []
    for dtype in dict.fromkeys(dtype for _, dtype in shapes):
        rows = [subjects for (_, other), subjects in shapes.items() if other == dtype]
        parts = []
        for exact in (False, True):
            ratios = [ratio for row in rows if (ratio := best_ratio(row, exact=exact))]
            if ratios:
                mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
                what = "the best that is right" if exact else "the best peer"
                parts.append(f"{what} {mean:.2f}x, worst {min(ratios):.2f}x")
        if parts:
            lines.append(f"- {dtype}: geometric mean against {'; against '.join(parts)}.")
    return ["", *lines] if lines else []


def net_lines(shapes: Shapes) -> list[str]:
    """Sums over networks, each layer as often as it occurs (`nets`: name -> count)."""
    sums: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for (_, dtype), subjects in shapes.items():
        infos = [entry["extra_info"] for entry in subjects.values()]
        nets = next((info["nets"] for info in infos if "nets" in info), {})
        for net, count in nets.items():
            for name, entry in subjects.items():
                sums[net, dtype][name] += count * median(entry)
            peers = {name: entry for name, entry in subjects.items() if is_peer(name)}
            right = {n: e for n, e in peers.items() if not e["extra_info"].get("wrong_by")}
            for what, some in (("best", peers), ("best right", right)):
                times = [median(entry) for entry in some.values()]
                sums[net, dtype][f"{what} of each layer"] += count * min(times, default=0.0)
    lines = []
    for (net, dtype), times in sums.items():
        own = times.pop(BASE, 0.0)
        texts = [f"{name} {duration(time)}" for name, time in times.items() if time]
        if own:
            texts = [f"{name} {duration(t)} ({t / own:.2f}x)" for name, t in times.items() if t]
        lines.append(f"- Sum over {net}, {dtype}: {BASE} {duration(own)}, {', '.join(texts)}.")
    return ["", *lines] if lines else []


def limit_cell(own: Entry | None) -> str:
    """Share of what the core can do at most."""
    info = own["extra_info"] if own else {}
    return f"{100 * info['peak_share']:.0f} % {info['peak']}" if "peak_share" in info else "–"


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


def threads_table(entries: list[Entry]) -> list[str]:
    """Two threads against one, on an idle machine and beside a busy core."""
    layers: dict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        layers[entry["group"]][entry["extra_info"]["subject"]] = entry
    head = "| layer | M products | 1 thread | 2 threads | faster | reads faster | busy: faster |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name, ways in layers.items():
        info = next(iter(ways.values()))["extra_info"]
        one, two = ways.get("pyruntime"), ways.get("pyruntime-2")
        reads = two["extra_info"].get("read_ratio") if two else None
        cells = [
            name,
            f"{info['mega_products']:.3g}",
            duration(median(one)) if one else "–",
            duration(median(two)) if two else "–",
            faster(one, two),
            f"{reads:.2f}x" if reads else "–",
            faster(ways.get("pyruntime-busy"), ways.get("pyruntime-2-busy")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def faster(one: Entry | None, two: Entry | None) -> str:
    return f"{median(one) / median(two):.2f}x" if one and two else "–"


TABLES = {"bench_overhead": overhead_table, "bench_threads": threads_table}


def median(entry: Entry) -> float:
    """Seconds, without what an empty call costs where that was measured."""
    overhead = entry["extra_info"].get("empty_call_seconds", 0.0)
    return float(entry["extra_info"].get("seconds", entry["stats"]["median"]) - overhead)


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

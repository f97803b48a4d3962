"""Why a step got its kernel, in one line; `StepInfo.candidates` has every row's own reason."""

from __future__ import annotations

from pyruntime.kernels import Candidate, StepInfo, rows


def reason(step: StepInfo) -> str:
    """Why no faster kernel was used for this step. Never empty."""
    if step.host:
        return f"no kernel computes this {step.operator}: its numpy reference runs"
    if step.alias:
        return "shares its input's memory: nothing runs"
    if step.density is not None and step.density < 1:
        return _of_sparse(step)
    others = _runnable(step)
    if not others:
        return "the only kernel that can run it here"
    ratio = others[0].cost_ns / max(step.predicted_ns, 1)
    return f"fastest of {len(others) + 1}; next is {others[0].row}, {ratio:.2f}x the time"


def _of_sparse(step: StepInfo) -> str:
    assert step.density is not None
    compressed = {row.name for row in rows() if row.compressed}
    density = f"density {step.density:.2f}"
    limit = "" if step.break_even is None else f"break-even {step.break_even:.2f}"
    dense = next((c for c in _runnable(step) if c.row not in compressed), None)
    if step.row in compressed:
        gain = "" if dense is None else f": {dense.cost_ns / max(step.predicted_ns, 1):.1f}x dense"
        return f"{density}{f' <= {limit}' if limit else ''}{gain}"
    if limit:
        return f"{density} > {limit}"
    refusals = sorted({c.reason for c in step.candidates if c.row in compressed and c.cost_ns < 0})
    if len(refusals) == 1:
        return f"{density}: {refusals[0]}"
    return f"{density}: no sparse kernel would be faster at any density"


def _runnable(step: StepInfo) -> list[Candidate]:
    """The other rows that could run it, fastest first."""
    others = [c for c in step.candidates if c.cost_ns >= 0 and c.row != step.row]
    return sorted(others, key=lambda candidate: candidate.cost_ns)

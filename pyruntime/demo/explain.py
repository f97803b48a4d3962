"""Why a network is not faster, in one sentence, from its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyruntime import kernels
from pyruntime.session import Session


def reason(session: Session, feeds: Mapping[str, Any], *, zeros: bool) -> str:
    """Where the time goes and, of a network with zeros, which layers do not use them."""
    slowest = max(session.profile(feeds, runs=9), key=lambda step: step.ns)
    kernel = slowest.row or "numpy reference"
    text = f"{slowest.share:.0%} of its time is {slowest.name or slowest.family} ({kernel})"
    compressed = {row.name for row in kernels.rows() if row.compressed}
    refused = [
        (step.name, candidate.reason)
        for step in session.steps(feeds)
        for candidate in step.candidates
        if zeros and candidate.row in compressed and candidate.reason and step.row not in compressed
    ]
    if refused:
        name, why = refused[-1]
        dense = len({step for step, _ in refused})
        text += f"; {dense} layers run dense, e.g. {name}: {why}"
    return text

"""Measured corrections of the kernels' predicted times, kept per user and CPU.

`pyruntime tune` writes them; every Session that is not given `costs` reads them. The file is
`$XDG_CACHE_HOME/pyruntime/tuning.json` (`~/.cache/...`), or what PYRUNTIME_TUNING names; `off`
there means that nothing is read or written.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyruntime.errors import ArgumentError, FormatError
from pyruntime.kernels import cpu
from pyruntime.plan.container import parse_json, write_atomically

_log = logging.getLogger(__name__)

VARIABLE = "PYRUNTIME_TUNING"
VERSION = 1
# A prediction that is off by more than this is no prediction: the file is damaged.
LARGEST_FACTOR = 100.0


def default_path() -> Path | None:
    """Where tuning is kept; None where it is switched off."""
    named = os.environ.get(VARIABLE, "")
    if named == "off":
        return None
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "pyruntime" / "tuning.json"


def stored() -> Mapping[str, float]:
    """Row name -> measured / predicted time on this CPU; empty where nothing (readable) is kept."""
    path = default_path()
    return {} if path is None else _stored(path, _stamp(path))


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=4)
def _stored(path: Path, stamp: int) -> Mapping[str, float]:
    if not stamp:
        return {}
    try:
        return load(path)
    except (FormatError, OSError) as error:
        _log.warning("%s is not used: %s; run pyruntime tune again", path, error)
        return {}


def load(path: Path) -> Mapping[str, float]:
    """The factors that a file holds for this CPU; empty where it is of another CPU.

    Raises:
        FormatError: it holds something else than tuning.
        OSError: it cannot be read.
    """
    document = parse_json(path.read_bytes(), "the tuning file")
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise FormatError(f"it is no tuning of version {VERSION}")
    if document.get("cpu") != _cpu():
        return {}
    factors = document.get("factors")
    if not isinstance(factors, dict):
        raise FormatError("it has no factors")
    return {str(row): _factor(row, text) for row, text in factors.items()}


def _factor(row: str, text: Any) -> float:
    try:
        factor = float(text)
    except (TypeError, ValueError):
        factor = math.nan
    if not 1 / LARGEST_FACTOR <= factor <= LARGEST_FACTOR:
        raise FormatError(f"the factor of {row} is {text!r}")
    return factor


def save(factors: Mapping[str, float], path: Path) -> None:
    """Writes factors for this CPU.

    Raises:
        ArgumentError: the folder cannot be made or written.
    """
    # Text, since the reader shares the model file's JSON, which has no floats.
    document = {
        "version": VERSION,
        "cpu": _cpu(),
        "factors": {row: f"{factor:.4f}" for row, factor in sorted(factors.items())},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [json.dumps(document, indent=1).encode() + b"\n"])
    except OSError as error:
        raise ArgumentError(
            f"{path} cannot be written: {error.strerror}; name another file with --output or "
            f"{VARIABLE}"
        ) from error


def _cpu() -> dict[str, Any]:
    found = cpu()
    return {"name": found["name"], "features": list(found["features"])}

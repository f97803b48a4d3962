"""A typed view of the kernel families and rows that the binding reports, and single calls of them.

`pyruntime.plan` reads the schemas, tests and benchmarks call single rows, tuning times them. This
file and `session.py` are the only ones that import `_core`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a family: name, kind (int, ints, float, text), whether it must be given."""

    name: str
    kind: str
    required: bool


@dataclass(frozen=True, slots=True)
class Operand:
    """One input or output of a family, see `OperandSpec` in csrc/kernels/kernel.h."""

    name: str
    optional: bool
    variadic: bool
    parameter: bool


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of step: attributes and operands."""

    name: str
    attributes: tuple[Attribute, ...]
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]


def _core() -> ModuleType:
    # Not at the top: compiling works where the binding is not built.
    return importlib.import_module("pyruntime._core")


@functools.cache
def families() -> Mapping[str, Family]:
    """All families of this build, by name.

    Raises:
        ImportError: the binding is not built.
    """
    found = {}
    for entry in _core().families():
        found[entry["name"]] = Family(
            entry["name"],
            tuple(Attribute(a["name"], a["kind"], a["required"]) for a in entry["attributes"]),
            tuple(_operand(o) for o in entry["inputs"]),
            tuple(_operand(o) for o in entry["outputs"]),
        )
    return found


def _operand(entry: Mapping[str, Any]) -> Operand:
    return Operand(entry["name"], entry["optional"], entry["variadic"], entry["parameter"])


def native_crc32c() -> Callable[[Any, int], int] | None:
    """`crc32c(data, crc)` of the binding, or None where it is not built."""
    try:
        function: Callable[[Any, int], int] = _core().crc32c
    except (ImportError, AttributeError):
        return None
    return function


def inexact_steps(data: bytes) -> list[str]:
    """Names of the steps that keep a compiled model from being bit-exact; none if it is."""
    session = _core().Session(data)
    return [str(name) for name in session.inexact()]

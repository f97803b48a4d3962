"""All operators: each is defined once, in the file that carries its name, and found here."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from pyruntime.ops._operator import (
    Array,
    Attributes,
    Case,
    Lowering,
    OnnxNode,
    Operator,
    content_of,
)

__all__ = [
    "Array",
    "Attributes",
    "Case",
    "Lowering",
    "OnnxNode",
    "Operator",
    "all_operators",
    "content_of",
    "find_operator",
]


@functools.cache
def all_operators() -> dict[tuple[str, str], Operator]:
    """(domain, name) -> operator, sorted; each module lists its own in `OPERATORS`."""
    found: dict[tuple[str, str], Operator] = {}
    for module_info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        if module_info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for operator in module.OPERATORS:
            key = (operator.domain, operator.name)
            if key in found:
                raise AssertionError(f"operator {key} is defined twice")
            found[key] = operator
    return dict(sorted(found.items()))


def find_operator(name: str, domain: str = "") -> Operator | None:
    """The operator of that name, or None."""
    return all_operators().get((domain, name))

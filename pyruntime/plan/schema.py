"""The schemas of kernel families, as the binding reports them, and the check of a step.

An attribute is declared once, in the family's C++ file. Here what an operator wrote is brought to
the declared kind, and a mismatch is an error that names both sides.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyruntime.errors import ArgumentError
from pyruntime.graph.dims import Expr
from pyruntime.kernels import Attribute, Family, families


@functools.cache
def schemas() -> Mapping[str, Family] | None:
    """Family name -> schema; None where the binding is not built (then nothing can be checked)."""
    try:
        return families()
    except ImportError:
        return None


def _is_dim(value: Any) -> bool:
    return isinstance(value, (int, np.integer, Expr))


def _typed(declared: Attribute, value: Any) -> Any:
    """The value as the declared kind, or None where it is not one."""
    if declared.kind == "int" and _is_dim(value):
        return value if isinstance(value, Expr) else int(value)
    if declared.kind == "ints" and isinstance(value, (list, tuple)) and all(map(_is_dim, value)):
        return tuple(item if isinstance(item, Expr) else int(item) for item in value)
    if declared.kind == "float" and isinstance(value, (int, float, np.number)):
        return float(value)
    if declared.kind == "text" and isinstance(value, str):
        return str(value)
    return None


def check_attributes(schema: Family, attributes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The attributes in the kinds that the schema declares.

    Raises:
        ArgumentError: one is unknown, of another kind, or a required one is missing.
    """
    declared = {attribute.name: attribute for attribute in schema.attributes}
    typed = {}
    for name, value in attributes.items():
        if name not in declared:
            raise ArgumentError(
                f"{where} writes attribute '{name}' of family '{schema.name}'; the family declares "
                f"{', '.join(declared) or 'none'}"
            )
        typed[name] = _typed(declared[name], value)
        if typed[name] is None:
            raise ArgumentError(
                f"{where} writes attribute '{name}' of family '{schema.name}' as {value!r}; the "
                "family declares it "
                f"as {declared[name].kind}"
            )
    missing = [a.name for a in schema.attributes if a.required and a.name not in attributes]
    if missing:
        raise ArgumentError(
            f"{where} does not write {', '.join(missing)}, required by family '{schema.name}'"
        )
    return typed


def check_operands(schema: Family, inputs: int, outputs: int, where: str) -> None:
    """Checks the number of operands.

    Raises:
        ArgumentError: more operands than the family declares, or fewer than it requires.
    """
    for side, count, specs in (
        ("inputs", inputs, schema.inputs),
        ("outputs", outputs, schema.outputs),
    ):
        least = sum(not spec.optional for spec in specs)
        most = None if specs and specs[-1].variadic else len(specs)
        if count < least or (most is not None and count > most):
            raise ArgumentError(
                f"{where} writes {count} {side} of family '{schema.name}'; the family declares "
                f"{', '.join(spec.name + ('?' if spec.optional else '') for spec in specs)}"
            )

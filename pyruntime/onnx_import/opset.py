"""Which opsets are read, and which reader of an operator belongs to one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyruntime.errors import FormatError, UnsupportedError
from pyruntime.ops import Operator, find_operator
from pyruntime.ops._operator import FromOnnx

# Older opsets are read where every operator of the model has a reader for them.
OLDEST_OPSET = 7
# Nodes named per operator in a refusal.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Found:
    """An operator and its reader for the model's opset."""

    operator: Operator
    read: FromOnnx


def domain_of(name: str) -> str:
    """ONNX spells its own domain in two ways."""
    return "" if name == "ai.onnx" else name


def opset_versions(imports: Iterable[Any], newest: int) -> dict[str, int]:
    """Domain -> version.

    Args:
        imports: the OperatorSetIdProto list of a model.
        newest: the newest version of ONNX's own domain in the installed onnx package.

    Raises:
        UnsupportedError: the model is newer than that.
        FormatError: a version is not positive.
    """
    versions: dict[str, int] = {}
    for entry in imports:
        if entry.version < 1:
            raise FormatError(f"opset version {entry.version} does not exist; the model is damaged")
        versions[domain_of(entry.domain)] = entry.version
    version = versions.get("", newest)
    if version > newest:
        raise UnsupportedError(
            f"the model has opset {version}, this version reads {OLDEST_OPSET} to {newest}; export "
            "it with an older opset_version or use onnx.version_converter"
        )
    return versions


def find_reader(op_type: str, domain: str, versions: Mapping[str, int]) -> Found | None:
    """The operator and its newest reader not above the model's opset, or None."""
    operator = find_operator(op_type, domain)
    version = versions.get(domain, 1)
    since = max((v for v in operator.from_onnx if v <= version), default=None) if operator else None
    if operator is None or since is None:
        return None
    return Found(operator, operator.from_onnx[since])


def refuse(missing: Iterable[tuple[str, str, str]], versions: Mapping[str, int]) -> None:
    """Names all operators that have no reader, in one error.

    Args:
        missing: (operator, domain, node name).
        versions: domain -> opset of the model.

    Raises:
        UnsupportedError: unless `missing` is empty.
    """
    nodes: dict[tuple[str, str], list[str]] = {}
    for op_type, domain, name in missing:
        nodes.setdefault((op_type, domain), []).append(name)
    if not nodes:
        return
    lines = []
    for (op_type, domain), names in sorted(nodes.items()):
        shown = ", ".join(repr(name) for name in names[:_NAMED])
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        lines.append(
            f"  {op_type} (domain '{domain or 'ai.onnx'}', opset {versions.get(domain, 1)}): "
            f"node {shown}{more}"
        )
    hint = "export the model without them, or cut it before them"
    if versions.get("", OLDEST_OPSET) < OLDEST_OPSET:
        hint = f"convert it to opset {OLDEST_OPSET} or newer with onnx.version_converter"
    raise UnsupportedError(
        "the model has unsupported operators:\n" + "\n".join(lines) + f"\n{hint}"
    )

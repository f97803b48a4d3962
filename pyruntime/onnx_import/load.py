"""From a path, bytes or a ModelProto to a checked model without functions."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyruntime.errors import ArgumentError, FormatError, MissingExtraError
from pyruntime.onnx_import.opset import domain_of, find_reader, opset_versions

# Rounds of expanding operators that ONNX defines by others; each may bring in new ones.
_ROUNDS = 4


def onnx_package() -> Any:
    """The onnx package, which only import and export need.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        package = importlib.import_module("onnx")
        importlib.import_module("onnx.inliner")
        importlib.import_module("onnx.numpy_helper")
    except ImportError as error:
        raise MissingExtraError(
            "reading ONNX models needs the onnx package; pip install 'pyruntime[onnx]'"
        ) from error
    return package


def load(onnx: Any, source: Any) -> tuple[Any, Path | None]:
    """(ModelProto, folder of its external data).

    Raises:
        FormatError: it is no ONNX model.
        ArgumentError: `source` is of another kind.
    """
    folder = None
    if isinstance(source, onnx.ModelProto):
        model = source
    elif isinstance(source, (bytes, bytearray, memoryview)):
        model = _parse(onnx, bytes(source), "the bytes given")
    elif isinstance(source, (str, Path)):
        path = Path(source)
        model = _parse(onnx, path.read_bytes(), f"'{path.name}'")
        folder = path.parent
    else:
        raise ArgumentError(
            f"a model is a path, bytes or an onnx.ModelProto, not {type(source).__name__}"
        )
    if not model.HasField("graph"):
        raise FormatError("the model has no graph; it is damaged or no ONNX model")
    return model, folder


def _parse(onnx: Any, data: bytes, what: str) -> Any:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, whose module differs between versions
        raise FormatError(f"{what} cannot be read as an ONNX model: {error}") from error
    return model


def expand_functions(onnx: Any, model: Any) -> Any:
    """The model with its own functions, and operators that only ONNX can define, written out.

    Raises:
        FormatError: functions call themselves or cannot be expanded.
    """
    if model.functions:
        _refuse_recursion(model)
        mixed = any(
            entry.domain in _imports(model) and entry.version != _imports(model)[entry.domain]
            for function in model.functions
            for entry in function.opset_import
        )
        model = _inline(lambda: onnx.inliner.inline_local_functions(model, mixed))
    newest = onnx.defs.onnx_opset_version()
    expand = onnx.inliner.inline_selected_functions
    for _ in range(_ROUNDS):
        versions = opset_versions(model.opset_import, newest)
        expandable = {
            (node.domain, node.op_type)
            for node in model.graph.node
            if find_reader(node.op_type, domain_of(node.domain), versions) is None
            and _has_function(onnx, node, versions)
        }
        if not expandable:
            break
        filled = _with_defaults(onnx, model, expandable, versions)
        try:
            model = expand(filled, sorted(expandable), inline_schema_functions=True)
        except Exception:  # it may lack types; then the operators are refused by name
            break
    return model


def _imports(model: Any) -> dict[str, int]:
    return {entry.domain: entry.version for entry in model.opset_import}


def _inline(expand: Callable[[], Any]) -> Any:
    try:
        return expand()
    except Exception as error:  # the inliner reports everything as RuntimeError or worse
        raise FormatError(f"the model's functions cannot be expanded: {error}") from error


def _has_function(onnx: Any, node: Any, versions: dict[str, int]) -> bool:
    domain = domain_of(node.domain)
    try:
        schema = onnx.defs.get_schema(node.op_type, versions.get(domain, 1), domain)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _with_defaults(
    onnx: Any, model: Any, expandable: set[tuple[str, str]], versions: dict[str, int]
) -> Any:
    """A copy whose nodes to be expanded spell out the defaults that the inliner leaves open."""
    filled = onnx.ModelProto()
    filled.CopyFrom(model)
    for node in filled.graph.node:
        if (node.domain, node.op_type) not in expandable:
            continue
        domain = domain_of(node.domain)
        schema = onnx.defs.get_schema(node.op_type, versions.get(domain, 1), domain)
        given = {attribute.name for attribute in node.attribute}
        for name, attribute in schema.attributes.items():
            if name not in given and attribute.default_value.name:
                node.attribute.append(attribute.default_value)
    return filled


def _refuse_recursion(model: Any) -> None:
    calls = {
        (f.domain, f.name): {(node.domain, node.op_type) for node in f.node}
        for f in model.functions
    }
    done: set[tuple[str, str]] = set()

    def visit(key: tuple[str, str], path: tuple[tuple[str, str], ...]) -> None:
        if key in path or len(path) > 64:
            raise FormatError(f"function '{key[1]}' calls itself, which ONNX forbids")
        if key in done:
            return
        for callee in calls[key] & calls.keys():
            visit(callee, (*path, key))
        done.add(key)

    for key in calls:
        visit(key, ())

"""Python values <-> the JSON of a Program, which has integers and strings only.

Native attributes are written by the kind that their family's schema gives them. Everything else
(attributes of host steps, annotations) goes through one generic encoding. Integers and strings are
themselves, floats are `{"f": index}` into the file's float pool, arrays are `{"tensor": name}`,
dicts with string keys are `{"map": [[key, value], ...]}`, and all the rest is a tagged array:

    ["none"]  ["bool", 0 or 1]  ["dtype", "f32"]  ["dim", expression]  ["list", ...]  ["tuple", ...]
     ["bytes", hex]
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import FormatError, UnsupportedError
from pyruntime.graph.dims import Dim, Expr, dim_max, dim_min, symbol, to_json
from pyruntime.graph.types import DType

Json: TypeAlias = Any
MAX_INTEGER = 2**53  # exclusive magnitude of an integer in the JSON
OPERATORS = frozenset({"+", "-", "*", "//", "min", "max"})


class FloatPool:
    """The floats of a Program, each stored once (by bits, so -0.0 and NaN survive)."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._index: dict[bytes, int] = {}

    def json(self, value: float) -> Json:
        """`{"f": index}` of the value."""
        number = float(value)
        key = np.float64(number).tobytes()
        index = self._index.setdefault(key, len(self.values))
        if index == len(self.values):
            self.values.append(number)
        return {"f": index}


def integer(value: int, what: str) -> int:
    """The value, if the format can hold it.

    Raises:
        UnsupportedError: its magnitude is 2^53 or more.
    """
    plain = int(value)
    if abs(plain) >= MAX_INTEGER:
        raise UnsupportedError(
            f"{what} is {plain}; the file holds integers below 2^53 only, use a tensor operand"
        )
    return plain


def dim_from_json(json: Json) -> Dim:
    """The dimension that an expression of the file stands for.

    Raises:
        FormatError: it is not an expression.
    """
    if isinstance(json, int) and not isinstance(json, bool):
        return json
    if isinstance(json, str):
        return symbol(json)
    if not (isinstance(json, list) and len(json) >= 3 and json[0] in OPERATORS):
        raise FormatError(f"{json!r} is not a dimension expression")
    result = dim_from_json(json[1])
    for operand in json[2:]:
        result = _apply(json[0], result, dim_from_json(operand))
    return result


def _apply(operator: str, a: Dim, b: Dim) -> Dim:
    if operator == "min":
        return dim_min(a, b)
    if operator == "max":
        return dim_max(a, b)
    if operator == "+":
        return a + b
    if operator == "-":
        return a - b
    return a * b if operator == "*" else a // b


def encode(value: Any, floats: FloatPool, tensor: Callable[[NDArray[Any]], str], what: str) -> Json:
    """The generic encoding of a value.

    Args:
        value: any of the types that the module's text lists.
        floats: where floats go.
        tensor: stores an array in the file and gives its name.
        what: for messages, e.g. "node 'a' (Pad): attribute 'mode'".

    Raises:
        UnsupportedError: the type has no encoding.
    """
    if value is None:
        return ["none"]
    if isinstance(value, enum.Enum):
        return (
            ["dtype", str(value)]
            if isinstance(value, DType)
            else encode(value.value, floats, tensor, what)
        )
    if isinstance(value, (bool, np.bool_)):
        return ["bool", int(value)]
    if isinstance(value, (int, np.integer)):
        return integer(int(value), what)
    if isinstance(value, (float, np.floating)):
        return floats.json(float(value))
    if isinstance(value, (str, bytes)):
        return value if isinstance(value, str) else ["bytes", value.hex()]
    return _encode_container(value, floats, tensor, what)


def _encode_container(
    value: Any, floats: FloatPool, tensor: Callable[[NDArray[Any]], str], what: str
) -> Json:
    if isinstance(value, Expr):
        return ["dim", to_json(value)]
    if isinstance(value, np.ndarray):
        return {"tensor": tensor(value)}
    if isinstance(value, (list, tuple)):
        tag = "list" if isinstance(value, list) else "tuple"
        return [tag, *(encode(item, floats, tensor, what) for item in value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"map": [[key, encode(item, floats, tensor, what)] for key, item in value.items()]}
    raise UnsupportedError(
        f"{what} is a {type(value).__name__}, which a .pyrt file cannot hold; control flow with "
        "subgraphs needs a "
        "later format"
    )


def decode(json: Json, floats: NDArray[np.float64], tensor: Callable[[str], NDArray[Any]]) -> Any:
    """The value that `encode` wrote.

    Raises:
        FormatError: not an encoding.
    """
    if isinstance(json, (int, str)):
        return json
    if isinstance(json, dict) and len(json) == 1:
        return _decode_reference(json, floats, tensor)
    if isinstance(json, list) and json and isinstance(json[0], str):
        tag, items = json[0], json[1:]
        if tag in ("list", "tuple"):
            decoded = [decode(item, floats, tensor) for item in items]
            return decoded if tag == "list" else tuple(decoded)
        simple = _decode_simple(tag, items)
        if simple is not _UNKNOWN:
            return simple
    raise FormatError(
        f"{json!r} is not an encoded attribute; the file was written by something else"
    )


_UNKNOWN = object()


def _decode_simple(tag: str, items: list[Json]) -> Any:
    if tag == "none" and not items:
        return None
    if len(items) != 1:
        return _UNKNOWN
    (item,) = items
    if tag == "bool":
        return bool(item)
    if tag == "dim":
        return dim_from_json(item)
    try:
        if tag == "dtype":
            return DType(item)
        if tag == "bytes":
            return bytes.fromhex(item)
    except (ValueError, TypeError) as error:
        raise FormatError(f"{item!r} is not a {tag}") from error
    return _UNKNOWN


def _decode_reference(
    json: dict[str, Json], floats: NDArray[np.float64], tensor: Callable[[str], NDArray[Any]]
) -> Any:
    ((kind, item),) = json.items()
    if kind == "f":
        if not (isinstance(item, int) and 0 <= item < floats.size):
            raise FormatError(f"float {item!r} is outside of pyrt.floats, which has {floats.size}")
        return float(floats[item])
    if kind == "tensor" and isinstance(item, str):
        return tensor(item)
    if kind == "map" and isinstance(item, list):
        return {key: decode(value, floats, tensor) for key, value in item}
    raise FormatError(
        f"{json!r} is not an encoded attribute; the file was written by something else"
    )

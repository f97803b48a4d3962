"""Program <-> `.pyrt` file. FORMAT.md beside this file is the specification."""

from __future__ import annotations

import contextlib
import json
import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata as package_metadata
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import FormatError, PyruntimeError, UnsupportedError
from pyruntime.graph.dims import Expr, to_json
from pyruntime.graph.types import DType
from pyruntime.plan import positions, storage
from pyruntime.plan.container import Tensor, pack, parse_json, unpack, write_atomically
from pyruntime.plan.encode import OPERATORS, FloatPool, decode, dim_from_json, encode, integer
from pyruntime.plan.packing import by_name
from pyruntime.plan.program import ABSENT, HOST, Port, Program, ProgramValue, Segment, Step

Json: TypeAlias = Any
Source: TypeAlias = "str | Path | bytes | memoryview"
FORMAT = "1.0"
PROGRAM_TENSOR = "pyrt.program"
FLOATS_TENSOR = "pyrt.floats"
_REQUIRED = ("format", "requires", "symbols", "values", "inputs", "outputs", "segments")


def producer() -> str:
    """What the file's metadata says wrote it."""
    try:
        return f"pyruntime {package_metadata.version('pyruntime')}"
    except package_metadata.PackageNotFoundError:
        return "pyruntime 0 (not installed)"


class _Writer:
    """Collects the tensors of one file."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.floats = FloatPool()

    def put(self, wanted: str, array: NDArray[Any]) -> str:
        """Adds an array under the wanted name, or one derived from it that is free and legal."""
        stem = wanted.replace("\0", "")
        if (
            not stem
            or stem.startswith("pyrt.")
            or stem == "__metadata__"
            or len(stem.encode()) > 1000
        ):
            stem = "constant"
        name, number = stem, 0
        while name in self.tensors:
            number += 1
            name = f"{stem}.{number}"
        self.tensors[name] = Tensor.of(name, array)
        return name

    def generic(self, value: Any, what: str) -> Json:
        return encode(value, self.floats, lambda array: self.put("attribute", array), what)

    def value(self, value: ProgramValue) -> Json:
        entry: dict[str, Json] = {
            "dtype": str(value.dtype),
            "dims": [to_json(dim) for dim in value.dims],
        }
        if value.name:
            entry["name"] = value.name
        if value.constant is not None:
            entry |= storage.encode(value, value.name or "constant", self.put)
        return entry

    def native(self, value: Any, what: str) -> Json:
        if isinstance(value, float):
            return self.floats.json(value)
        if isinstance(value, str):
            return value
        if isinstance(value, (tuple, list)):
            return [self.native(item, what) for item in value]
        return to_json(value) if isinstance(value, Expr) else integer(value, what)

    def step(self, step: Step) -> Json:
        where = f"step '{step.name}' ({step.operator or step.family})"
        write = self.generic if step.family == HOST else self.native
        entry: dict[str, Json] = {
            "family": step.family,
            "name": step.name,
            "attributes": {
                name: write(value, f"{where}: attribute '{name}'")
                for name, value in step.attributes.items()
            },
            "inputs": list(step.inputs),
            "outputs": list(step.outputs),
        }
        if step.family == HOST:
            entry |= {"operator": step.operator, "domain": step.domain}
        return entry

    def program(self, program: Program) -> Json:
        return {
            "format": FORMAT,
            "requires": [],
            "symbols": list(program.symbols),
            "values": [self.value(value) for value in program.values],
            "inputs": [{"name": port.name, "value": port.value} for port in program.inputs],
            "outputs": [{"name": port.name, "value": port.value} for port in program.outputs],
            "segments": [
                {"steps": [self.step(step) for step in segment.steps]}
                for segment in program.segments
            ],
            "programs": [],
            "annotations": {
                name: self.generic(value, f"annotation '{name}'")
                for name, value in program.annotations.items()
            },
        }


def _chunks(program: Program) -> list[bytes | NDArray[np.uint8]]:
    writer = _Writer()
    text = json.dumps(writer.program(program), ensure_ascii=False, separators=(",", ":")).encode()
    tensors = [Tensor.of(PROGRAM_TENSOR, np.frombuffer(text, np.uint8))]
    if writer.floats.values:
        tensors.append(Tensor.of(FLOATS_TENSOR, np.array(writer.floats.values, np.float64)))
    return pack(
        [*tensors, *writer.tensors.values()], {"pyrt.format": FORMAT, "pyrt.producer": producer()}
    )


def to_bytes(program: Program) -> bytes:
    """The file as bytes, e.g. for a Session without a file."""
    return b"".join(
        chunk.tobytes() if isinstance(chunk, np.ndarray) else chunk for chunk in _chunks(program)
    )


def write(program: Program, path: str | Path) -> None:
    """Writes the file atomically: `path` never holds half of it. An existing file is replaced.

    Raises:
        OSError: from the file system.
        UnsupportedError: an attribute or annotation has no encoding.
    """
    write_atomically(Path(path), _chunks(program))


def read(source: Source, *, verify: bool = True) -> Program:
    """The Program of a file. Constants share the memory of `source` if that is bytes.

    This is the reader of tools (inspect, export, tests); running a model uses the C++ one, which
    checks more.

    Args:
        source: path or content.
        verify: whether to check the checksum.

    Raises:
        FormatError: the file is damaged or breaks a rule.
        UnsupportedError: it needs a newer version.
    """
    return Document(source, verify=verify).program()


def _content(source: Source) -> bytes | memoryview:
    if not isinstance(source, (str, Path)):
        return source
    with Path(source).open("rb") as file:
        try:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (ValueError, OSError):  # an empty file, or one that cannot be mapped
            return file.read()


@dataclass(frozen=True, slots=True)
class StoredConstant:
    """How a constant lies in a file.

    Attributes:
        name: of its value.
        dims: of its value.
        scheme: which elements are stored: "dense", "gaps.1" (with blocks: "gaps.1 16x4"), ...
        element: how a stored element lies: a packing's name or an element type.
        stored: how many are stored.
        bytes: of its tensors.
        bound: bytes that the stored elements and their positions carry; scales are counted whole.
    """

    name: str
    dims: tuple[int, ...]
    scheme: str
    element: str
    stored: int
    bytes: int
    bound: float


@dataclass(frozen=True, slots=True)
class HostStep:
    """A host step with the dtypes of its operands, None where absent."""

    step: Step
    inputs: tuple[DType | None, ...]
    outputs: tuple[DType, ...]


class Document:
    """An opened file, of which any part can be had without decoding the rest."""

    def __init__(self, source: Source, *, verify: bool = True) -> None:
        """Opens and checks container and program text; see `read`."""
        tensors, metadata = unpack(_content(source), verify=verify)
        self.tensors = tensors
        self.metadata = metadata
        self.json = _program_json(tensors, metadata)
        self._reader = _Reader(tensors)

    def program(self) -> Program:
        """Everything."""
        with _malformed():
            return self._reader.program(self.json)

    def ports(self, side: str) -> tuple[tuple[str, ProgramValue], ...]:
        """Names and types of the "inputs" or "outputs"; constants are not decoded."""
        with _malformed():
            values = self.json["values"]
            return tuple(
                (entry["name"], self._reader.value(values[entry["value"]], constants=False))
                for entry in self.json[side]
            )

    def host_steps(self) -> dict[int, HostStep]:
        """The host steps by their index in the program."""
        with _malformed():
            count = len(self.json["values"])
            steps = [step for segment in self.json["segments"] for step in segment["steps"]]
            dtypes = [DType(entry["dtype"]) for entry in self.json["values"]]
            found = {
                index: self._reader.step(step, count)
                for index, step in enumerate(steps)
                if step["family"] == HOST
            }
            return {
                index: HostStep(
                    step,
                    tuple(None if i == ABSENT else dtypes[i] for i in step.inputs),
                    tuple(dtypes[i] for i in step.outputs),
                )
                for index, step in found.items()
            }

    def constants(self) -> tuple[StoredConstant, ...]:
        """How each constant is stored, without decoding it."""
        with _malformed():
            return tuple(self._stored(entry) for entry in self.json["values"] if "tensor" in entry)

    def _stored(self, entry: Mapping[str, Json]) -> StoredConstant:
        tensor = self.tensors[entry["tensor"]]
        dims = tuple(int(dim) for dim in entry["dims"])
        count = math.prod(dims)
        extra = sum(
            self.tensors[entry[key]].data.size for key in ("positions", "scale") if key in entry
        )
        scales = self.tensors[entry["scale"]].data.size if "scale" in entry else 0
        element, stored = tensor.dtype.lower(), math.prod(tensor.shape)
        bits: float = 8 * tensor.data.size / max(stored, 1)
        if "pack" in entry:
            packing = by_name(entry["pack"])
            element, stored, bits = packing.name, entry.get("stored", count), packing.bits
        scheme = " ".join(
            [
                entry.get("scheme", "dense"),
                *("x".join(map(str, entry[key])) for key in ("block",) if key in entry),
                *(":".join(map(str, entry[key])) for key in ("pattern",) if key in entry),
            ]
        )
        bound = (stored * bits + positions.information(entry, count)) / 8 + scales
        name = entry.get("name") or entry["tensor"]
        return StoredConstant(name, dims, scheme, element, stored, tensor.data.size + extra, bound)

    def annotations(self) -> dict[str, Any]:
        """The annotations, decoded."""
        with _malformed():
            return self._reader.annotations(self.json)


@contextlib.contextmanager
def _malformed() -> Iterator[None]:
    """Turns what wrong JSON makes of our look-ups into a FormatError."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, PyruntimeError):
            raise
        raise FormatError(f"the program is malformed: {type(error).__name__} {error}") from error


def _program_json(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Any:
    version = metadata.get("pyrt.format", "")
    if not version:
        raise FormatError(
            "the metadata has no pyrt.format; this is not a .pyrt file (compile makes one)"
        )
    if version.split(".")[0] != FORMAT.split(".", maxsplit=1)[0]:
        raise UnsupportedError(
            f"the file has format {version}, this version reads 1.x; update pyruntime"
        )
    if PROGRAM_TENSOR not in tensors:
        raise FormatError(f"the file has no tensor {PROGRAM_TENSOR}")
    document = parse_json(tensors[PROGRAM_TENSOR].data.tobytes(), "the program")
    if not isinstance(document, dict) or not all(key in document for key in _REQUIRED):
        raise FormatError(f"the program lacks one of {', '.join(_REQUIRED)}")
    if document["requires"]:
        raise UnsupportedError(
            f"the file requires {document['requires']}, unknown here; update pyruntime"
        )
    return document


class _Reader:
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.arrays = {name: tensor.array() for name, tensor in tensors.items()}
        self.floats: NDArray[np.float64] = self.arrays.get(FLOATS_TENSOR, np.zeros(0))
        if self.floats.dtype != np.float64 or self.floats.ndim != 1:
            raise FormatError(f"{FLOATS_TENSOR} must be a 1-D F64 tensor")

    def tensor(self, name: str) -> NDArray[Any]:
        if name not in self.arrays:
            raise FormatError(f"an attribute names tensor '{name}', which the file does not have")
        return self.arrays[name]

    def value(self, entry: Mapping[str, Json], *, constants: bool = True) -> ProgramValue:
        dtype, dims = DType(entry["dtype"]), tuple(dim_from_json(dim) for dim in entry["dims"])
        if "tensor" not in entry or not constants:
            return ProgramValue(dtype, dims, entry.get("name", ""))
        known = tuple(dim for dim in dims if isinstance(dim, int))
        if len(known) != len(dims):
            raise FormatError(
                f"constant '{entry['tensor']}' has dims {entry['dims']}; they must be integers"
            )
        constant, kept = storage.decode(entry, dtype, known, self.arrays)
        return ProgramValue(dtype, dims, entry.get("name", ""), constant, kept)

    def native(self, json_value: Json) -> Any:
        if isinstance(json_value, dict):
            return decode(json_value, self.floats, self.tensor)
        if isinstance(json_value, list):
            if json_value and isinstance(json_value[0], str) and json_value[0] in OPERATORS:
                return dim_from_json(json_value)
            return tuple(dim_from_json(item) for item in json_value)
        return json_value

    def step(self, entry: Mapping[str, Json], count: int) -> Step:
        family = entry["family"]
        attributes = {
            name: decode(item, self.floats, self.tensor) if family == HOST else self.native(item)
            for name, item in entry["attributes"].items()
        }
        inputs, outputs = tuple(entry["inputs"]), tuple(entry["outputs"])
        if not all(isinstance(index, int) and -1 <= index < count for index in (*inputs, *outputs)):
            raise FormatError(
                f"step '{entry.get('name', '')}' has an operand outside of the {count} values"
            )
        return Step(
            family,
            attributes,
            inputs,
            outputs,
            entry.get("name", ""),
            entry.get("operator", ""),
            entry.get("domain", ""),
        )

    def program(self, document: Mapping[str, Json]) -> Program:
        values = tuple(self.value(entry) for entry in document["values"])
        ports = {
            side: tuple(Port(entry["name"], entry["value"]) for entry in document[side])
            for side in ("inputs", "outputs")
        }
        for port in (*ports["inputs"], *ports["outputs"]):
            if not 0 <= port.value < len(values):
                raise FormatError(f"'{port.name}' refers to value {port.value} of {len(values)}")
        return Program(
            values,
            ports["inputs"],
            ports["outputs"],
            tuple(
                Segment(tuple(self.step(step, len(values)) for step in segment["steps"]))
                for segment in document["segments"]
            ),
            tuple(document["symbols"]),
            self.annotations(document),
        )

    def annotations(self, document: Mapping[str, Json]) -> dict[str, Any]:
        return {
            name: decode(item, self.floats, self.tensor)
            for name, item in document.get("annotations", {}).items()
        }

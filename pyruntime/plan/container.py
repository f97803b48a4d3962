"""The container of a `.pyrt` file: aligned, checksummed safetensors (FORMAT.md, 1)."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import FormatError, ResourceError
from pyruntime.graph.types import DType
from pyruntime.plan.checksum import crc32c

ALIGNMENT = 64
MAX_HEADER_BYTES = 16 << 20
MAX_DEPTH = 32
CHECKSUM_KEY = "pyrt.crc32c"

# Element types of the container and their sizes.
ST_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "U16": 2,
    "I16": 2,
    "U32": 4,
    "I32": 4,
    "U64": 8,
    "I64": 8,
    "F16": 2,
    "BF16": 2,
    "F32": 4,
    "F64": 8,
}
ST_OF_DTYPE: dict[DType, str] = {
    dtype: str(dtype).upper().replace("S", "I")
    for dtype in DType
    if dtype not in (DType.U4, DType.S4)
}
DTYPE_OF_ST = {st: dtype for dtype, st in ST_OF_DTYPE.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One tensor of the container.

    Attributes:
        name: key in the header.
        dtype: as safetensors spells it.
        shape: dimensions.
        data: the bytes, 1-D u8.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: NDArray[np.uint8]

    @staticmethod
    def of(name: str, array: NDArray[Any]) -> Tensor:
        """The tensor that holds `array` (any type but 4-bit ones)."""
        contiguous = np.ascontiguousarray(array)
        data = contiguous.reshape(-1).view(np.uint8)
        return Tensor(name, ST_OF_DTYPE[DType.of(array)], tuple(int(n) for n in array.shape), data)

    def array(self) -> NDArray[Any]:
        """The elements; shares memory where the alignment of the file allows."""
        dtype = DTYPE_OF_ST[self.dtype].numpy
        aligned = self.data.ctypes.data % dtype.itemsize == 0
        data = self.data if aligned else self.data.copy()
        return data.view(dtype).reshape(self.shape)


def _checksum(tensors: Iterable[Tensor], metadata: Mapping[str, str]) -> str:
    def chunks() -> Iterator[bytes | NDArray[np.uint8]]:
        for key in sorted(metadata, key=str.encode):
            if key != CHECKSUM_KEY:
                yield f"{key}={metadata[key]}\n".encode()
        for tensor in sorted(tensors, key=lambda t: t.name.encode()):
            yield f"{tensor.name} {tensor.dtype} {','.join(map(str, tensor.shape))}\n".encode()
            yield tensor.data

    return f"{crc32c(chunks()):08x}"


def _aligned(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The tensors, with `pyrt.pad.N` between them where the next would not begin aligned."""
    laid: list[Tensor] = []
    offset = pads = 0
    for tensor in tensors:
        gap = -offset % ALIGNMENT
        if gap:
            laid.append(Tensor(f"pyrt.pad.{pads}", "U8", (gap,), np.zeros(gap, np.uint8)))
            pads += 1
        laid.append(tensor)
        offset += gap + tensor.data.size
    return laid


def pack(tensors: Iterable[Tensor], metadata: Mapping[str, str]) -> list[bytes | NDArray[np.uint8]]:
    """The file as a list of chunks: the header, then the tensors in the given order.

    Raises:
        ResourceError: the header would exceed 16 MiB.
    """
    laid = _aligned(tensors)
    described: dict[str, Any] = {
        "__metadata__": {**metadata, CHECKSUM_KEY: _checksum(laid, metadata)}
    }
    offset = 0
    for tensor in laid:
        end = offset + tensor.data.size
        described[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    header = json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-(8 + len(header)) % ALIGNMENT)
    if len(header) > MAX_HEADER_BYTES:
        raise ResourceError(
            f"the file's header needs {len(header)} bytes, the format allows {MAX_HEADER_BYTES}"
        )
    return [len(header).to_bytes(8, "little") + header, *(tensor.data for tensor in laid)]


def write_atomically(path: Path, chunks: Iterable[bytes | NDArray[np.uint8]]) -> None:
    """Writes a file so that `path` holds either what it held before or all of the new content.

    Raises:
        OSError: from the file system; the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    # 0o666 is cut by the umask, as for any new file; O_EXCL so that nobody else's file is written.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk.data if isinstance(chunk, np.ndarray) else chunk)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The rename itself must survive a power cut; some file systems cannot sync a folder, which is
    # no error.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def parse_json(text: bytes, what: str) -> Any:
    """JSON with the format's restrictions: UTF-8, no duplicate keys, at most 32 levels.

    Raises:
        FormatError: it breaks one of them.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise FormatError(f"{what} has a key twice in one object")
        return found

    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{what} is not valid JSON: {error}") from error
    _check_depth(parsed, what)
    return parsed


def _check_depth(parsed: Any, what: str) -> None:
    level: list[Any] = [parsed]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise FormatError(f"{what} is nested deeper than {MAX_DEPTH} levels")


def unpack(
    data: bytes | memoryview, *, verify: bool = True
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name and metadata of a file.

    Args:
        data: the whole file. The tensors share its memory.
        verify: whether to check the checksum.

    Raises:
        FormatError: it breaks a rule of the container or the checksum differs.
    """
    view = memoryview(data).cast("B")
    if len(view) < 8:
        raise FormatError(
            f"the file has {len(view)} bytes; a .pyrt file begins with 8 bytes of header length"
        )
    header_bytes = int.from_bytes(view[:8], "little")
    if not 2 <= header_bytes <= MAX_HEADER_BYTES or 8 + header_bytes > len(view):
        raise FormatError(
            f"the header claims {header_bytes} bytes in a file of {len(view)}; this is no .pyrt "
            "file"
        )
    header = parse_json(bytes(view[8 : 8 + header_bytes]), "the header")
    if not isinstance(header, dict):
        raise FormatError("the header is not an object")
    metadata = header.pop("__metadata__", {})
    if not (
        isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())
    ):
        raise FormatError("__metadata__ must map strings to strings")
    body = np.frombuffer(view, np.uint8)[8 + header_bytes :]
    tensors = [_tensor(name, entry, body) for name, entry in header.items()]
    _check_contiguous(
        {tensor.name: header[tensor.name]["data_offsets"] for tensor in tensors}, body.size
    )
    if verify and metadata.get(CHECKSUM_KEY) != (actual := _checksum(tensors, metadata)):
        raise FormatError(
            f"the checksum is {actual}, the file says {metadata.get(CHECKSUM_KEY)}; it is damaged, "
            "fetch it again"
        )
    return {tensor.name: tensor for tensor in tensors}, metadata


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**63


def _tensor(name: str, entry: Any, body: NDArray[np.uint8]) -> Tensor:
    what = f"tensor '{name}'"
    if not 1 <= len(name.encode("utf-8", "replace")) <= 1024 or "\0" in name:
        raise FormatError(f"{what}: a name has 1 to 1024 bytes, none of them NUL")
    if not (isinstance(entry, dict) and {"dtype", "shape", "data_offsets"} <= entry.keys()):
        raise FormatError(f"{what} lacks one of dtype, shape, data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and dtype in ST_BYTES):
        raise FormatError(f"{what} has dtype {dtype!r}; known are {', '.join(ST_BYTES)}")
    if not (isinstance(shape, list) and all(map(_is_count, shape))):
        raise FormatError(f"{what} has shape {shape!r}; it must be a list of counts")
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_count, offsets))):
        raise FormatError(f"{what} has data_offsets {offsets!r}; they must be two counts")
    begin, end = offsets
    expected = ST_BYTES[dtype]
    for dim in shape:
        expected *= dim
    if end - begin != expected or end > body.size:
        raise FormatError(
            f"{what}: {dtype} {shape} needs {expected} bytes, its offsets are {offsets} of "
            f"{body.size}"
        )
    return Tensor(name, dtype, tuple(shape), body[begin:end])


def _check_contiguous(offsets: Mapping[str, list[int]], size: int) -> None:
    position = 0
    for name, (begin, end) in sorted(offsets.items(), key=lambda item: tuple(item[1])):
        if begin != position:
            raise FormatError(
                f"tensor '{name}' begins at {begin}, the one before ends at {position}"
            )
        position = end
    if position != size:
        raise FormatError(f"the tensors end at {position}, the data section at {size}")

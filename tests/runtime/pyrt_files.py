"""A tiny writer of .pyrt files, so that tests can write wrong ones; shares no code with plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyruntime import _core

CODES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
Header = dict[str, Any]


def checksum(header: Header, data: bytes) -> str:
    """The CRC-32C of FORMAT.md section 1."""
    crc = 0
    metadata = header["__metadata__"]
    for key in sorted(metadata, key=str.encode):
        if key != "pyrt.crc32c":
            crc = _core.crc32c(f"{key}={metadata[key]}\n".encode(), crc)
    for name in sorted((n for n in header if n != "__metadata__"), key=str.encode):
        entry = header[name]
        line = f"{name} {entry['dtype']} {','.join(map(str, entry['shape']))}\n"
        begin, end = entry["data_offsets"]
        crc = _core.crc32c(data[begin:end], _core.crc32c(line.encode(), crc))
    return f"{crc:08x}"


def layout(tensors: Mapping[str, np.ndarray], align: int = 64) -> tuple[Header, bytes]:
    """Header without checksum, and the data section."""
    header: Header = {"__metadata__": {"pyrt.format": "1.0", "pyrt.producer": "test"}}
    data = bytearray()
    for number, (name, array) in enumerate(tensors.items()):
        pad = -len(data) % align
        if pad:
            begin = len(data)
            data += bytes(pad)
            header[f"pyrt.pad.{number}"] = {
                "dtype": "U8",
                "shape": [pad],
                "data_offsets": [begin, begin + pad],
            }
        begin = len(data)
        data += np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [begin, len(data)],
        }
    return header, bytes(data)


def assemble(header: Header, data: bytes, crc: str | None = None) -> bytes:
    """The file's bytes; with `crc` None the right checksum is put in."""
    header["__metadata__"]["pyrt.crc32c"] = checksum(header, data) if crc is None else crc
    return frame(json.dumps(header).encode(), data)


def frame(text: bytes, data: bytes) -> bytes:
    """Length, header text and data, the header padded to a multiple of 64."""
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text + data


def program_text(program: Any) -> np.ndarray:
    """The tensor `pyrt.program` of a program, or of text that stands for one."""
    text = program if isinstance(program, str) else json.dumps(program)
    return np.frombuffer(text.encode(), np.uint8)


def model(program: Any, tensors: Mapping[str, np.ndarray] | None = None, align: int = 64) -> bytes:
    """A whole file of a program and its tensors."""
    return assemble(*layout({**(tensors or {}), "pyrt.program": program_text(program)}, align))


def linear(K: int = 8, N: int = 4) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """y[B, N] = x[B, K] @ w[K, N] + b[N], the smallest model with all parts."""
    rng = np.random.default_rng(3)
    program = {
        "format": "1.0",
        "requires": [],
        "symbols": ["B"],
        "values": [
            {"dtype": "f32", "dims": ["B", K], "name": "x"},
            {"dtype": "f32", "dims": [K, N], "tensor": "w"},
            {"dtype": "f32", "dims": [N], "tensor": "b"},
            {"dtype": "f32", "dims": ["B", N], "name": "y"},
        ],
        "inputs": [{"name": "x", "value": 0}],
        "outputs": [{"name": "y", "value": 3}],
        "segments": [
            {
                "steps": [
                    {
                        "family": "gemm",
                        "name": "fc",
                        "attributes": {},
                        "inputs": [0, 1, 2],
                        "outputs": [3],
                    }
                ]
            }
        ],
    }
    tensors = {
        "w": rng.standard_normal((K, N)).astype(np.float32),
        "b": rng.standard_normal(N).astype(np.float32),
    }
    return program, tensors


def program_of(
    values: Sequence[dict[str, Any]],
    steps: Sequence[dict[str, Any]],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> dict[str, Any]:
    """A program with one symbol, B."""
    return {
        "format": "1.0",
        "requires": [],
        "symbols": ["B"],
        "values": list(values),
        "inputs": [{"name": f"x{i}", "value": v} for i, v in enumerate(inputs)],
        "outputs": [{"name": f"y{i}", "value": v} for i, v in enumerate(outputs)],
        "segments": [{"steps": [{"attributes": {}, **step} for step in steps]}],
    }


def value(*dims: Any, dtype: str = "f32", **more: Any) -> dict[str, Any]:
    """A value's entry; with `tensor`, a constant."""
    return {"dtype": dtype, "dims": list(dims), **more}

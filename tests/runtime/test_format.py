"""Every rule of pyruntime/plan/FORMAT.md has a file that breaks it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyruntime import _core
from pyruntime.errors import (
    FormatError,
    PyruntimeError,
    ResourceError,
    ShapeError,
    UnsupportedError,
)
from tests.runtime import pyrt_files as files

Program = dict[str, Any]


def load(data: bytes, **options: Any) -> _core.Session:
    return _core.Session(data, **options)


def container() -> tuple[files.Header, bytes]:
    program, tensors = files.linear()
    return files.layout({**tensors, "pyrt.program": files.program_text(program)})


def test_the_unbroken_file_loads_from_bytes_and_from_a_path(tmp_path: Path) -> None:
    data = files.model(*files.linear())
    path = tmp_path / "m.pyrt"
    path.write_bytes(data)
    for source in (data, bytearray(data), path, str(path)):
        assert load(source).inputs == [("x", "f32", ("B", 8))]
    assert load(path, mmap=False).outputs == [("y", "f32", ("B", 4))]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "at least 10 bytes"),
        ((1).to_bytes(8, "little") + b"{}", "header length"),
        ((16 * 2**20 + 1).to_bytes(8, "little") + b"{}", "header length"),
        ((2**63).to_bytes(8, "little") + b"{}", "header length"),
        ((100).to_bytes(8, "little") + b"{}", "truncated"),
        (files.frame(b"[]", b""), "not an object"),
        (files.frame(b"{", b""), "byte"),
        (files.frame(b'{"a": 1.5}', b""), "floating-point"),
        (files.frame(b'{"a": null}', b""), "null"),
        (files.frame(b'{"a": true}', b""), "true"),
        (files.frame(b'{"a": 9007199254740992}', b""), "2\\^53"),
        (files.frame(b'{"a": -9007199254740992}', b""), "2\\^53"),
        (files.frame(b'{"a": {}, "a": {}}', b""), "twice"),
        (files.frame(b'{"\xff": {}}', b""), "byte"),
        (files.frame(b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}", b""), "32 levels"),
        (files.frame(b"{} {}", b""), "byte"),
        (files.frame(b'{"__metadata__": {"a": 1}}', b""), "strings to strings"),
        (files.frame(b'{"__metadata__": []}', b""), "not an object"),
        (files.frame(b"{}", b""), "pyrt.format"),
        (files.frame(b'{"": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}', b""), "name"),
    ],
)
def test_headers_that_lie(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        load(data, verify=False)


def entry(**changes: Any) -> Callable[[files.Header], None]:
    def change(header: files.Header) -> None:
        header["w"].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (entry(dtype="F4"), "dtype 'F4'"),
        (entry(dtype=1), "exactly dtype"),
        (entry(shape=[8, -4]), "integers >= 0"),
        (entry(shape=[8, 5]), "need 160 bytes"),
        (entry(shape=[2**40, 2**40]), "too large"),
        (entry(data_offsets=[0, 2**40]), "data section"),
        (entry(data_offsets=[128, 0]), "data section"),
        (entry(data_offsets=[0]), "exactly dtype"),
        (entry(extra=1), "exactly dtype"),
        (entry(data_offsets=[64, 192]), "overlap"),
        (lambda h: h.pop("w"), "holes"),
        (lambda h: h.update({"pyrt.program": {**h["pyrt.program"], "shape": [1]}}), "need 1 bytes"),
        (lambda h: h.pop("pyrt.program"), "truncated or has a tail"),
    ],
)
def test_tensors_that_lie(change: Callable[[files.Header], None], message: str) -> None:
    header, data = container()
    change(header)
    with pytest.raises(FormatError, match=message):
        load(files.assemble(header, data, crc="00000000"), verify=False)


def test_every_altered_byte_is_noticed() -> None:
    data = files.model(*files.linear())
    for position in range(8, len(data)):
        broken = bytearray(data)
        broken[position] ^= 0x01
        try:
            load(bytes(broken))
        except PyruntimeError:
            continue
        # JSON has several spellings of the same header: the padding may become a tab, and so on.
        assert json.loads(broken[8 : 8 + int.from_bytes(data[:8], "little")]) == json.loads(
            data[8 : 8 + int.from_bytes(data[:8], "little")]
        )


def test_a_wrong_checksum_is_refused_unless_asked_not_to() -> None:
    header, data = container()
    broken = files.assemble(header, data, crc="01234567")
    with pytest.raises(FormatError, match="checksum"):
        load(broken)
    load(broken, verify=False)


def test_a_truncated_file_is_refused_at_every_length() -> None:
    data = files.model(*files.linear())
    for length in range(len(data)):
        with pytest.raises(FormatError):
            load(data[:length], verify=False)


def test_an_unaligned_file_gives_the_same_result() -> None:
    program, tensors = files.linear()
    x = np.arange(16, dtype=np.float32).reshape(2, 8)
    aligned = load(files.model(program, tensors)).run([x])[0]
    header, data = files.layout({"shift": np.zeros(3, np.uint8), **tensors}, align=1)
    begin = len(data)
    data += bytes(files.program_text(program))
    header["pyrt.program"] = {
        "dtype": "U8",
        "shape": [len(data) - begin],
        "data_offsets": [begin, len(data)],
    }
    assert np.array_equal(load(files.assemble(header, data)).run([x])[0], aligned)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("pyrt.format", "2.0", UnsupportedError),
        ("pyrt.format", "1", FormatError),
        ("pyrt.format", "1.x", FormatError),
        ("pyrt.producer", None, FormatError),
    ],
)
def test_metadata(key: str, value: str | None, error: type[PyruntimeError]) -> None:
    header, data = container()
    header["__metadata__"][key] = value
    if value is None:
        del header["__metadata__"][key]
    with pytest.raises(error, match=r"pyrt\.format|format|producer"):
        load(files.assemble(header, data))


def test_minor_versions_and_unknown_keys_are_read() -> None:
    program, tensors = files.linear()
    program.update(format="1.9", later="x", annotations={"any": ["thing"]})
    program["values"][0]["later"] = 1
    program["segments"][0]["steps"][0]["later"] = {}
    header, data = files.layout({**tensors, "pyrt.program": files.program_text(program)})
    header["__metadata__"].update({"pyrt.format": "1.9", "other": "x"})
    load(files.assemble(header, data))


def edit(path: str, value: Any) -> Callable[[Program], None]:
    """Sets (or with value None deletes) what a path such as `values.0.dims` names."""
    *parents, last = path.split(".")

    def change(program: Program) -> None:
        target: Any = program
        for part in parents:
            target = target[int(part) if isinstance(target, list) else part]
        if value is None:
            del target[last]
        elif isinstance(target, list):
            target[int(last)] = value
        else:
            target[last] = value

    return change


STEP = "segments.0.steps.0"


@pytest.mark.parametrize(
    ("path", "value", "error", "message"),
    [
        ("format", "2.0", UnsupportedError, "format 2.0"),
        ("format", None, FormatError, "format"),
        ("requires", ["quantum"], UnsupportedError, "quantum"),
        ("requires", None, FormatError, "requires"),
        ("symbols", ["B", "B"], FormatError, "twice"),
        ("symbols", ["B", ""], FormatError, "non-empty"),
        ("symbols", [], FormatError, "unknown symbol 'B'"),
        ("symbols", ["B", "C"], FormatError, "symbol 'C' is bound by no input"),
        ("values.0.dtype", "f8", FormatError, "unknown dtype"),
        ("values.0.dims", ["B"] * 9, UnsupportedError, "rank 9"),
        ("values.0.dims", [["^", 1, 2]], FormatError, "not a dimension expression"),
        ("values.0.dims", [["//", 1]], FormatError, "1 operands"),
        ("values.0.dims", [["-", 1, 2, 3]], FormatError, "3 operands"),
        ("values.0.dims", [{}], FormatError, "not a dimension expression"),
        ("values.1.dims", ["B", 4], FormatError, "must be integers"),
        ("values.1.dims", [8, -4], FormatError, "integers >= 0"),
        ("values.1.dims", [4, 8], FormatError, "another shape"),
        ("values.1.tensor", "missing", FormatError, "no tensor 'missing'"),
        ("values.1.scheme", "magic.7", FormatError, "magic.7"),
        ("values.1.dtype", "s8", FormatError, "cannot hold"),
        ("values.1.scale", "b", FormatError, "cannot hold"),
        ("inputs.0.value", 9, FormatError, "value index 9"),
        ("inputs.0.value", 1, FormatError, "constant"),
        ("inputs", [{"name": "x", "value": 0}] * 2, FormatError, "twice"),
        ("inputs", [{"name": "x", "value": 0}, {"name": "z", "value": 0}], FormatError, "already"),
        ("outputs.0.value", -1, FormatError, "value index -1"),
        ("outputs", [{"name": "y", "value": 3}] * 2, FormatError, "twice"),
        ("segments", [], UnsupportedError, "segments"),
        ("segments", [{"steps": []}], FormatError, "never written"),
        ("programs", [{}], UnsupportedError, "sub-programs"),
        (f"{STEP}.family", "gemmm", UnsupportedError, "gemmm"),
        (f"{STEP}.attributes", {"speed": 1}, FormatError, "no attribute 'speed'"),
        (f"{STEP}.attributes", {"trans_a": [1]}, FormatError, "wants an integer"),
        (f"{STEP}.attributes", {"lo": 1}, FormatError, "wants a float"),
        (f"{STEP}.attributes", {"lo": {"f": 0}}, FormatError, r"pyrt\.floats"),
        (f"{STEP}.attributes", {"trans_a": "Q"}, FormatError, "wants an integer"),
        (f"{STEP}.inputs", [3, 1, 2], FormatError, "before it is written"),
        (f"{STEP}.inputs", [0], FormatError, "required"),
        (f"{STEP}.inputs", [-1, 1, 2], FormatError, "required"),
        (f"{STEP}.inputs", [0] * 9, FormatError, "9 inputs"),
        (f"{STEP}.inputs", [0, 1, 99], FormatError, "value index 99"),
        (f"{STEP}.outputs", [0], FormatError, "written already"),
        (f"{STEP}.outputs", [1], FormatError, "written already"),
        (f"{STEP}.outputs", [-1], FormatError, "required"),
        (f"{STEP}.outputs", [3, 3], FormatError, "2 outputs"),
    ],
)
def test_programs_that_break_a_rule(
    path: str, value: Any, error: type[PyruntimeError], message: str
) -> None:
    program, tensors = files.linear()
    edit(path, value)(program)
    with pytest.raises(error, match=message):
        load(files.model(program, tensors))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not an object"),
        ('{"format": 1.0}', "floating-point"),
        ('{"format": "1.0", "format": "1.0"}', "twice"),
        ("{", "byte"),
    ],
)
def test_program_text(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        load(files.model(text))


def expressions(*dims: Any) -> Program:
    """A program whose output reshapes nothing: only its dims matter."""
    program, _ = files.linear()
    program["values"][3]["dims"] = list(dims)
    return program


@pytest.mark.parametrize(
    ("dims", "B", "message"),
    [
        (["B", ["//", 4, ["-", "B", 2]]], 2, "not positive"),
        (["B", ["-", "B", 3]], 2, "is -1"),
        (["B", ["*", "B", 2**52, 2**52]], 2, "overflows"),
    ],
)
def test_dims_without_a_value_are_shape_errors(dims: list[Any], B: int, message: str) -> None:
    session = load(files.model(expressions(*dims), files.linear()[1]))
    with pytest.raises(ShapeError, match=message):
        session.run([np.zeros((B, 8), np.float32)])


def test_a_deep_expression_is_refused() -> None:
    deep: Any = "B"
    for _ in range(40):
        deep = ["+", deep, 0]
    with pytest.raises(FormatError, match="32 levels"):
        load(files.model(expressions(deep, 4), files.linear()[1]))


def test_huge_dims_do_not_allocate() -> None:
    program = expressions("B", ["*", "B", 2**40])
    session = load(files.model(program, files.linear()[1]), max_bytes=2**30)
    with pytest.raises(ResourceError, match="max_bytes"):
        session.run([np.zeros((2, 8), np.float32)])


def test_expressions_are_evaluated() -> None:
    program, tensors = files.linear()
    four = ["max", ["min", 9, ["//", ["+", 8, 1], 2]], ["-", "B", 2]]
    program["values"][3]["dims"] = ["B", four]
    session = load(files.model(program, tensors))
    assert session.run([np.zeros((3, 8), np.float32)])[0].shape == (3, 4)
    assert copy.deepcopy(session.outputs)[0][2][1] == "max(min(9, ((8 + 1) // 2)), (B - 2))"

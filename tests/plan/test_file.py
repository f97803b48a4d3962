"""Writer -> reader, and the rules of the container that a writer must keep."""

import dataclasses
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyruntime.errors import FormatError, PyruntimeError, UnsupportedError
from pyruntime.graph.dims import dim_max, dim_min, symbol
from pyruntime.graph.graph import Storage
from pyruntime.graph.types import DType
from pyruntime.plan import container, file
from pyruntime.plan.program import HOST, Port, Program, ProgramValue, Segment, Step

N = symbol("N")


def program(*constants: ProgramValue, **attributes: Any) -> Program:
    """relu(x) with extra constants that no step uses, and attributes on the step."""
    values = (
        ProgramValue(DType.F32, (N, 64), "x"),
        ProgramValue(DType.F32, (N, 64), "y"),
        *constants,
    )
    step = Step("elementwise", {"op": "relu", **attributes}, (0, -1), (1,), "act")
    return Program(
        values, (Port("x", 0),), (Port("y", 1),), (Segment((step,)),), ("N",), {"note": "hi"}
    )


def constant(array: Any, storage: Storage | None = None, name: str = "w") -> ProgramValue:
    array = np.asarray(array)
    return ProgramValue(DType.of(array), array.shape, name, array, storage)


def header_of(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    parsed: dict[str, Any] = json.loads(data[8 : 8 + size])
    return parsed


def with_header(data: bytes, header: dict[str, Any]) -> bytes:
    size = int.from_bytes(data[:8], "little")
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def with_program(data: bytes, document: object) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    tensors, metadata = container.unpack(data)
    tensors["pyrt.program"] = container.Tensor.of("pyrt.program", np.frombuffer(text, np.uint8))
    kept = [t for name, t in tensors.items() if not name.startswith("pyrt.pad")]
    chunks = container.pack(kept, {k: v for k, v in metadata.items() if k != "pyrt.crc32c"})
    return b"".join(bytes(chunk) for chunk in chunks)


def document_of(data: bytes) -> dict[str, Any]:
    tensors, _ = container.unpack(data)
    parsed: dict[str, Any] = json.loads(tensors["pyrt.program"].data.tobytes())
    return parsed


def equal(a: Program, b: Program) -> None:
    assert (a.inputs, a.outputs, a.symbols, dict(a.annotations)) == (
        b.inputs,
        b.outputs,
        b.symbols,
        dict(b.annotations),
    )
    assert len(a.values) == len(b.values)
    for left, right in zip(a.values, b.values, strict=True):
        assert (left.dtype, left.dims, left.name) == (right.dtype, right.dims, right.name)
        assert (left.constant is None) == (right.constant is None)
        if left.constant is not None and right.constant is not None:
            assert left.constant.dtype == right.constant.dtype
            assert left.constant.shape == right.constant.shape
            assert left.constant.tobytes() == right.constant.tobytes()
    assert [dataclasses.replace(s, attributes={}) for s in a.steps] == [
        dataclasses.replace(s, attributes={}) for s in b.steps
    ]


@pytest.mark.parametrize("dtype", [d for d in DType if d not in (DType.U4, DType.S4)])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (7, 5), (2, 3, 33)])
def test_constants_of_every_type_come_back(dtype: DType, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape)
    written = program(constant(np.asarray(values).astype(dtype.numpy).reshape(shape)))
    equal(written, file.read(file.to_bytes(written)))


@pytest.mark.parametrize("dtype", [DType.S4, DType.U4])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_four_bit_constants_come_back(dtype: DType, count: int) -> None:
    low = -8 if dtype is DType.S4 else 0
    written = program(constant((np.arange(count) * 5 % 16 + low).astype(dtype.numpy)))
    data = file.to_bytes(written)
    equal(written, file.read(data))
    assert "pack" in document_of(data)["values"][2]


def test_attributes_of_every_kind_come_back() -> None:
    attributes = {
        "count": 3,
        "dim": N * 2 + 1,
        "list": (1, -2, dim_max(N // 2, 3), dim_min(N, 7)),
        "empty": (),
        "text": "linear",
        "float": 0.1,
        "infinite": float("-inf"),
        "zero": -0.0,
    }
    step = file.read(file.to_bytes(program(**attributes))).steps[0]
    assert step.attributes == {"op": "relu", **attributes}
    assert np.signbit(step.attributes["zero"])


def test_host_attributes_of_every_kind_come_back() -> None:
    attributes = {
        "none": None,
        "flag": True,
        "count": -7,
        "float": float("nan"),
        "text": "min",
        "dtype": DType.S8,
        "dim": N + 1,
        "mixed": [1, 2.5, ["a", None], (True, symbol("M"))],
        "record": {"alpha": 1.5, "names": ["x"]},
        "raw": b"\x00\xff",
    }
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    step = Step(HOST, {**attributes, "array": array}, (0,), (1,), "custom", "Custom", "some.domain")
    written = dataclasses.replace(program(), segments=(Segment((step,)),))
    read = file.read(file.to_bytes(written)).steps[0]
    assert (read.operator, read.domain) == ("Custom", "some.domain")
    got = dict(read.attributes)
    np.testing.assert_array_equal(got.pop("array"), array)
    assert np.isnan(got.pop("float"))
    assert got == {name: item for name, item in attributes.items() if name != "float"}
    assert got["flag"] is True


def test_attribute_without_encoding_is_refused() -> None:
    host = dataclasses.replace(program().steps[0], family=HOST, attributes={"graph": object()})
    written = dataclasses.replace(program(), segments=(Segment((host,)),))
    with pytest.raises(UnsupportedError, match=r"step 'act'.*'graph' is a object"):
        file.to_bytes(written)


def test_large_integer_attribute_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"'count' is 9007199254740992"):
        file.to_bytes(program(count=2**53))


def test_program_has_no_floats_booleans_or_nulls() -> None:
    written = program(lo=0.5)
    written = dataclasses.replace(
        written, annotations={"preprocess": {"mean": [0.5], "rgb": True, "none": None}}
    )
    text = container.unpack(file.to_bytes(written))[0]["pyrt.program"].data.tobytes().decode()

    def refuse(found: str) -> None:
        raise AssertionError(found)

    def walk(item: object) -> None:
        assert isinstance(item, (dict, list, str, int))
        assert not isinstance(item, bool)
        for child in (
            item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        ):
            walk(child)

    walk(json.loads(text, parse_float=refuse, parse_constant=refuse))
    assert file.read(file.to_bytes(written)).annotations == written.annotations


def test_every_tensor_is_aligned_and_touches_the_next() -> None:
    arrays = [
        constant(np.arange(n, dtype=np.int8) + 1, name=f"w{n}") for n in (1, 63, 64, 65, 0, 3)
    ]
    data = file.to_bytes(program(*arrays, lo=0.25))
    header_bytes = int.from_bytes(data[:8], "little")
    assert (8 + header_bytes) % 64 == 0
    header = header_of(data)
    position = 0
    header.pop("__metadata__")
    entries = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    for name, entry in entries:
        begin, end = entry["data_offsets"]
        assert begin == position
        assert begin % 64 == 0 or name.startswith("pyrt.pad.")
        position = end
    assert 8 + header_bytes + position == len(data)


def test_names_that_the_format_reserves_are_replaced() -> None:
    names = ["pyrt.program", "__metadata__", "", "a", "a", "a\0b", "x" * 2000]
    written = program(*(constant(np.full(2, i, np.int32), name=n) for i, n in enumerate(names)))
    read = file.read(file.to_bytes(written))
    for number, value in enumerate(read.values[2:]):
        assert value.constant is not None
        np.testing.assert_array_equal(value.constant, np.full(2, number))


def test_other_readers_can_list_the_tensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    weights = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    file.write(program(constant(weights, name="fc.weight")), tmp_path / "m.pyrt")
    loaded = safetensors.load_file(tmp_path / "m.pyrt")
    np.testing.assert_array_equal(loaded["fc.weight"], weights)
    # What they write back, unaligned and in another order, still loads and keeps its checksum.
    from safetensors import safe_open

    with safe_open(tmp_path / "m.pyrt", "np") as handle:
        metadata = handle.metadata()
    safetensors.save_file(loaded, tmp_path / "again.pyrt", metadata)
    equal(file.read(tmp_path / "again.pyrt"), file.read(tmp_path / "m.pyrt"))


def test_any_changed_byte_is_noticed() -> None:
    data = file.to_bytes(program(constant(np.arange(9, dtype=np.int32))))
    for position in range(8 + int.from_bytes(data[:8], "little"), len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(FormatError, match="checksum"):
            file.read(bytes(damaged))
    file.read(data, verify=False)


def test_write_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.pyrt"
    path.write_bytes(b"old")
    file.write(program(), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.pyrt"]
    assert path.read_bytes() == file.to_bytes(program())
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.pyrt"
    path.write_bytes(b"old")

    def chunks() -> Any:
        yield b"new"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        container.write_atomically(path, chunks())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.pyrt"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes"),
        (b"\x00" * 8, "claims 0 bytes"),
        (b"\xff" * 16, "claims 18446744073709551615"),
        ((2).to_bytes(8, "little") + b"[]", "not an object"),
        ((2).to_bytes(8, "little") + b"{}", "checksum"),
        ((20).to_bytes(8, "little") + b'{"a":1,"a":2}       ', "key twice"),
        ((100).to_bytes(8, "little") + b"[" * 100, "not valid JSON"),
        ((100).to_bytes(8, "little") + b"[" * 50 + b"]" * 50, "deeper than 32"),
        ((2_000_000).to_bytes(8, "little") + b"[" * 2_000_000, "not valid JSON"),
    ],
)
def test_broken_containers_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        file.read(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "C64"}, "dtype 'C64'"),
        ({"shape": [9, -1]}, "list of counts"),
        ({"shape": [2**62, 2**62]}, "needs"),
        ({"data_offsets": [0, 2**40]}, "needs|begins"),
        ({"data_offsets": [64, 100]}, "begins at|needs"),
        ({"shape": None}, "list of counts"),
    ],
)
def test_broken_entries_are_refused(change: dict[str, Any], message: str) -> None:
    data = file.to_bytes(program(constant(np.arange(9, dtype=np.int32))))
    header = header_of(data)
    header["w"] |= change
    with pytest.raises(FormatError, match=message):
        file.read(with_header(data, header), verify=False)


@pytest.mark.parametrize(
    ("key", "content", "error"),
    [
        ("format", None, FormatError),
        ("requires", ["control-flow"], UnsupportedError),
        ("values", [{"dtype": "c64", "dims": []}], FormatError),
        ("values", [{"dtype": "f32", "dims": [["^", 1, 2]]}], FormatError),
        ("values", [{"dtype": "f32", "dims": [1], "tensor": "nowhere"}], FormatError),
        ("values", [{"dtype": "f32", "dims": ["N"], "tensor": "w"}], FormatError),
        ("values", 3, FormatError),
        ("inputs", [{"name": "x", "value": 99}], FormatError),
        ("outputs", [{"name": "y", "value": "1"}], FormatError),
        ("outputs", [{"value": 1}], FormatError),
        ("segments", [{"steps": [{"family": "gemm"}]}], FormatError),
        (
            "segments",
            [{"steps": [{"family": "gemm", "attributes": {}, "inputs": [77], "outputs": [1]}]}],
            FormatError,
        ),
        (
            "segments",
            [
                {
                    "steps": [
                        {"family": "a", "attributes": {"f": {"f": 9}}, "inputs": [], "outputs": []}
                    ]
                }
            ],
            FormatError,
        ),
    ],
)
def test_broken_programs_are_refused(
    key: str, content: object, error: type[PyruntimeError]
) -> None:
    data = file.to_bytes(program(constant(np.arange(9, dtype=np.int32))))
    document = document_of(data)
    if content is None:
        del document[key]
    else:
        document[key] = content
    with pytest.raises(error):
        file.read(with_program(data, document))


def test_other_major_version_is_unsupported() -> None:
    tensors, metadata = container.unpack(file.to_bytes(program()))
    metadata = {"pyrt.format": "2.0", "pyrt.producer": metadata["pyrt.producer"]}
    chunks = container.pack([tensors["pyrt.program"]], metadata)
    with pytest.raises(UnsupportedError, match=r"format 2\.0"):
        file.read(b"".join(bytes(chunk) for chunk in chunks))


# Storage ------------------------------------------------------------------------------------------


def with_zeros(dtype: str, share: float, count: int = 4096) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    values = rng.integers(1, 100, count).astype(dtype)
    values[rng.permutation(count)[: int(share * count)]] = 0
    return values.reshape(64, -1)


@pytest.mark.parametrize("dtype", ["int8", "float32", "float16", "int32"])
@pytest.mark.parametrize(("share", "coded"), [(0.0, False), (0.1, False), (0.2, True), (1.0, True)])
def test_zeros_are_not_stored_where_that_is_smaller(dtype: str, share: float, coded: bool) -> None:
    written = program(constant(with_zeros(dtype, share)))
    data = file.to_bytes(written)
    entry = document_of(data)["values"][2]
    assert (entry.get("scheme") == "gaps.1") is coded
    equal(written, file.read(data))
    if share == 0.2:
        dense = program(constant(with_zeros(dtype, 0.0)))
        assert len(data) < len(file.to_bytes(dense))


def test_negative_zero_and_nan_survive_the_code() -> None:
    values = with_zeros("float32", 0.5)
    values.flat[:4] = [-0.0, np.nan, np.inf, 1e-45]
    written = program(constant(values))
    data = file.to_bytes(written)
    assert document_of(data)["values"][2]["scheme"] == "gaps.1"
    equal(written, file.read(data))


def test_coded_count_that_fills_no_byte() -> None:
    values = with_zeros("int8", 0.5).reshape(-1)[:4093]
    written = program(constant(values))
    equal(written, file.read(file.to_bytes(written)))


@pytest.mark.parametrize("zeros", [0.0, 0.5])
def test_half_and_scaled_storage_give_back_the_constant(zeros: float) -> None:
    stored = with_zeros("int8", zeros)
    scale = np.linspace(0.01, 1, 64, dtype=np.float32)
    half = with_zeros("float16", zeros)
    groups = np.linspace(0.5, 2, 64 * 3, dtype=np.float16).reshape(64, 3)
    nibbles = (with_zeros("int8", zeros) % 8).astype(np.int8)
    spread = np.repeat(groups.astype(np.float32), 30, axis=1)[:, :64]
    written = program(
        constant(stored.astype(np.float32) * scale[:, None], Storage("scaled", stored, scale, 0)),
        constant(stored.astype(np.float32) * scale, Storage("scaled", stored, scale, 1)),
        constant(half.astype(np.float32), Storage("f16", half)),
        constant(nibbles.astype(np.float32) * spread, Storage("scaled", nibbles, groups, 1, 30)),
    )
    data = file.to_bytes(written)
    read = file.read(data)
    equal(written, read)
    kinds = [value.storage.kind for value in read.values[2:] if value.storage is not None]
    assert kinds == ["scaled", "scaled", "f16", "scaled"]
    assert len(data) < len(file.to_bytes(program(*(constant(v.constant) for v in read.values[2:]))))
    # Reading and writing again changes nothing.
    assert file.to_bytes(read) == data


def test_storage_that_does_not_fit_its_constant_is_refused() -> None:
    stored = with_zeros("int8", 0)
    other = ProgramValue(
        DType.F32,
        stored.shape,
        "w",
        stored.astype(np.float32),
        Storage("scaled", stored, np.full(64, 2, np.float32)),
    )
    with pytest.raises(PyruntimeError, match="'w': its scaled storage gives other elements"):
        file.to_bytes(program(other))

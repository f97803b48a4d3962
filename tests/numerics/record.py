"""Records what exact and canonical programs compute here, for replay elsewhere.

    python -m tests.numerics.record FOLDER

Writes `<name>.pyrt`, `<name>.in<i>.bin`, `<name>.out<i>.bin` and `manifest.txt`, which has a line
for each case: its name, its class (E or D), "in", a `dtype:dims` for each input, "out", and those
of the outputs; dims are joined by "x". Before a case is written, every preset that this machine can
run, with 1 and 2 threads, and (for single steps) every row that accepts the problem must give the
same bytes. NaNs are equal to each other: their payload is not part of the contract.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyruntime as rt
from pyruntime import kernels
from pyruntime.demo import networks
from pyruntime.errors import MissingExtraError
from pyruntime.graph.types import DType
from pyruntime.plan.file import to_bytes
from tests.numerics.more_cases import every

Array = NDArray[Any]
MODELS = Path(__file__).parents[3] / "shared" / "models"
RESNET8 = "resnet8_qdq_int8"


class MismatchError(Exception):
    """A case is not what its class promises on this machine."""


def same(a: Array, b: Array) -> bool:
    """Whether bytes are equal, NaNs apart."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return a.tobytes() == b.tobytes()
    bits = np.dtype(f"u{a.dtype.itemsize}")
    return bool(np.all((a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))))


def compute(data: bytes, feeds: Sequence[Array], **options: Any) -> list[Array]:
    """One run of a fresh session."""
    with rt.Session(data, **options) as session:
        return [np.asarray(output) for output in session.run(list(feeds))]


def exactness(name: str, session: rt.Session, feeds: Sequence[Array]) -> str:
    """E or D."""
    dims = {info.name: feed for info, feed in zip(session.inputs, feeds, strict=True)}
    classes = {step.exactness for step in session.steps(dims)}
    if not classes <= {"E", "D"}:
        raise MismatchError(
            f"{name}: has steps of the classes {sorted(classes)}; only E and D belong here"
        )
    return max("E", *classes, key="ED".index)


def variants(session: rt.Session, feeds: Sequence[Array]) -> Iterator[dict[str, Any]]:
    """Every way to run a file here that must not change a byte."""
    for isa in kernels.presets():
        for threads in (1, 2):
            yield {"isa": isa, "threads": threads}
    dims = {info.name: feed for info, feed in zip(session.inputs, feeds, strict=True)}
    steps = [step for step in session.steps(dims) if step.name]
    if len(steps) == 1:
        for candidate in steps[0].candidates:
            if candidate.cost_ns >= 0:
                yield {"rows": candidate.row, "threads": 2}


def record(folder: Path, name: str, data: bytes, feeds: Sequence[Array]) -> str:
    """Checks and writes one case; returns its line of the manifest.

    Raises:
        MismatchError: presets, threads or rows disagree.
    """
    with rt.Session(data, threads=1) as session:
        kind = exactness(name, session, feeds)
        want = [np.asarray(output) for output in session.run(list(feeds))]
        for options in variants(session, feeds):
            for index, output in enumerate(compute(data, feeds, **options)):
                if not same(output, want[index]):
                    raise MismatchError(f"{name}: output {index} has other bytes with {options}")
    return store(folder, name, kind, data, feeds, want)


def store(
    folder: Path,
    name: str,
    kind: str,
    data: bytes,
    feeds: Sequence[Array],
    want: Sequence[Array],
) -> str:
    """Writes one case; returns its line of the manifest."""
    (folder / f"{name}.pyrt").write_bytes(data)
    for side, arrays in (("in", feeds), ("out", want)):
        for index, array in enumerate(arrays):
            (folder / f"{name}.{side}{index}.bin").write_bytes(array.tobytes())
    return " ".join([name, kind, "in", *map(_spell, feeds), "out", *map(_spell, want)])


def _spell(array: Array) -> str:
    return f"{DType.of(array)}:{'x'.join(map(str, array.shape))}"


def models() -> Iterator[tuple[str, bytes, list[Array]]]:
    """Whole models: those of the demo, and resnet8 from its ONNX file where that exists."""
    for name in ("mnist-int8", "mnist-zeros-int8", "digits-int8"):
        images = networks.load_images(name.split("-", maxsplit=1)[0]).inputs
        data = networks.load_network(name)
        for batch in (1, 5):
            yield f"{name}_{batch}", data, [np.ascontiguousarray(images[:batch])]
    yield from resnet8()


def resnet8() -> Iterator[tuple[str, bytes, list[Array]]]:
    """resnet8 int8 with the recorded inputs; where it is absent, the reason goes to stderr."""
    path = MODELS / f"{RESNET8}.onnx"
    if not path.exists():
        print(
            f"{RESNET8} is left out: there is no {path.name} in ../shared/models", file=sys.stderr
        )
        return
    try:
        graph = rt.import_onnx(path)
    except MissingExtraError as error:
        print(f"{RESNET8} is left out: {error}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as temporary:
        compiled = Path(temporary) / "model.pyrt"
        rt.compile(graph, compiled, bit_exact=True)
        data = compiled.read_bytes()
    with rt.Session(data) as session:
        names = [info.name for info in session.inputs]
    for number, recording in enumerate(sorted(MODELS.glob(f"{RESNET8}__*.npz"))):
        with np.load(recording) as arrays:
            yield f"resnet8-int8_{number}", data, [arrays[f"in:{name}"] for name in names]


def write(folder: Path) -> list[str]:
    """Writes all cases into a new folder; returns the lines of the manifest.

    Raises:
        MismatchError: a case is not the same everywhere on this machine.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = [record(folder, case.name, to_bytes(case.program), case.feeds) for case in every()]
    lines += [record(folder, name, data, feeds) for name, data, feeds in models()]
    names = [line.split(" ", maxsplit=1)[0] for line in lines]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise MismatchError(f"two cases have the name {twice}")
    (folder / "manifest.txt").write_text("".join(f"{line}\n" for line in lines))
    return lines


def main() -> int:
    """Writes the folder named on the command line."""
    if len(sys.argv) != 2:
        print("usage: python -m tests.numerics.record FOLDER", file=sys.stderr)
        return 2
    try:
        lines = write(Path(sys.argv[1]))
    except MismatchError as error:
        print(error, file=sys.stderr)
        return 1
    count = Counter(line.split(" ")[1] for line in lines)
    presets = ", ".join(kernels.presets())
    print(f"{len(lines)} cases recorded: {count['E']} E, {count['D']} D; the same at {presets}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Loads a `.pyrt` file and runs it: names, host callbacks, explanations; `_core` does the work."""

from __future__ import annotations

import functools
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from pyruntime._core import CancelToken
from pyruntime._core import Session as NativeSession
from pyruntime.costs import stored as stored_costs
from pyruntime.errors import ArgumentError
from pyruntime.host import HostSteps
from pyruntime.kernels import Candidate, OperandInfo, StepInfo, cpu, step_infos, trial_shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyruntime.plan.file import Document, HostStep
    from pyruntime.preprocess import Preprocess

    Array = NDArray[Any]

__all__ = [
    "CancelToken",
    "Candidate",
    "Loop",
    "OperandInfo",
    "Session",
    "StepInfo",
    "StepTime",
    "TensorInfo",
]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a model.

    Attributes:
        name: what feeds and results call it.
        dtype: element type, spelled as in the Program ("f32", "s64", ...).
        dims: an int where the size is fixed, else a symbol or an expression as text.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class StepTime:
    """Measured time of a step.

    Attributes:
        name: the node it comes from; empty for conversions of form that bind inserted.
        family: kernel family, or "host".
        row: the kernel; empty for host steps.
        ns: median over the runs.
        share: of the sum over all steps, 0..1.
    """

    name: str
    family: str
    row: str
    ns: float
    share: float


class Session:
    """A compiled model, ready to run. Thread-safe; picklable; usable after fork.

    Args:
        source: path of a `.pyrt` file, or its content as bytes.
        threads: for one run, the caller's included; None uses all CPUs that the process may use.
        isa: an ISA preset (`pyruntime.kernels.presets()`), to see what a smaller CPU does; None
            uses PYRUNTIME_ISA, else everything the CPU has.
        verify: check the file's checksum.
        mmap: map the file. False reads it, for files that somebody else may change meanwhile.
        max_bytes: of memory for constants, weights and buffers; None for no limit.
        costs: row name -> measured / predicted time; None takes what `pyruntime tune` found on
            this CPU, if anything (`pyruntime.costs`).
        rows: prefer kernels whose name contains this text; for experiments.

    Raises:
        FormatError: the file is damaged.
        UnsupportedError: it needs a newer version, or the CPU lacks the ISA asked for.
        ArgumentError: an option is out of range, or the file cannot be opened.
    """

    __slots__ = ("__weakref__", "_document", "_native", "_options", "_source")

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes | bytearray | memoryview,
        *,
        threads: int | None = None,
        isa: str | None = None,
        verify: bool = True,
        mmap: bool = True,
        max_bytes: int | None = None,
        costs: Mapping[str, float] | None = None,
        rows: str = "",
    ) -> None:
        if isinstance(source, (bytearray, memoryview)):
            source = bytes(source)  # pickling and host steps read it again, and it must not change
        elif not isinstance(source, bytes):
            source = os.fspath(source)
        if costs is None:
            costs = stored_costs()
        self._source: str | bytes = source
        self._document: Document | None = None
        self._options = {
            "threads": threads,
            "isa": isa,
            "verify": verify,
            "mmap": mmap,
            "max_bytes": max_bytes,
            "costs": dict(costs),
            "rows": rows,
        }
        self._native: Any = NativeSession(
            source,
            threads=threads or 0,
            isa=isa or "",
            verify=verify,
            mmap=mmap,
            max_bytes=max_bytes or 0,
            row=rows,
            costs=list(costs.items()),
            host=HostSteps(functools.partial(_host_steps, source)),
        )

    @overload
    def run(
        self,
        feeds: Mapping[str, Any] | Sequence[Any],
        /,
        *,
        out: Mapping[str, Array] | Sequence[Array] | None = None,
        cancel: Any = None,
    ) -> dict[str, Array]: ...

    @overload
    def run(
        self,
        names: Sequence[str] | None,
        feeds: Mapping[str, Any],
        /,
        *,
        out: Mapping[str, Array] | Sequence[Array] | None = None,
        cancel: Any = None,
    ) -> list[Array]: ...

    def run(self, first: Any, second: Any = None, /, *, out: Any = None, cancel: Any = None) -> Any:
        """Runs the model: `run(feeds)` gives a dict, `run(names, feeds)` a list as ONNX users know.

        Args:
            first: feeds: a dict of arrays by input name, or a sequence in the model's order (the
                result is then a list). With two arguments: names of the outputs, None for all.
            second: feeds, with two arguments.
            out: arrays to write outputs into, by name or for all outputs in order; the rest is new.
                C-contiguous, of the output's dtype and dims, sharing no memory with anything else.
            cancel: a `CancelToken`; its `cancel()` stops the run from another thread.

        Returns:
            Outputs by name, or the list of those asked for. Inputs may be anything with the buffer
            or DLPack protocol; nothing is cast.

        Raises:
            ArgumentError: a missing or unknown name.
            ShapeError, DTypeError: an input does not fit; the message names it.
            Cancelled: `cancel` was used.
        """
        if second is None:
            if type(first) is not dict and isinstance(first, Mapping):
                first = dict(first)
            return self._native.run(first, out, cancel)
        outputs = self._native.run(dict(second), out, cancel)
        if first is None:
            return list(outputs.values())
        unknown = [name for name in first if name not in outputs]
        if unknown:
            raise ArgumentError(f"the model has no outputs {unknown}; it has {list(outputs)}")
        return [outputs[name] for name in first]

    def bind(self, feeds: Mapping[str, Any], feedback: Mapping[str, str] | None = None) -> Loop:
        """Fixes the input arrays, so that a run allocates nothing.

        Args:
            feeds: an array for each input. C-contiguous arrays are read in place at each run: write
                the next frame into them (`loop.inputs` gives those that had to be copied).
            feedback: output name -> input name; after each run the output becomes that input, which
                has memory of its own. For recurrent state and key-value caches of fixed size.

        Raises:
            ArgumentError, ShapeError, DTypeError: as `run`.
        """
        names = [tensor.name for tensor in self.inputs]
        return Loop(self._native.bind(dict(feeds), dict(feedback or {})), names)

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """What `run` takes."""
        return tuple(TensorInfo(*item) for item in self._native.inputs)

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """What `run` gives."""
        return tuple(TensorInfo(*item) for item in self._native.outputs)

    @property
    def threads(self) -> int:
        """Threads of one run, the caller's included."""
        return int(self._native.threads)

    @property
    def isa(self) -> str:
        """The ISA preset whose instructions may be used."""
        asked = self._options["isa"] or os.environ.get("PYRUNTIME_ISA")
        return str(asked or cpu()["best_preset"])

    @property
    def annotations(self) -> dict[str, Any]:
        """The notes that travel in the file: preprocessing, what compression did."""
        return self._file().annotations()

    def steps(self, feeds: Mapping[str, Any] | None = None) -> tuple[StepInfo, ...]:
        """What runs for inputs of these dims, in order, and why these kernels.

        Args:
            feeds: arrays or dims by input name; None takes small sizes that the model accepts.

        Raises:
            ShapeError: the model accepts none of the sizes tried; give feeds.
        """
        return step_infos(self._native.steps(self._shapes(feeds)))

    def inexact_steps(self, feeds: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """The steps that keep outputs from being the same bytes everywhere; feeds as in steps."""
        return tuple(self._native.inexact(self._shapes(feeds)))

    @property
    def bit_exact(self) -> bool:
        """Whether the outputs are the same bytes on every CPU, for any number of threads."""
        return not self.inexact_steps()

    def trial_dims(self) -> dict[str, tuple[int, ...]]:
        """Small dims of all inputs that the model accepts: what `steps` takes without feeds.

        Raises:
            ShapeError: the model accepts none of the sizes tried.
        """
        shapes = self._shapes(None) or []
        names = [tensor.name for tensor in self.inputs]
        return {name: tuple(dims) for name, dims in zip(names, shapes, strict=True)}

    def memory(self, feeds: Mapping[str, Any] | None = None) -> dict[str, int]:
        """Bytes of arena, scratch, packed weights and decoded constants; `feeds` as in `steps`."""
        return dict(self._native.memory(self._shapes(feeds)))

    def profile(self, feeds: Mapping[str, Any], runs: int = 20) -> tuple[StepTime, ...]:
        """Median time of each step.

        Args:
            feeds: as for `run`.
            runs: how often to run, at least 1; each has an unmeasured run before it.

        Raises:
            ArgumentError: fewer than one run.
        """
        if runs < 1:
            raise ArgumentError(f"profile needs at least 1 run, got {runs}")
        feeds = dict(feeds)
        measured = [self._native.profile(feeds, 1) for _ in range(runs)]
        medians = [
            statistics.median(run[i]["ns"] for run in measured) for i in range(len(measured[0]))
        ]
        total = sum(medians) or 1.0
        return tuple(
            StepTime(
                entry["name"],
                "host" if entry["exactness"] == "host" else entry["family"],
                entry["row"],
                ns,
                ns / total,
            )
            for entry, ns in zip(measured[0], medians, strict=True)
        )

    def preprocess(
        self, item: str | Path | Array, record: Preprocess | None = None
    ) -> dict[str, Array]:
        """Feeds from an image, a .wav, a .npy or an array.

        Args:
            item: a path or an array, see `pyruntime.preprocess.load_item`.
            record: how; None takes the record in the file.

        Raises:
            ArgumentError: the item does not fit.
            MissingExtraError: an image file without Pillow.
        """
        from pyruntime.preprocess import ANNOTATION, Preprocess, load_item

        if record is None:
            record = Preprocess.from_annotation(self.annotations.get(ANNOTATION, {}))
        by_name = {tensor.name: tensor for tensor in self.inputs}
        name = record.input or next(iter(by_name), "")
        if name not in by_name:
            raise ArgumentError(
                f"preprocess: the model has no input '{name}', it has {list(by_name)}"
            )
        dims = tuple(dim if isinstance(dim, int) else None for dim in by_name[name].dims)
        return {name: load_item(item, record, dims)}

    def close(self) -> None:
        """Gives memory and threads back; the session cannot be used any more."""
        self._native = _Closed()
        self._document = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._source, self._options)

    def __repr__(self) -> str:
        if isinstance(self._native, _Closed):
            return "Session(closed)"
        source = "bytes" if isinstance(self._source, bytes) else repr(self._source)
        return f"Session({source}, inputs={list(self.inputs)}, outputs={list(self.outputs)})"

    def _file(self) -> Document:
        if self._document is None:
            from pyruntime.plan.file import Document

            self._document = Document(self._source, verify=False)  # _core has verified it
        return self._document

    def _shapes(self, feeds: Mapping[str, Any] | None) -> list[list[int]] | None:
        if feeds is None:
            return trial_shapes(self._native)
        missing = [tensor.name for tensor in self.inputs if tensor.name not in feeds]
        if missing:
            raise ArgumentError(f"feeds lack {missing}; give an array or dims for each input")
        return [_dims_of(feeds[tensor.name]) for tensor in self.inputs]


class Loop:
    """A session bound to arrays, from `Session.bind`. One thread at a time may run it."""

    __slots__ = ("_native", "_run", "inputs", "outputs")

    def __init__(self, native: Any, names: Iterable[str]) -> None:
        """Takes over the native loop; `names` are those of the inputs."""
        self._native = native
        self._run = native.run
        self.inputs: dict[str, Array] = dict(zip(names, native.inputs, strict=True))
        self.outputs: dict[str, Array] = native.outputs

    def run(self) -> dict[str, Array]:
        """Runs once and gives the outputs: the same arrays each time, with new content.

        Raises:
            ArgumentError: it is running in another thread.
        """
        self._run()
        return self.outputs


class _Closed:
    """Stands in for the native session after `close`."""

    def __getattr__(self, name: str) -> Any:
        raise ArgumentError(f"the session is closed ({name}); make a new one")


def _restore(source: str | bytes, options: dict[str, Any]) -> Session:
    return Session(source, **options)


def _host_steps(source: str | bytes) -> dict[int, HostStep]:
    from pyruntime.plan.file import Document

    return Document(source, verify=False).host_steps()


def _dims_of(item: Any) -> list[int]:
    return [int(dim) for dim in getattr(item, "shape", item)]

"""A typed view of the kernel families and rows that the binding reports, and single calls of them.

`pyruntime.plan` reads the schemas, tests and benchmarks call single rows, tuning times them. This
file and `session.py` are the only ones that import `_core`.
"""

from __future__ import annotations

import functools
import importlib
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pyruntime.errors import ShapeError

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    Array = NDArray[Any]

# An input of a single step: an array (known at bind time, so it is packed), a description
# (dtype, dims) of one that comes with the call, or None where an optional one is absent.
Operands: TypeAlias = "Sequence[Array | tuple[str, Sequence[int]] | None]"

# Sizes tried for free dims when nobody gave any: small first; images often need more, and text
# recognition wants lines of 32 or 48 pixels.
_TRIAL_SIZES = (1, 32, 48, 64, 224, 640)


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a family.

    Attributes:
        name: as in the Program.
        kind: "int", "ints", "float" or "text".
        required: whether a step must give it.
        default: what it is otherwise.
    """

    name: str
    kind: str
    required: bool
    default: Any = None


@dataclass(frozen=True, slots=True)
class Operand:
    """One input or output of a family, see `OperandSpec` in csrc/kernels/kernel.h."""

    name: str
    optional: bool
    variadic: bool
    parameter: bool


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of step: attributes and operands."""

    name: str
    attributes: tuple[Attribute, ...]
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel, see `Row` in csrc/kernels/kernel.h.

    Attributes:
        name: unique.
        family: what it computes.
        exactness: "E", "D" or "F".
        features: CPU features it needs.
        runnable: whether this CPU has them.
        forms: "plain", "channels_last" or "follow".
        offset: "never", "takes" or "gives".
        alias: shares its input's buffer instead of running.
        compressed: exploits zeros or rank.
        packing: name of the weights' packing; empty for none.
        tile: (mr, nr, kr), 0 where there is none.
    """

    name: str
    family: str
    exactness: str
    features: tuple[str, ...]
    runnable: bool
    forms: str
    offset: str
    alias: bool
    compressed: bool
    packing: str
    tile: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that was considered for a step.

    Attributes:
        row: its name.
        cost_ns: predicted time on one core.
        reason: why it was not taken; empty for the one that was.
    """

    row: str
    cost_ns: float
    reason: str


@dataclass(frozen=True, slots=True)
class OperandInfo:
    """An operand of a bound step: dtype, dims in ONNX order, and form in memory."""

    dtype: str
    dims: tuple[int, ...]
    form: str


@dataclass(frozen=True, slots=True)
class StepInfo:
    """A bound step.

    Attributes:
        name: the node it comes from; empty for a conversion of form that bind inserted.
        family: kernel family, or "host".
        operator: of a host step, the operator; else empty.
        row: the kernel; empty for host steps.
        exactness: "E", "D", "F", or "host".
        alias: nothing runs, the buffer is shared.
        predicted_ns: on one core.
        packed_bytes: of its weights.
        fast_share: of its pairs of weights, how many the kernel's fast path takes, 0..1; None where
            it has one path only.
        density: share of its constant weights that are not zero; None where it has none.
        break_even: the largest density at which a kernel that skips zeros would be taken; None
            where there is none, or no weight is zero.
        inputs: None where absent.
        outputs: likewise.
        candidates: all rows of the family, and why not the others.
    """

    name: str
    family: str
    operator: str
    row: str
    exactness: str
    alias: bool
    predicted_ns: float
    packed_bytes: int
    fast_share: float | None
    density: float | None
    break_even: float | None
    inputs: tuple[OperandInfo | None, ...]
    outputs: tuple[OperandInfo | None, ...]
    candidates: tuple[Candidate, ...]

    @property
    def host(self) -> bool:
        """Whether it runs the operator's numpy reference."""
        return self.exactness == "host"

    @property
    def why(self) -> tuple[str, ...]:
        """A line for each candidate: the prediction for the one taken, else why it was not."""
        return tuple(
            f"{candidate.row}: {candidate.reason or f'taken, predicted {candidate.cost_ns:.0f} ns'}"
            for candidate in self.candidates
        )


def _core() -> ModuleType:
    # Not at the top: compiling works where the binding is not built.
    return importlib.import_module("pyruntime._core")


@functools.cache
def families() -> Mapping[str, Family]:
    """All families of this build, by name.

    Raises:
        ImportError: the binding is not built.
    """
    return {
        entry["name"]: Family(
            entry["name"],
            tuple(
                Attribute(a["name"], a["kind"], a["required"], a["default"])
                for a in entry["attributes"]
            ),
            tuple(_operand(o) for o in entry["inputs"]),
            tuple(_operand(o) for o in entry["outputs"]),
        )
        for entry in _core().families()
    }


def _operand(entry: Mapping[str, Any]) -> Operand:
    return Operand(entry["name"], entry["optional"], entry["variadic"], entry["parameter"])


@functools.cache
def rows() -> tuple[Row, ...]:
    """All kernels of this build, runnable here or not, sorted by family and name."""
    return tuple(Row(**{**entry, "features": tuple(entry["features"])}) for entry in _core().rows())


def cpu() -> Mapping[str, Any]:
    """The CPU: name, features, presets (runnable, in ascending order), best_preset, cpus."""
    found: Mapping[str, Any] = _core().cpu()
    return found


def presets() -> tuple[str, ...]:
    """The ISA presets that this CPU can execute, in ascending order."""
    return tuple(cpu()["presets"])


def native_crc32c() -> Callable[[Any, int], int] | None:
    """`crc32c(data, crc)` of the binding, or None where it is not built."""
    try:
        function: Callable[[Any, int], int] = _core().crc32c
    except ImportError:
        return None
    return function


def step_infos(entries: Iterable[Mapping[str, Any]]) -> tuple[StepInfo, ...]:
    """The typed form of what `_core` says of bound steps."""
    return tuple(
        StepInfo(
            entry["name"],
            "host" if entry["exactness"] == "host" else entry["family"],
            entry["operator"],
            entry["row"],
            entry["exactness"],
            entry["alias"],
            entry["predicted_ns"],
            entry["packed_bytes"],
            entry["fast_share"],
            entry["density"],
            entry["break_even"],
            tuple(None if item is None else OperandInfo(*item) for item in entry["inputs"]),
            tuple(None if item is None else OperandInfo(*item) for item in entry["outputs"]),
            tuple(Candidate(*item) for item in entry["candidates"]),
        )
        for entry in entries
    )


def trial_shapes(native: Any) -> list[list[int]] | None:
    """Dims of all inputs that a native session accepts, for questions asked without inputs.

    Raises:
        ShapeError: it accepts none of the sizes tried.
    """
    dims = [item[2] for item in native.inputs]
    batch = {shape[0] for shape in dims if shape}  # one sample is enough
    failure: ShapeError | None = None
    for size in _TRIAL_SIZES:
        shapes = [
            [dim if isinstance(dim, int) else 1 if dim in batch else size for dim in shape]
            for shape in dims
        ]
        try:
            native.prepare(shapes)
        except ShapeError as error:
            failure = failure or error
        else:
            return shapes
    raise ShapeError(
        f"free dims of {' or '.join(map(str, _TRIAL_SIZES))} do not fit; give feeds: {failure}"
    )


def inexact_steps(data: bytes) -> list[str]:
    """Names of the steps that keep a compiled model from being bit-exact; none if it is."""

    def no_host(*_: Any) -> None:
        raise AssertionError("nothing is run here")

    native = _core().Session(data, host=no_host)
    return [str(name) for name in native.inexact(trial_shapes(native))]


def _described(item: Any, constant: bool) -> Any:
    """What `single_step` takes for an input: constants as they are, others as (dtype, dims)."""
    if item is None or isinstance(item, tuple) or constant:
        return item
    return _NAMES[item.dtype.name], item.shape


# numpy's names of the element types that kernels take.
_NAMES = {
    "bool": "bool",
    "uint8": "u8",
    "int8": "s8",
    "uint16": "u16",
    "int16": "s16",
    "uint32": "u32",
    "int32": "s32",
    "uint64": "u64",
    "int64": "s64",
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
}


class Kernel:
    """One step, bound: calls it with arrays, and says which rows could compute it.

    Args:
        family: name of the family.
        inputs: see `Operands`; arrays become constants where `constants` says so.
        outputs: (dtype, dims) of each; None where an optional one is not wanted.
        attributes: by name; floats as float.
        constants: indices of inputs whose arrays are known at bind time; None means those that the
            family declares as parameters.
        row: a row's name or a part of it; only such rows are taken.
        isa: preset to restrict the CPU to; empty for none.
        threads: of a call.

    Raises:
        ArgumentError, ShapeError, DTypeError: the family refuses the problem.
        UnsupportedError: no row computes it.
    """

    def __init__(
        self,
        family: str,
        inputs: Operands,
        outputs: Sequence[tuple[str, Sequence[int]] | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        constants: Sequence[int] | None = None,
        row: str = "",
        isa: str = "",
        threads: int = 1,
    ) -> None:
        if constants is None:
            constants = _parameters(family, len(inputs))
        known = [index in constants for index in range(len(inputs))]
        described = [_described(item, fixed) for item, fixed in zip(inputs, known, strict=True)]
        self._feeds = [
            item
            for item, fixed in zip(inputs, known, strict=True)
            if item is not None and not fixed and not isinstance(item, tuple)
        ]
        self._native = _core().single_step(
            family,
            dict(attributes or {}),
            described,
            list(outputs),
            row=row,
            isa=isa,
            threads=threads,
        )

    @property
    def step(self) -> StepInfo:
        """The step as it was bound: its row, and every candidate with cost and reason."""
        return next(s for s in step_infos(self._native.steps()) if s.family != "" and s.name != "")

    def __call__(self, *inputs: Array) -> list[Array]:
        """Runs it on the inputs that are no constants; by default those it was made with."""
        results: list[Array] = self._native.run(list(inputs) or self._feeds)
        return results

    def loop(self, *inputs: Array) -> Callable[[], None]:
        """The fastest way to run it again and again on the same arrays, for timing."""
        run: Callable[[], None] = self._native.bind(list(inputs) or self._feeds).run
        return run

    def step_ns(self, runs: int = 15) -> float:
        """Median time of the step alone: without the call and conversions of form around it.

        It is the time of a second run on the same operands, so that a conversion that has just
        filled the caches with its writes is not part of it either.
        """
        times = []
        for _ in range(runs):
            steps = self._native.profile(self._feeds, 1, again=True)
            times.append(next(s["ns"] for s in steps if s["family"] != "" and s["name"] != ""))
        return float(statistics.median(times))


def _parameters(family: str, count: int) -> list[int]:
    specs = families()[family].inputs if family in families() else ()
    return [index for index in range(count) if index < len(specs) and specs[index].parameter]


def call(
    family: str,
    inputs: Operands,
    attributes: Mapping[str, Any] | None = None,
    *,
    outputs: Sequence[tuple[str, Sequence[int]] | None],
    constants: Sequence[int] | None = None,
    isa: str | None = None,
    row: str | None = None,
    threads: int = 1,
) -> list[Array]:
    """Computes one step on arrays; see `Kernel` for the arguments."""
    kernel = Kernel(
        family,
        inputs,
        outputs,
        attributes,
        constants=constants,
        row=row or "",
        isa=isa or "",
        threads=threads,
    )
    return kernel()


def rows_for(
    family: str,
    inputs: Operands,
    attributes: Mapping[str, Any] | None = None,
    *,
    outputs: Sequence[tuple[str, Sequence[int]] | None],
    constants: Sequence[int] | None = None,
    isa: str | None = None,
) -> tuple[Candidate, ...]:
    """Every row of the family for this step: predicted time and why it was not taken."""
    kernel = Kernel(family, inputs, outputs, attributes, constants=constants, isa=isa or "")
    return kernel.step.candidates

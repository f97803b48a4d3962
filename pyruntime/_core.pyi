"""The compiled core: private, used by `pyruntime.session` and `pyruntime.kernels` only.

Dtype names are those of csrc/base/dtype.h. bf16 arrays are uint16; u4 and s4 arrays are uint8 and
int8, an element each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, overload

from numpy.typing import NDArray
from typing_extensions import Buffer

Array = NDArray[Any]
Dim = int | str

class AttributeInfo(TypedDict):
    name: str
    kind: str  # int, ints, float, text
    required: bool
    default: int | float | str | list[int]

class OperandInfo(TypedDict):
    name: str
    optional: bool
    variadic: bool
    parameter: bool

class FamilyInfo(TypedDict):
    name: str
    attributes: list[AttributeInfo]
    inputs: list[OperandInfo]
    outputs: list[OperandInfo]

class RowInfo(TypedDict):
    name: str
    family: str
    exactness: str  # E, D, F
    features: list[str]
    runnable: bool
    forms: str  # plain, channels_last, follow
    offset: str  # never, takes, gives
    alias: bool
    compressed: bool
    packing: str
    tile: tuple[int, int, int]

class CpuInfo(TypedDict):
    name: str
    features: list[str]
    presets: list[str]  # those that can run here, the least capable first
    best_preset: str
    cpus: int  # by affinity mask and control group

class StepInfo(TypedDict, total=False):
    step: int  # -1: a conversion of forms that bind inserted
    name: str
    family: str
    operator: str  # of a host step
    row: str  # empty for a host step
    exactness: str  # E, D, F, host
    alias: bool
    predicted_ns: float
    packed_bytes: int
    fast_share: float | None  # None from profile()
    density: float | None
    break_even: float | None  # None from profile()
    inputs: list[tuple[str, tuple[int, ...], str] | None]  # dtype, dims, form
    outputs: list[tuple[str, tuple[int, ...], str] | None]
    # row, predicted ns (-1: cannot run), why not ("" for the one taken)
    candidates: list[tuple[str, float, str]]
    ns: float  # profile() only: the mean time

class MemoryInfo(TypedDict):
    arena_bytes: int
    scratch_bytes: int
    packed_bytes: int
    decoded_bytes: int

class CancelToken:
    """Stops the runs that were given it, between two steps."""

    def __init__(self) -> None: ...
    def cancel(self) -> None: ...
    @property
    def cancelled(self) -> bool: ...

class Loop:
    """A session bound to fixed arrays, see Session.bind."""

    def run(self) -> None: ...
    @property
    def inputs(self) -> list[Array]: ...
    @property
    def outputs(self) -> dict[str, Array]: ...

class Session:
    """A loaded model.

    `host(step, inputs, outputs)` runs host steps: it fills the arrays of `outputs` and must keep
    none of them. Errors are those of pyruntime.errors.
    """

    def __init__(
        self,
        source: Any,  # a path, or a buffer with the file's bytes
        *,
        threads: int = 0,
        isa: str = "",
        verify: bool = True,
        mmap: bool = True,
        max_bytes: int = 0,
        row: str = "",  # rows whose name contains it are preferred
        costs: Sequence[tuple[str, float]] = [],  # row, measured / predicted
        host: Callable[[int, list[Array | None], list[Array]], None] | None = None,
    ) -> None: ...
    @overload
    def run(
        self,
        feeds: dict[str, Any],
        out: dict[str, Array] | Sequence[Array] | None = None,
        cancel: CancelToken | None = None,
    ) -> dict[str, Array]: ...
    @overload
    def run(
        self,
        feeds: Sequence[Any],
        out: dict[str, Array] | Sequence[Array] | None = None,
        cancel: CancelToken | None = None,
    ) -> list[Array]: ...
    def bind(
        self, feeds: Mapping[str, Any] | Sequence[Any], feedback: Mapping[str, str] = {}
    ) -> Loop: ...
    # Below, `shapes` are the dims of each input in order; None takes 1 for every symbol.
    def prepare(self, shapes: Sequence[Sequence[int]] | None = None) -> None: ...
    def steps(self, shapes: Sequence[Sequence[int]] | None = None) -> list[StepInfo]: ...
    def memory(self, shapes: Sequence[Sequence[int]] | None = None) -> MemoryInfo: ...
    def inexact(self, shapes: Sequence[Sequence[int]] | None = None) -> list[str]: ...
    def profile(
        self, feeds: dict[str, Any] | Sequence[Any], repeats: int = 1, again: bool = False
    ) -> list[StepInfo]: ...
    @property
    def inputs(self) -> list[tuple[str, str, tuple[Dim, ...]]]: ...  # name, dtype, dims
    @property
    def outputs(self) -> list[tuple[str, str, tuple[Dim, ...]]]: ...
    @property
    def threads(self) -> int: ...
    @property
    def program(self) -> bytes: ...

def families() -> list[FamilyInfo]: ...
def rows() -> list[RowInfo]: ...
def cpu() -> CpuInfo: ...
def crc32c(data: Buffer, crc: int = 0) -> int: ...
def packed_bytes() -> int: ...
def single_step(
    family: str,
    attributes: Mapping[str, int | float | str | Sequence[int]],
    inputs: Sequence[Array | tuple[str, Array] | tuple[str, Sequence[int]] | None],
    outputs: Sequence[tuple[str, Sequence[int]] | None],
    *,
    row: str = "",
    isa: str = "",
    threads: int = 1,
) -> Session:
    """A session of one step, its inputs and outputs named "0", "1", ...

    An input is a constant (an array, or a dtype and an array), an activation (a dtype and dims) or
    absent. With `row` only rows whose name contains it are taken.
    """

__version__: str

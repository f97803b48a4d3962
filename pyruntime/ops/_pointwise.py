"""What operators share that work element by element: types, dtypes of kernels, chains of steps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.errors import DTypeError, UnsupportedError
from pyruntime.graph.dims import Dim, broadcast, dim_max, dim_min, lower_bound
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import check_same_dtype, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

Reference = Callable[[Any, Sequence["Array | None"], int], list[Array]]

# Dtypes of the `elementwise` family: everything f32; arithmetic and comparisons also s32 and s64.
FLOAT = frozenset({DType.F32})
NUMBERS = frozenset({DType.F32, DType.S32, DType.S64})
BOOLEAN = frozenset({DType.BOOL})


class UndecidedError(UnsupportedError):
    """A question about symbolic dimensions whose answer depends on their sizes."""


def read_plain(node: OnnxNode) -> tuple[None, list[Value | None]]:
    """The reader of operators without attributes."""
    return None, list(node.inputs)


def read_legacy_broadcast(node: OnnxNode) -> tuple[None, list[Value | None]]:
    """Binary operators before opset 7: `axis` says where the dims of b begin within those of a."""
    a, b = required(node.inputs, 0), required(node.inputs, 1)
    axis = node.attributes.get("axis")
    if not node.attributes.get("broadcast") or axis is None:
        return None, [a, b]
    trailing = len(a.dims) - (axis + len(a.dims) if axis < 0 else axis) - len(b.dims)
    if trailing <= 0:
        return None, [a, b]
    if b.constant is None:
        raise UnsupportedError(
            f"{node.where}: broadcasting along axis={axis} of opset 6 needs a constant second "
            "input; convert the model with onnx.version_converter"
        )
    return None, [a, node.constant(b.constant.reshape(b.constant.shape + (1,) * trailing))]


def infer_same(attributes: Any, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    """The type of the first input."""
    x = required(inputs, 0)
    return [ValueType(x.dtype, x.dims)]


def infer_bool(attributes: Any, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    """The dims of the first input, as bool."""
    return [ValueType(DType.BOOL, required(inputs, 0).dims)]


def infer_broadcast(
    attributes: Any, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    """One common dtype; the dims of all inputs broadcast."""
    dtype = check_same_dtype(inputs, *range(len(inputs)))
    return [ValueType(dtype, broadcast(*(v.dims for v in inputs if v is not None)))]


def infer_compare(attributes: Any, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    """One common dtype of the inputs; bool, broadcast."""
    return [ValueType(DType.BOOL, infer_broadcast(attributes, inputs, outputs)[0].dims)]


def infer_logical(attributes: Any, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    """Bool in, bool out."""
    result = infer_compare(attributes, inputs, outputs)
    if required(inputs, 0).dtype is not DType.BOOL:
        raise DTypeError(f"inputs are {required(inputs, 0).dtype} but must be bool; cast them")
    return result


def quiet(reference: Reference) -> Reference:
    """The reference without numpy's warnings: Inf, NaN and wrapped integers are results here."""

    @functools.wraps(reference)
    def wrapped(attributes: Any, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
        with np.errstate(all="ignore"):
            return reference(attributes, inputs, outputs)

    return wrapped


def widened(function: Callable[..., Any], x: Array, *others: Any) -> Array:
    """function(x, ...) in the dtype of x; half types are computed in single and rounded once."""
    if x.dtype.itemsize == 2 and x.dtype.kind not in "iu":
        halves = [np.asarray(other, np.float32) for other in others]
        return np.asarray(function(x.astype(np.float32), *halves)).astype(x.dtype)
    return np.asarray(function(x, *(np.asarray(other, x.dtype) for other in others)), x.dtype)


def lower_elementwise(
    operation: str, dtypes: frozenset[DType], names: Sequence[str] = ()
) -> Callable[[Node, Lowering], None]:
    """One `elementwise` step where the first input has a native dtype, else a host step.

    Args:
        operation: the family's `op`.
        dtypes: of the operands, all alike.
        names: attributes of the operator that become alpha and beta, in this order.
    """

    def lower(node: Node, lowering: Lowering) -> None:
        if required(node.inputs, 0).dtype not in dtypes:
            lowering.host(node)
            return
        found = {
            label: float(getattr(node.attributes, name))
            for label, name in zip(("alpha", "beta"), names, strict=False)
        }
        lowering.step("elementwise", node.inputs, node.outputs, op=operation, **found)

    return lower


def scalar(lowering: Lowering, number: float, dtype: DType = DType.F32) -> Value:
    """A constant operand that broadcasts to anything."""
    return lowering.constant(np.asarray(number, dtype.numpy))


def chain(lowering: Lowering, node: Node, *steps: tuple[str, Sequence[Any]]) -> None:
    """A list of `elementwise` steps on values of the node's output type.

    Args:
        lowering: where to write.
        node: its only output is what the last step makes.
        steps: (op, operands); an operand is a Value, or an int: the result of that earlier step.
    """
    y = node.outputs[0]
    results: list[Value] = []
    for position, (operation, operands) in enumerate(steps):
        last = position == len(steps) - 1
        result = y if last else lowering.temporary(y.dtype, y.dims)
        inputs = [results[x] if isinstance(x, int) else x for x in operands]
        lowering.step("elementwise", inputs, [result], op=operation)
        results.append(result)


def float_cases(attributes: Any = None, *, positive: bool = False) -> tuple[Case, ...]:
    """The cases of an operator on one float input: odd sizes, none, a scalar, special values."""
    special = np.asarray([0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, -1.5, 2.5, 88.0], np.float32)
    x = example(3, 5, 7)
    x = np.abs(x) + np.float32(0.01) if positive else x
    return (
        Case("odd", attributes, (x,)),
        Case("empty", attributes, (example(0, 3),)),
        Case("scalar", attributes, (np.asarray(0.75, np.float32),)),
        Case("special", attributes, (special,)),
        Case("f16", attributes, (x.astype(np.float16),)),
        Case("f64", attributes, (x.astype(np.float64),)),
    )


def _equal(a: Dim, b: Dim) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    if a == b:
        return True
    if not _less(a, b, undecided=False) and not _less(b, a, undecided=False):
        raise UndecidedError(f"whether {a} equals {b} depends on the input's dimensions")
    return False


def _less(a: Dim, b: Dim, *, undecided: bool = True) -> bool:
    bound = lower_bound(b - a)
    if bound is not None and bound > 0:
        return True
    bound = lower_bound(a - b)
    if undecided and (bound is None or bound < 0):
        raise UndecidedError(f"whether {a} is below {b} depends on the input's dimensions")
    return False


def _or_equal(a: Dim, b: Dim) -> bool:
    return not _less(b, a)


def _divide(a: Dim, b: Dim) -> Dim:
    """Truncates as C for known numbers; expressions are sizes, hence not negative."""
    if isinstance(a, int) and isinstance(b, int):
        if b == 0:
            return 0
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return a // b


def _remainder(a: Dim, b: Dim) -> Dim:
    return a - (a // b) * b


def _same(function: Callable[[Any, Any], Any]) -> Any:
    return np.frompyfunc(function, 2, 1)


# How the elements of shape arithmetic (object arrays of dims) are combined.
DIM_FUNCTIONS: dict[str, Any] = {
    "equal": _same(_equal),
    "less": _same(_less),
    "less_equal": _same(_or_equal),
    "greater": _same(lambda a, b: _less(b, a)),
    "greater_equal": _same(lambda a, b: _or_equal(b, a)),
    "div": _same(_divide),
    "mod": _same(_remainder),
    "max": _same(dim_max),
    "min": _same(dim_min),
}


def is_symbolic(*arrays: Array) -> bool:
    """Whether this is shape arithmetic: some array holds dims."""
    return any(array.dtype == object for array in arrays)


def combine(name: str, ufunc: Any, a: Array, b: Array) -> Array:
    """ufunc(a, b), or its counterpart for dims where an operand is an object array."""
    if is_symbolic(a, b):
        return np.asarray(DIM_FUNCTIONS.get(name, ufunc)(a, b), dtype=object)
    return np.asarray(ufunc(a, b))

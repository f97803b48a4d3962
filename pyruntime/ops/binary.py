"""Arithmetic of two inputs that broadcast: the operators differ by one expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.graph.dims import broadcast
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._pointwise import (
    NUMBERS,
    combine,
    infer_broadcast,
    is_symbolic,
    lower_elementwise,
    quiet,
    read_legacy_broadcast,
    read_plain,
)

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class ModAttributes:
    """`fmod`: the remainder has the sign of the dividend (as C), else of the divisor."""

    fmod: bool = False


@dataclass(frozen=True, slots=True)
class BitShiftAttributes:
    """`direction` is LEFT or RIGHT."""

    direction: str = "LEFT"


def truncating_divide(a: Array, b: Array) -> Array:
    """Integers truncate towards zero as in C, and x / 0 = 0; floats divide."""
    if np.result_type(a, b).kind not in "iu" or a.dtype.kind not in "iu":
        return np.asarray(a / b)
    return np.where(b == 0, 0, (a - np.fmod(a, b)) // b).astype(a.dtype)


def _numbers(lo: int = -100) -> tuple[Case, ...]:
    nonzero = example_ints(5, lo=1, hi=9, dtype=np.int64, seed=1)
    return (
        Case("same", None, (example(3, 5, 7), example(3, 5, 7, seed=1))),
        Case("broadcast", None, (example(3, 1, 7), example(5, 1, seed=1))),
        Case("scalar", None, (np.asarray(2.5, np.float32), example(3, 5, seed=1))),
        Case("empty", None, (example(0, 5), example(1, 5))),
        Case("channels", None, (example(2, 3, 4, 5), example(3, 1, 1, seed=2))),
        Case("s64", None, (example_ints(3, 5, lo=lo, hi=100, dtype=np.int64), nonzero)),
        Case("s32", None, tuple(x.astype(np.int32) for x in (nonzero + lo, nonzero))),
        Case("u8", None, tuple(x.astype(np.uint8) for x in (nonzero * 20, nonzero))),
        Case("f16", None, tuple(example(4, seed=s).astype(np.float16) for s in range(2))),
    )


def _binary(name: str, operation: str, ufunc: Callable[[Array, Array], Any]) -> Operator:
    def reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
        return [combine(operation, ufunc, required(inputs, 0), required(inputs, 1))]

    return Operator(
        name=name,
        from_onnx={1: read_legacy_broadcast, 7: read_plain},
        infer=infer_broadcast,
        reference=quiet(reference),
        lower=lower_elementwise(operation, NUMBERS),
        shape_arithmetic=True,
        cases=_numbers(),
    )


ADD = _binary("Add", "add", np.add)
SUB = _binary("Sub", "sub", np.subtract)
MUL = _binary("Mul", "mul", np.multiply)
DIV = _binary("Div", "div", truncating_divide)


def _infer_pow(attributes: None, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    a, b = required(inputs, 0), required(inputs, 1)
    return [ValueType(a.dtype, broadcast(a.dims, b.dims))]


def _pow(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    a, b = required(inputs, 0), required(inputs, 1)
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        exact = np.power(a, np.maximum(b, 0).astype(a.dtype))
        return [np.where(b < 0, np.power(a.astype(np.float64), b), exact).astype(a.dtype)]
    wide = np.float64 if a.dtype.kind in "iu" or a.dtype.itemsize == 8 else np.float32
    return [np.asarray(np.power(a.astype(wide), b.astype(wide))).astype(a.dtype)]


def _lower_pow(node: Node, lowering: Lowering) -> None:
    a, b = required(node.inputs, 0), required(node.inputs, 1)
    y = node.outputs[0]
    if a.dtype is not DType.F32 or b.dtype is not DType.F32:
        lowering.host(node)
        return
    exponent = (
        float(b.constant.reshape(())) if b.constant is not None and b.constant.size == 1 else 0
    )
    if exponent == 2.0 and y.dims == a.dims:
        lowering.step("elementwise", [a, a], [y], op="mul")
    elif exponent == 0.5 and y.dims == a.dims:
        lowering.step("elementwise", [a], [y], op="sqrt")
    else:
        lowering.step("elementwise", [a, b], [y], op="pow")


_BASES = np.abs(example(3, 5)) + np.float32(0.1)
POW = Operator(
    name="Pow",
    from_onnx={1: read_legacy_broadcast, 7: read_plain},
    infer=_infer_pow,
    reference=quiet(_pow),
    lower=_lower_pow,
    cases=(
        Case("floats", None, (_BASES, example(3, 5, seed=1))),
        Case("square", None, (example(3, 5), np.asarray([2.0], np.float32))),
        Case("broadcast", None, (_BASES[:, :1], example(5, seed=1))),
        Case("empty", None, (example(0, 5), example(5))),
        Case("s64", None, (example_ints(5, lo=-4, hi=4, dtype=np.int64), np.arange(5))),
        Case("s32-f32", None, (np.arange(4, dtype=np.int32), example(4))),
    ),
)


def _read_mod(node: OnnxNode) -> tuple[ModAttributes, list[Value | None]]:
    return ModAttributes(bool(node.attributes.get("fmod", 0))), list(node.inputs)


def _mod(attributes: ModAttributes, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    a, b = required(inputs, 0), required(inputs, 1)
    if is_symbolic(a, b):
        return [combine("mod", np.mod, a, b)]
    function = np.fmod if attributes.fmod else np.mod
    if a.dtype.itemsize == 2 and a.dtype.kind not in "iu":
        wide = function(a.astype(np.float32), b.astype(np.float32))
        return [np.asarray(wide).astype(a.dtype)]
    return [np.asarray(function(a, b))]


_SIGNED = (example_ints(9, dtype=np.int64), example_ints(9, lo=1, hi=9, dtype=np.int64, seed=1))
MOD = Operator(
    name="Mod",
    attributes=ModAttributes,
    from_onnx={10: _read_mod},
    infer=infer_broadcast,
    reference=quiet(_mod),
    shape_arithmetic=True,
    cases=(
        Case("s64", ModAttributes(), _SIGNED),
        Case("negative", ModAttributes(), (_SIGNED[0], -_SIGNED[1])),
        Case("fmod", ModAttributes(fmod=True), (example(3, 5), example(5, seed=1))),
        Case("fmod-s32", ModAttributes(fmod=True), tuple(x.astype(np.int32) for x in _SIGNED)),
        Case("empty", ModAttributes(), (_SIGNED[0][:0], _SIGNED[1][:1])),
    ),
)


def _shift(
    attributes: BitShiftAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    a, b = required(inputs, 0), required(inputs, 1)
    # Beyond the width numpy goes on as step by step: zeros come in, or the sign from the left.
    return [np.asarray((np.left_shift if attributes.direction == "LEFT" else np.right_shift)(a, b))]


BIT_SHIFT = Operator(
    name="BitShift",
    attributes=BitShiftAttributes,
    from_onnx={
        11: lambda node: (
            BitShiftAttributes(str(node.attributes["direction"])),
            list(node.inputs),
        )
    },
    infer=infer_broadcast,
    reference=quiet(_shift),
    cases=tuple(
        Case(
            direction,
            BitShiftAttributes(direction),
            (np.arange(9, dtype=np.uint8) * 25, np.arange(9, dtype=np.uint8)),
        )
        for direction in ("LEFT", "RIGHT")
    ),
)
OPERATORS: tuple[Operator, ...] = (ADD, SUB, MUL, DIV, POW, MOD, BIT_SHIFT)

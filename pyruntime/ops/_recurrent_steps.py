"""Lowering of LSTM and GRU: one product of all inputs, then the time steps, for each direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyruntime.graph.types import DType
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Lowering

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Node, Value

_GATES = {"LSTM": 4, "GRU": 3}


def is_native(node: Node, defaults: Sequence[str], directions: int) -> bool:
    """Whether the kernels know this variant: f32, constant weights, the usual activations."""
    attributes = node.attributes
    names = [name.lower() for name in attributes.activations]
    if names and names != [d.lower() for d in defaults] * directions:
        return False
    parameters = [optional(node.inputs, index) for index in (1, 2, 3, 7)]
    constant = all(value is None or value.constant is not None for value in parameters)
    return constant and required(node.inputs, 0).dtype is DType.F32


def _bias(node: Node, d: int, gates: int, hidden: int) -> tuple[Array, Array | None]:
    """(what the gates get, what the recurrent part of a GRU's candidate gets)."""
    value = optional(node.inputs, 3)
    both = np.zeros((2, gates, hidden), np.float32)
    if value is not None and value.constant is not None:
        both = value.constant[d].reshape(2, gates, hidden)
    total = both[0] + both[1]
    inner = None
    if node.operator.name == "GRU" and node.attributes.linear_before_reset:
        total[2], inner = both[0, 2], both[1, 2]
    return total.reshape(-1), inner


def _state(
    lowering: Lowering, value: Value | None, d: int, dims: tuple[Dim, ...], axis: int
) -> Value | None:
    """[N, H] of direction d of an initial state, [D, N, H] or [N, D, H]: `axis` is that of D."""
    if value is None:
        return None
    if value.constant is not None:
        return lowering.constant(value.constant.take(d, axis))
    part = value
    if value.dims[axis] != 1:
        part = lowering.temporary(DType.F32, (*dims[:axis], 1, *dims[axis:]))
        starts = [d if i == axis else 0 for i in range(3)]
        lowering.step("slice", [value], [part], starts=starts)
    state = lowering.temporary(DType.F32, dims)
    lowering.step("reshape", [part], [state])
    return state


def _swapped(lowering: Lowering, value: Value) -> Value:
    """Time and batch, the first two axes, exchanged."""
    first, second, last = value.dims
    result = lowering.temporary(DType.F32, (second, first, last))
    lowering.step("transpose", [value], [result], perm=[1, 0, 2])
    return result


def _join(lowering: Lowering, parts: Sequence[Value], axis: int, output: Value) -> None:
    """Writes the output from one part per direction, which lack the axis of directions."""
    if len(parts) == 1:
        lowering.step("reshape", parts, [output])
        return
    dims = tuple(1 if i == axis else dim for i, dim in enumerate(output.dims))
    shaped = [lowering.temporary(DType.F32, dims) for _ in parts]
    for part, value in zip(parts, shaped, strict=True):
        lowering.step("reshape", [part], [value])
    lowering.step("concat", shaped, [output], axis=axis)


def lower_recurrent(node: Node, lowering: Lowering, backward: Sequence[bool]) -> None:
    """Writes the steps of an LSTM or GRU for which `is_native` holds."""
    x, w, r = (required(node.inputs, index) for index in range(3))
    lengths, h0, c0, peepholes = (optional(node.inputs, index) for index in range(4, 8))
    assert w.constant is not None
    assert r.constant is not None
    lstm, gates = node.operator.name == "LSTM", _GATES[node.operator.name]
    hidden = int(r.constant.shape[2])
    batch_first = node.attributes.batch_first
    if batch_first:
        x = _swapped(lowering, x)
    steps, batch = x.dims[:2]
    state = (batch, hidden)
    results: list[list[Value]] = []
    for d, reverse in enumerate(backward):
        bias, inner = _bias(node, d, gates, hidden)
        projected = lowering.temporary(DType.F32, (steps, batch, gates * hidden))
        operands = [x, lowering.constant(w.constant[d]), lowering.constant(bias)]
        lowering.step("gemm", operands, [projected], trans_b=True)
        made = [lowering.temporary(DType.F32, (steps, *state))]
        made += [lowering.temporary(DType.F32, state) for _ in range(2 if lstm else 1)]
        start = _state(lowering, h0, d, state, int(batch_first))
        common: dict[str, Any] = {"reverse": reverse, "clip": node.attributes.clip}
        weights = lowering.constant(r.constant[d])
        if lstm:
            cells = _state(lowering, c0, d, state, int(batch_first))
            peep = None
            if peepholes is not None and peepholes.constant is not None:
                peep = lowering.constant(peepholes.constant[d])
            lowering.step(
                "lstm",
                [projected, weights, start, cells, peep, lengths],
                made,
                input_forget=node.attributes.input_forget,
                **common,
            )
        else:
            shift = None if inner is None else lowering.constant(inner)
            lowering.step(
                "gru",
                [projected, weights, shift, start, lengths],
                made,
                linear_before_reset=node.attributes.linear_before_reset,
                **common,
            )
        results.append(made)
    for i, output in enumerate(node.outputs):
        parts = [made[i] for made in results]
        if i == 0 and batch_first:
            parts = [_swapped(lowering, part) for part in parts]
        # y [T, D, N, H], states [D, N, H]; or y [N, T, D, H], states [N, D, H].
        axis = (1 if i == 0 else 0) + int(batch_first)
        _join(lowering, parts, axis, output)

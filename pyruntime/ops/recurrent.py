"""RNN, GRU and LSTM: one layer, one or two directions, vectorised over the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ArgumentError, ShapeError
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._gates import Activation, activation_functions
from pyruntime.ops._inputs import check_same_dtype, optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._recurrent_steps import is_native, lower_recurrent

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Node, Value

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True, slots=True)
class RecurrentAttributes:
    """Inputs: x, w, r, b?, sequence_lens? s32 [N], h0?, c0? (LSTM), peepholes? (LSTM).

    x [T, N, I]; w [D, G*H, I]; r [D, G*H, H]; b [D, 2*G*H]; h0, c0 [D, N, H]; peepholes [D, 3*H];
    D directions, G gates. Outputs: y [T, D, N, H], last h [D, N, H], last c [D, N, H] (LSTM).

    Attributes:
        direction: forward, reverse or bidirectional.
        activations: ONNX names, for each direction in turn; empty: the operator's own.
        alphas: consumed in order by the activations that take alpha.
        betas: consumed in order by the activations that take beta.
        clip: bound of the activations' inputs.
        batch_first: x, h0, c0 and outputs start with the batch (layout=1).
        linear_before_reset: GRU: the reset gate applies behind the matrix product.
        input_forget: LSTM: the forget gate is 1 - the input gate.
    """

    direction: str = "forward"
    activations: tuple[str, ...] = ()
    alphas: tuple[float, ...] = ()
    betas: tuple[float, ...] = ()
    clip: float = inf
    batch_first: bool = False
    linear_before_reset: bool = False
    input_forget: bool = False


def _from_onnx(node: OnnxNode) -> tuple[RecurrentAttributes, list[Value | None]]:
    found = node.attributes
    direction = str(found.get("direction", "forward"))
    if direction not in DIRECTIONS:
        raise ArgumentError(f"{node.where}: direction '{direction}' is not in {list(DIRECTIONS)}")
    attributes = RecurrentAttributes(
        direction=direction,
        activations=tuple(found.get("activations", ())),
        alphas=tuple(float(a) for a in found.get("activation_alpha", ())),
        betas=tuple(float(b) for b in found.get("activation_beta", ())),
        clip=float(found.get("clip", inf)),
        batch_first=bool(found.get("layout", 0)),
        linear_before_reset=bool(found.get("linear_before_reset", 0)),
        input_forget=bool(found.get("input_forget", 0)),
    )
    return attributes, list(node.inputs)


def _infer(
    attributes: RecurrentAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    dtype = check_same_dtype(inputs, 0, 1, 2, 3, 5, 6, 7)
    x, r = required(inputs, 0), required(inputs, 2)
    if len(x.dims) != 3 or len(r.dims) != 3:
        raise ShapeError(f"x has dims {list(x.dims)} and r {list(r.dims)}; both need three")
    steps, batch = (x.dims[1], x.dims[0]) if attributes.batch_first else (x.dims[0], x.dims[1])
    directions, hidden = len(DIRECTIONS[attributes.direction]), r.dims[2]
    y: tuple[Dim, ...] = (steps, directions, batch, hidden)
    last: tuple[Dim, ...] = (directions, batch, hidden)
    if attributes.batch_first:
        y, last = (batch, steps, directions, hidden), (batch, directions, hidden)
    return [ValueType(dtype, y), ValueType(dtype, last), ValueType(dtype, last)][: max(outputs, 1)]


@dataclass(frozen=True, slots=True)
class _Cell:
    """The parameters of one direction."""

    r: Array  # [G*H, H]
    bias: Array  # [2, G, H]: of x, of h
    peepholes: Array  # [3, H]: input, output, forget
    functions: list[Activation]
    attributes: RecurrentAttributes

    def clipped(self, x: Array) -> Array:
        clip = self.attributes.clip
        return x if clip == inf else np.clip(x, -clip, clip)


# (cell, projected x [N, G, H], h, c) -> (h, c)
Step = Callable[[_Cell, Array, Array, Array], tuple[Array, Array]]


def _recurrence(cell: _Cell, h: Array) -> Array:
    """H times r, [N, G, H]."""
    return (h @ cell.r.T).reshape(h.shape[0], -1, h.shape[1])


def _rnn_step(cell: _Cell, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    total = x + _recurrence(cell, h) + cell.bias.sum(0)
    return cell.functions[0](cell.clipped(total[:, 0])), c


def _gru_step(cell: _Cell, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    f, g = cell.functions
    hidden = h.shape[1]
    update, reset, candidate = (cell.r[i * hidden : (i + 1) * hidden] for i in range(3))
    both = cell.bias.sum(0)
    z = f(cell.clipped(x[:, 0] + h @ update.T + both[0]))
    r = f(cell.clipped(x[:, 1] + h @ reset.T + both[1]))
    if cell.attributes.linear_before_reset:
        inner = r * (h @ candidate.T + cell.bias[1, 2])
    else:
        inner = (r * h) @ candidate.T + cell.bias[1, 2]
    n = g(cell.clipped(x[:, 2] + inner + cell.bias[0, 2]))
    return (1 - z) * n + z * h, c


def _lstm_step(cell: _Cell, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    f, g, out = cell.functions
    total = x + _recurrence(cell, h) + cell.bias.sum(0)
    enter = f(cell.clipped(total[:, 0] + cell.peepholes[0] * c))
    forget = f(cell.clipped(total[:, 2] + cell.peepholes[2] * c))
    if cell.attributes.input_forget:
        forget = 1 - enter
    c = forget * c + enter * g(cell.clipped(total[:, 3]))
    leave = f(cell.clipped(total[:, 1] + cell.peepholes[1] * c))
    return leave * out(c), c


def _run_direction(
    cell: _Cell,
    step: Step,
    projected: Array,
    states: tuple[Array, Array],
    lengths: Array,
    backward: bool,
) -> tuple[Array, Array, Array]:
    """(y [T, N, H], last h, last c). A sequence that has ended keeps its state and gives zeros."""
    h, c = states
    y = np.zeros((projected.shape[0], *h.shape), h.dtype)
    times = range(projected.shape[0])
    for t in reversed(times) if backward else times:
        live = (lengths > t)[:, None]
        new_h, new_c = step(cell, projected[t], h, c)
        y[t] = np.where(live, new_h, 0)
        h, c = np.where(live, new_h, h), np.where(live, new_c, c)
    return y, h, c


def _run(
    step: Step,
    gates: int,
    defaults: Sequence[str],
    attributes: RecurrentAttributes,
    inputs: Sequence[Array | None],
) -> list[Array]:
    x, w, r = required(inputs, 0), required(inputs, 1), required(inputs, 2)
    bias, lengths, h0, c0, peepholes = (optional(inputs, index) for index in range(3, 8))
    dtype = x.dtype
    compute = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    x, w, r = (array.astype(compute) for array in (x, w, r))
    if attributes.batch_first:
        x = x.swapaxes(0, 1)
    steps, batch = x.shape[:2]
    hidden = r.shape[2]
    backward = DIRECTIONS[attributes.direction]
    shape = (len(backward), batch, hidden)
    if attributes.batch_first:
        h0, c0 = (None if s is None else s.swapaxes(0, 1) for s in (h0, c0))
    h_start, c_start = (
        np.zeros(shape, compute) if s is None else s.astype(compute) for s in (h0, c0)
    )
    names = attributes.activations or tuple(defaults) * len(backward)
    functions = activation_functions(names, attributes.alphas, attributes.betas)
    per_direction = len(functions) // len(backward)
    alive = np.full(batch, steps) if lengths is None else lengths
    results = []
    for d, reverse in enumerate(backward):
        cell = _Cell(
            r=r[d],
            bias=_or_zeros(bias, d, (2, gates, hidden), compute),
            peepholes=_or_zeros(peepholes, d, (3, hidden), compute),
            functions=functions[d * per_direction : (d + 1) * per_direction],
            attributes=attributes,
        )
        projected = (x @ w[d].T).reshape(steps, batch, gates, hidden)
        states = (h_start[d], c_start[d])
        results.append(_run_direction(cell, step, projected, states, alive, reverse))
    y = np.stack([result[0] for result in results], axis=1)
    last = [np.stack([result[i] for result in results]) for i in (1, 2)]
    if attributes.batch_first:
        y, last = y.transpose(2, 0, 1, 3), [state.swapaxes(0, 1) for state in last]
    return [np.ascontiguousarray(array.astype(dtype)) for array in (y, *last)]


def _or_zeros(
    parameter: Array | None, d: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> Array:
    return (
        np.zeros(shape, dtype) if parameter is None else parameter[d].astype(dtype).reshape(shape)
    )


def _operator(
    name: str, step: Step, gates: int, defaults: Sequence[str], cases: tuple[Case, ...]
) -> Operator:
    def reference(
        attributes: RecurrentAttributes, inputs: Sequence[Array | None], outputs: int
    ) -> list[Array]:
        return _run(step, gates, defaults, attributes, inputs)[: max(outputs, 1)]

    def lower(node: Node, lowering: Lowering) -> None:
        backward = DIRECTIONS[node.attributes.direction]
        if name != "RNN" and is_native(node, defaults, len(backward)):
            lower_recurrent(node, lowering, backward)
        else:
            lowering.host(node)

    from_onnx: Mapping[int, Callable[[OnnxNode], tuple[RecurrentAttributes, list[Value | None]]]]
    from_onnx = {1: _from_onnx}
    return Operator(
        name=name,
        attributes=RecurrentAttributes,
        from_onnx=from_onnx,
        infer=_infer,
        reference=reference,
        lower=lower,
        cases=cases,
    )


def _parameters(gates: int, directions: int = 1) -> tuple[Array, Array, Array]:
    """w, r, b for 3 inputs and 5 hidden."""
    return (
        example(directions, gates * 5, 3, seed=1) * np.float32(0.5),
        example(directions, gates * 5, 5, seed=2) * np.float32(0.5),
        example(directions, gates * 10, seed=3),
    )


def _cases(gates: int, outputs: int) -> tuple[Case, ...]:
    lengths = np.asarray([4, 2], np.int32)
    return (
        Case("forward", RecurrentAttributes(), (example(4, 2, 3), *_parameters(gates)), outputs),
        Case(
            "reverse-lengths",
            RecurrentAttributes("reverse"),
            (example(4, 2, 3), *_parameters(gates), lengths),
            outputs,
        ),
        Case(
            "bidirectional-clip",
            RecurrentAttributes("bidirectional", clip=0.4),
            (example(4, 2, 3), *_parameters(gates, 2)),
            outputs,
        ),
        Case(
            "batch-first",
            RecurrentAttributes(batch_first=True),
            (example(2, 4, 3), *_parameters(gates)[:2]),
            outputs,
        ),
        Case(
            "batch-first-bidirectional-state",
            RecurrentAttributes("bidirectional", batch_first=True),
            (example(2, 4, 3), *_parameters(gates, 2), lengths, example(2, 2, 5, seed=5)),
            outputs,
        ),
        Case("no-steps", RecurrentAttributes(), (example(0, 2, 3), *_parameters(gates)), outputs),
    )


RNN = _operator("RNN", _rnn_step, 1, ("Tanh",), _cases(1, 2))
GRU = _operator(
    "GRU",
    _gru_step,
    3,
    ("Sigmoid", "Tanh"),
    (
        *_cases(3, 2),
        Case(
            "linear-before-reset",
            RecurrentAttributes(linear_before_reset=True),
            (example(4, 2, 3), *_parameters(3)),
        ),
    ),
)
LSTM = _operator(
    "LSTM",
    _lstm_step,
    4,
    ("Sigmoid", "Tanh", "Tanh"),
    (
        *_cases(4, 3),
        Case(
            "bidirectional-states-peepholes",
            RecurrentAttributes("bidirectional", clip=0.9, input_forget=True),
            (
                example(4, 2, 3),
                *_parameters(4, 2),
                np.asarray([4, 2], np.int32),
                example(2, 2, 5),
                example(2, 2, 5, seed=5),
                example(2, 15, seed=6),
            ),
            3,
        ),
        Case(
            "states-peepholes-coupled",
            RecurrentAttributes(
                input_forget=True, activations=("HardSigmoid", "ScaledTanh", "Relu")
            ),
            (
                example(4, 2, 3),
                *_parameters(4),
                None,
                example(1, 2, 5),
                example(1, 2, 5, seed=5),
                example(1, 15, seed=6),
            ),
        ),
    ),
)
OPERATORS: tuple[Operator, ...] = (RNN, GRU, LSTM)

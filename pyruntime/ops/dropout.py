"""Dropout of inference: y is x, and the mask is all true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import UnsupportedError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


def _from_onnx(node: OnnxNode) -> tuple[None, list[Value | None]]:
    training, ratio = optional(node.inputs, 2), optional(node.inputs, 1)
    constant = training is None or training.constant is not None
    on = training is not None and (training.constant is None or bool(training.constant.any()))
    never = ratio is not None and ratio.constant is not None and not ratio.constant.any()
    if on and not (never and constant):
        raise UnsupportedError(f"{node.where}: training_mode is on; export the model for inference")
    return None, [required(node.inputs, 0)]


def _infer(attributes: None, inputs: Sequence[Value | None], outputs: int) -> list[ValueType]:
    x = required(inputs, 0)
    return [ValueType(x.dtype, x.dims), ValueType(DType.BOOL, x.dims)][:outputs]


def _reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    x = required(inputs, 0)
    return [x, np.ones(x.shape, bool)][:outputs]


def _lower(node: Node, lowering: Lowering) -> None:
    lowering.step("reshape", node.inputs, node.outputs[:1])
    if len(node.outputs) > 1:
        lowering.step("fill", [lowering.constant(np.ones(1, bool))], node.outputs[1:])


DROPOUT = Operator(
    name="Dropout",
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=(
        Case("plain", None, (example(3, 5),)),
        Case("mask", None, (example(3, 5),), outputs=2),
        Case("empty", None, (example(0, 5),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (DROPOUT,)

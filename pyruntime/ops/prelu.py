"""PRelu: y = slope * x below zero; the slope broadcasts to x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import UnsupportedError
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._pointwise import (
    FLOAT,
    infer_broadcast,
    lower_elementwise,
    quiet,
    read_plain,
)

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


def _from_channels(node: OnnxNode) -> tuple[None, list[Value | None]]:
    """Before opset 7 a slope [C] ran along the channels of x [N, C, spatial]."""
    x, slope = required(node.inputs, 0), required(node.inputs, 1)
    if len(slope.dims) != 1 or len(x.dims) <= 2:
        return None, [x, slope]
    if slope.constant is None:
        raise UnsupportedError(f"{node.where}: the slope must be constant before opset 7")
    return None, [x, node.constant(slope.constant.reshape(-1, *[1] * (len(x.dims) - 2)))]


def _reference(attributes: None, inputs: Sequence[Array | None], outputs: int) -> list[Array]:
    x, slope = required(inputs, 0), required(inputs, 1)
    return [np.where(x < 0, slope * x, x).astype(x.dtype, copy=False)]


PRELU = Operator(
    name="PRelu",
    from_onnx={1: _from_channels, 7: read_plain},
    infer=infer_broadcast,
    reference=quiet(_reference),
    lower=lower_elementwise("prelu", FLOAT),
    cases=(
        Case("same", None, (example(3, 5), example(3, 5, seed=1))),
        Case("channels", None, (example(2, 3, 5, 7), example(3, 1, 1, seed=1))),
        Case("scalar", None, (example(3, 5), np.asarray(0.1, np.float32))),
        Case("empty", None, (example(0, 5), example(5))),
        Case("s32", None, tuple(example_ints(4, dtype=np.int32, seed=s) for s in range(2))),
    ),
)
OPERATORS: tuple[Operator, ...] = (PRELU,)

"""Trilu: the upper or lower triangle of matrices, zeros elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.ops._examples import example
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, OnnxNode, Operator
from pyruntime.ops._pointwise import infer_same

if TYPE_CHECKING:
    from pyruntime.graph.graph import Value


@dataclass(frozen=True, slots=True)
class TriluAttributes:
    """Inputs: x [.., rows, columns], k? []: the diagonal where the triangle begins."""

    upper: bool = True


def _from_onnx(node: OnnxNode) -> tuple[TriluAttributes, list[Value | None]]:
    return TriluAttributes(bool(node.attributes.get("upper", 1))), list(node.inputs)


def _reference(
    attributes: TriluAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, k = required(inputs, 0), optional(inputs, 1)
    # Beyond the matrix all diagonals are alike, and numpy wants a small number.
    most = max(x.shape[-2:]) + 1
    diagonal = 0 if k is None else max(-most, min(most, int(k.reshape(()))))
    inside = (np.triu if attributes.upper else np.tril)(np.ones(x.shape[-2:], bool), diagonal)
    return [np.where(inside, x, np.zeros((), x.dtype))]


TRILU = Operator(
    name="Trilu",
    attributes=TriluAttributes,
    from_onnx={14: _from_onnx},
    infer=infer_same,
    reference=_reference,
    cases=(
        Case("upper", TriluAttributes(), (example(2, 5, 7),)),
        Case("lower", TriluAttributes(False), (example(5, 3), np.asarray(-1))),
        Case("far", TriluAttributes(), (example(5, 3), np.asarray(99))),
        Case("empty", TriluAttributes(), (example(0, 3),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (TRILU,)

"""Shape arithmetic at import: what small tensors hold, as far as dims and constants say.

Case 1: all inputs are known: the reference says what the outputs hold.
Case 2: some hold expressions: the reference runs on object arrays, if the operator allows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import PyruntimeError
from pyruntime.graph.dims import Expr
from pyruntime.graph.types import DType
from pyruntime.ops._operator import MAX_CONTENT, Array, content_of

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

# What a reference raises for elements it cannot compute with: comparing or indexing by expressions.
_UNKNOWN = (PyruntimeError, ValueError, TypeError, IndexError, ArithmeticError, AttributeError)

# Their results for whole floats are no whole numbers; on dims they divide as integers do.
_INTEGER_ONLY = frozenset({"Div", "Mod"})


def as_content(array: Array) -> NDArray[np.object_]:
    """The elements as Python objects."""
    plain = np.empty(array.shape, dtype=object)
    plain.reshape(-1)[:] = array.reshape(-1).tolist()
    return plain


def known_array(value: Value) -> Array | None:
    """The elements of a small value that do not depend on input dims, or None."""
    if value.constant is not None:
        return value.constant if value.constant.size <= MAX_CONTENT else None
    if value.content is None or any(isinstance(element, Expr) for element in value.content.flat):
        return None
    return value.content.astype(value.dtype.numpy)


def _symbolic(value: Value) -> Array | None:
    if value.dtype is DType.BOOL and value.constant is not None:
        return as_content(value.constant) if value.constant.size <= MAX_CONTENT else None
    return content_of(value)


def propagate_content(node: Node) -> None:
    """Sets the content of the node's outputs where it follows from its inputs.

    Floats may be expressions too, of whole numbers: exporters cast sizes to float and back. An
    operation whose result may be no whole number has none.

    Args:
        node: appended last, so its inputs have their content already.
    """
    size = 0
    for output in node.outputs:
        if output.content is not None or any(not isinstance(dim, int) for dim in output.dims):
            return
        size += int(np.prod([int(d) for d in output.dims if isinstance(d, int)], dtype=object))
    if size > MAX_CONTENT or all(value is None for value in node.inputs):
        return
    known = _arrays(node, known_array)
    symbolic = None
    fraction = node.operator.name in _INTEGER_ONLY and node.outputs[0].dtype.is_float
    if known is None and node.operator.shape_arithmetic and not fraction:
        symbolic = _arrays(node, _symbolic)
    arrays = known if known is not None else symbolic
    if arrays is None:
        return
    try:
        results = node.operator.reference(node.attributes, arrays, len(node.outputs))
    except _UNKNOWN:
        return
    for output, result in zip(node.outputs, results, strict=False):
        output.content = result if result.dtype == object else as_content(result)


def _arrays(node: Node, find: Callable[[Value], Array | None]) -> list[Array | None] | None:
    arrays: list[Array | None] = []
    for value in node.inputs:
        array = None if value is None else find(value)
        if value is not None and array is None:
            return None
        arrays.append(array)
    return arrays

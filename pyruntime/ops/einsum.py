"""Einsum: any equation by numpy; a product of two operands becomes one gemm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import broadcast, product
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example
from pyruntime.ops._inputs import check_same_dtype, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops._spatial import as_ints

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Node, Value

ELLIPSIS = "..."


@dataclass(frozen=True, slots=True)
class EinsumAttributes:
    """Inputs: one operand per term of the equation.

    Attributes:
        equation: as numpy writes it, without spaces.
    """

    equation: str


def _from_onnx(node: OnnxNode) -> tuple[EinsumAttributes, list[Value | None]]:
    return EinsumAttributes(str(node.attributes["equation"]).replace(" ", "")), list(node.inputs)


def _terms(equation: str) -> tuple[list[str], str]:
    """(terms of the operands, term of the output, made up where the equation has none)."""
    left, arrow, output = equation.partition("->")
    terms = left.split(",")
    if not arrow:
        letters = left.replace(ELLIPSIS, "").replace(",", "")
        single = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
        output = (ELLIPSIS if ELLIPSIS in left else "") + "".join(single)
    return terms, output


def _infer(
    attributes: EinsumAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    terms, output = _terms(attributes.equation)
    if len(terms) != len(inputs):
        raise ShapeError(f"'{attributes.equation}' has {len(terms)} terms for {len(inputs)} inputs")
    dtype = check_same_dtype(inputs, *range(len(inputs)))
    sizes: dict[str, Dim] = {}
    spread: list[tuple[Dim, ...]] = []
    for index, term in enumerate(terms):
        dims = required(inputs, index).dims
        before, dots, after = term.partition(ELLIPSIS)
        extra = len(dims) - len(before) - len(after)
        if extra < 0 or (extra and not dots):
            raise ShapeError(f"input {index} has dims {list(dims)}, but its term is '{term}'")
        spread.append(dims[len(before) : len(before) + extra])
        named = (*dims[: len(before)], *dims[len(before) + extra :])
        for letter, dim in zip(before + after, named, strict=True):
            (sizes[letter],) = broadcast((sizes.get(letter, 1),), (dim,))
    before, dots, after = output.partition(ELLIPSIS)
    unknown = set(before + after) - set(sizes)
    if unknown:
        raise ShapeError(f"the output of '{attributes.equation}' names unknown {sorted(unknown)}")
    middle = broadcast(*spread) if dots else ()
    return [ValueType(dtype, (*(sizes[c] for c in before), *middle, *(sizes[c] for c in after)))]


def _reference(
    attributes: EinsumAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    arrays = [required(inputs, index) for index in range(len(inputs))]
    dtype = arrays[0].dtype
    if dtype.kind not in "iub" and dtype.itemsize == 2:
        arrays = [array.astype(np.float32) for array in arrays]
    y = np.einsum(attributes.equation, *arrays, optimize=len(arrays) > 1)
    return [np.asarray(y).astype(dtype, copy=False)]


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: EinsumAttributes = node.attributes
    terms, output = _terms(attributes.equation)
    simple = ELLIPSIS not in attributes.equation and all(
        len(set(term)) == len(term) for term in (*terms, output)
    )
    if not simple or required(node.inputs, 0).dtype is not DType.F32:
        lowering.host(node)
    elif len(terms) == 1 and set(terms[0]) == set(output) and output:
        _permute(lowering, required(node.inputs, 0), terms[0], output, node.outputs[0])
    elif len(terms) == 2 and _is_product(terms, output):
        _lower_product(node, lowering, terms, output)
    else:
        lowering.host(node)


def _is_product(terms: list[str], output: str) -> bool:
    """Whether no operand has a letter of its own that is summed away."""
    left, right = set(terms[0]), set(terms[1])
    return (left ^ right) <= set(output) and bool(left) and bool(right)


def _lower_product(node: Node, lowering: Lowering, terms: list[str], output: str) -> None:
    """Batch letters first, then [M, K] and [K, N] as single dims, gemm, and back."""
    a, b, y = required(node.inputs, 0), required(node.inputs, 1), node.outputs[0]
    left, right = terms
    batch = [c for c in output if c in left and c in right]
    rows = [c for c in output if c in left and c not in right]
    columns = [c for c in output if c in right and c not in left]
    inner = [c for c in left if c in right and c not in output]
    sizes = dict(zip(left, a.dims, strict=True)) | dict(zip(right, b.dims, strict=True))
    if any(sizes[c] != d for c, d in zip(left, a.dims, strict=True)) or len(batch) > 6:
        lowering.host(node)  # an operand broadcasts a letter of size 1
        return

    def dims(*groups: list[str]) -> tuple[Dim, ...]:
        return (*(sizes[c] for c in batch), *(product(tuple(sizes[c] for c in g)) for g in groups))

    matrices = []
    for value, term, first, second in ((a, left, rows, inner), (b, right, inner, columns)):
        ordered = _permute(lowering, value, term, "".join((*batch, *first, *second)))
        matrices.append(_reshape(lowering, ordered, dims(first, second)))
    direct = "".join((*batch, *rows, *columns)) == output and y.dims == dims(rows, columns)
    flat = y if direct else lowering.temporary(y.dtype, dims(rows, columns))
    lowering.step("gemm", [*matrices, None, None, None, None], [flat])
    if direct:
        return
    natural = "".join((*batch, *rows, *columns))
    target = (
        y if natural == output else lowering.temporary(y.dtype, tuple(sizes[c] for c in natural))
    )
    lowering.step("reshape", [flat], [target])
    if target is not y:
        _permute(lowering, target, natural, output, y)


def _permute(
    lowering: Lowering, value: Value, term: str, wanted: str, result: Value | None = None
) -> Value:
    if term == wanted and result is None:
        return value
    perm = [term.index(letter) for letter in wanted]
    if result is None and value.constant is not None:
        return lowering.constant(np.ascontiguousarray(value.constant.transpose(perm)))
    if result is None:
        result = lowering.temporary(value.dtype, tuple(value.dims[axis] for axis in perm))
    lowering.step("transpose", [value], [result], perm=perm)
    return result


def _reshape(lowering: Lowering, value: Value, dims: tuple[Dim, ...]) -> Value:
    if value.dims == dims:
        return value
    if value.constant is not None:
        return lowering.constant(value.constant.reshape(as_ints(dims)))
    result = lowering.temporary(value.dtype, dims)
    lowering.step("reshape", [value], [result])
    return result


CASES = (
    Case("matmul", EinsumAttributes("ij,jk->ik"), (example(5, 7), example(7, 3, seed=1))),
    Case(
        "attention-scores",
        EinsumAttributes("bihd,bjhd->bhij"),
        (example(2, 3, 4, 5), example(2, 6, 4, 5, seed=1)),
    ),
    Case(
        "two-inner", EinsumAttributes("abc,bcd->da"), (example(2, 3, 4), example(3, 4, 5, seed=1))
    ),
    Case("outer", EinsumAttributes("i,j->ij"), (example(4), example(3, seed=1))),
    Case("transpose", EinsumAttributes("abc->cab"), (example(2, 3, 4),)),
    Case("ellipsis", EinsumAttributes("...ij,...jk"), (example(2, 3, 4), example(2, 4, 5, seed=1))),
    Case("trace", EinsumAttributes("ii"), (example(4, 4),)),
    Case("sum", EinsumAttributes("ij->i"), (example(3, 4),)),
    Case("empty", EinsumAttributes("ij,jk->ik"), (example(0, 7), example(7, 3, seed=1))),
)

EINSUM = Operator(
    name="Einsum",
    attributes=EinsumAttributes,
    from_onnx={12: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (EINSUM,)

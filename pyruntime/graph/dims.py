"""Integer expressions over the input dimensions of a model.

A dimension is an `int` or an `Expr`. An `Expr` is kept in a normal form, a polynomial with integer
coefficients over atoms (symbols, floor divisions, minima, maxima), so that equal dimensions compare
equal. Symbols stand for sizes and are taken to be >= 0. Expressions overload the integer operators,
so a numpy reference run on an object array of dimensions computes shape arithmetic symbolically.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, Union

from pyruntime.errors import ShapeError

Atom: TypeAlias = "str | tuple[str, Dim, Dim]"
Monomial: TypeAlias = tuple[Atom, ...]
Dim: TypeAlias = Union[int, "Expr"]
Json: TypeAlias = "int | str | list[Json]"


def _key(atom: Atom) -> str:
    return atom if isinstance(atom, str) else f"{atom[0]}({atom[1]!r},{atom[2]!r})"


class Expr:
    """A symbolic integer; build it with `symbol`, the operators, `dim_min` and `dim_max`."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms: dict[Monomial, int] = dict(terms)
        self._hash = hash(frozenset(self.terms.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and self.terms == other.terms

    def __repr__(self) -> str:
        parts = []
        for monomial, coefficient in sorted(
            self.terms.items(), key=lambda item: (-len(item[0]), [_key(a) for a in item[0]])
        ):
            factors = [_key(atom) for atom in monomial]
            if coefficient != 1 or not factors:
                factors.insert(0, str(coefficient))
            parts.append("*".join(factors))
        return "+".join(parts).replace("+-", "-")

    def __add__(self, other: Dim) -> Dim:
        if not isinstance(other, (Expr, int)):
            return NotImplemented
        terms = dict(self.terms)
        for monomial, coefficient in _terms(other).items():
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return _normal(terms)

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + -other

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other

    def __mul__(self, other: Dim) -> Dim:
        if not isinstance(other, (Expr, int)):
            return NotImplemented
        terms: dict[Monomial, int] = {}
        for left, a in self.terms.items():
            for right, b in _terms(other).items():
                monomial = tuple(sorted(left + right, key=_key))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return _normal(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return _floor_divide(self, other)

    def __rfloordiv__(self, other: Dim) -> Dim:
        return _floor_divide(other, self)

    def symbols(self) -> set[str]:
        """Names of all symbols in the expression."""
        found: set[str] = set()
        for monomial in self.terms:
            for atom in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    for operand in atom[1:]:
                        if isinstance(operand, Expr):
                            found |= operand.symbols()
        return found


def _terms(dim: Dim) -> Mapping[Monomial, int]:
    if isinstance(dim, Expr):
        return dim.terms
    return {(): int(dim)} if dim else {}


def _normal(terms: Mapping[Monomial, int]) -> Dim:
    kept = {monomial: c for monomial, c in terms.items() if c}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    return Expr(kept)


def symbol(name: str) -> Expr:
    """The dimension called `name`, unknown until the model is bound to its inputs."""
    return Expr({(name,): 1})


def _divide_monomial(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    rest = list(monomial)
    for atom in divisor:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def _floor_divide(a: Dim, b: Dim) -> Dim:
    """A // b; terms that divide exactly leave it: floor((k*x + r)/k) = x + floor(r/k)."""
    if isinstance(a, int) and isinstance(b, int):
        if b == 0:
            raise ShapeError(
                "a dimension is divided by zero; the model's shape arithmetic is wrong"
            )
        return a // b
    if b == 1:
        return a
    if a == b:
        return 1
    divisor_terms = _terms(b)
    if len(divisor_terms) == 1:
        (divisor, scale), *_ = divisor_terms.items()
        whole: dict[Monomial, int] = {}
        rest: dict[Monomial, int] = {}
        for monomial, coefficient in _terms(a).items():
            quotient = _divide_monomial(monomial, divisor)
            if quotient is not None and coefficient % scale == 0:
                whole[quotient] = coefficient // scale
            else:
                rest[monomial] = coefficient
        if whole:
            remainder = _normal(rest)
            exact = _normal(whole)
            return exact + (_floor_divide(remainder, b) if remainder != 0 else 0)
    return Expr({(("//", a, b),): 1})


def lower_bound(dim: Dim) -> int | None:
    """A value the dimension never goes below, or None if nothing is known."""
    if isinstance(dim, int):
        return dim
    total = 0
    for monomial, coefficient in dim.terms.items():
        bounds = [_atom_bound(atom) for atom in monomial]
        if not monomial:
            total += coefficient
        elif coefficient < 0 or any(b is None or b < 0 for b in bounds):
            return None
        else:
            product = coefficient
            for bound in bounds:
                product *= bound or 0
            total += product
    return total


def _atom_bound(atom: Atom) -> int | None:
    if isinstance(atom, str):
        return 0
    kind, a, b = atom
    left, right = lower_bound(a), lower_bound(b)
    if kind == "max":
        known = [x for x in (left, right) if x is not None]
        return max(known) if known else None
    if kind == "min":
        return None if left is None or right is None else min(left, right)
    # left // b with b >= 1: nothing more is known about b, so only the sign carries over.
    return 0 if left is not None and left >= 0 and right is not None and right >= 0 else None


def _operands(kind: str, dim: Dim) -> tuple[Dim, ...]:
    """(a, b) where the dim is just kind(a, b); else nothing."""
    if isinstance(dim, Expr) and len(dim.terms) == 1:
        ((monomial, coefficient),) = dim.terms.items()
        if coefficient == 1 and len(monomial) == 1:
            atom = monomial[0]
            if not isinstance(atom, str) and atom[0] == kind:
                return atom[1], atom[2]
    return ()


def dim_max(a: Dim, b: Dim) -> Dim:
    """The larger of two dimensions."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    difference = lower_bound(a - b)
    if difference is not None and difference >= 0:
        return a
    difference = lower_bound(b - a)
    if difference is not None and difference >= 0:
        return b
    if a in _operands("max", b) or b in _operands("min", a):
        return b
    if b in _operands("max", a) or a in _operands("min", b):
        return a
    first, second = sorted((a, b), key=repr)
    return Expr({(("max", first, second),): 1})


def dim_min(a: Dim, b: Dim) -> Dim:
    """The smaller of two dimensions."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    difference = lower_bound(a - b)
    if difference is not None and difference >= 0:
        return b
    difference = lower_bound(b - a)
    if difference is not None and difference >= 0:
        return a
    if a in _operands("max", b) or b in _operands("min", a):
        return a
    if b in _operands("max", a) or a in _operands("min", b):
        return b
    first, second = sorted((a, b), key=repr)
    return Expr({(("min", first, second),): 1})


def product(dims: tuple[Dim, ...]) -> Dim:
    """The product of all dims; 1 for none."""
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


def evaluate(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The value of `dim` when each symbol has the given size.

    Raises:
        ShapeError: a symbol has no size, or a division by zero or less.
    """
    if isinstance(dim, int):
        return dim
    total = 0
    for monomial, coefficient in dim.terms.items():
        value = coefficient
        for atom in monomial:
            value *= _evaluate_atom(atom, sizes)
        total += value
    return total


def _evaluate_atom(atom: Atom, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, str):
        if atom not in sizes:
            raise ShapeError(f"dimension '{atom}' has no size; give it one of the model's inputs")
        return sizes[atom]
    a, b = evaluate(atom[1], sizes), evaluate(atom[2], sizes)
    if atom[0] == "//":
        if b <= 0:
            raise ShapeError(f"dimension {_key(atom)} divides by {b}")
        return a // b
    return min(a, b) if atom[0] == "min" else max(a, b)


def to_json(dim: Dim) -> Json:
    """The form a Program stores: int, symbol name, or [operator, a, b]."""
    if isinstance(dim, int):
        return int(dim)
    total: Json | None = None
    for monomial, coefficient in sorted(
        dim.terms.items(), key=lambda item: (-len(item[0]), [_key(a) for a in item[0]])
    ):
        term: Json | None = None
        for atom in monomial:
            factor: Json = (
                atom if isinstance(atom, str) else [atom[0], to_json(atom[1]), to_json(atom[2])]
            )
            term = factor if term is None else ["*", term, factor]
        if term is None:
            term = coefficient
        elif coefficient != 1:
            term = ["*", coefficient, term]
        total = term if total is None else ["+", total, term]
    return 0 if total is None else total


def broadcast(*shapes: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The dims of numpy-broadcast operands.

    Two different symbolic dims become their maximum, which is right whenever the operands fit at
    all (one of them is 1, or they are equal); binding checks that they do.

    Raises:
        ShapeError: two known dims differ and neither is 1.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result: list[Dim] = []
    for position in range(rank):
        merged: Dim = 1
        for shape in shapes:
            index = position - (rank - len(shape))
            if index >= 0:
                merged = _broadcast_dim(merged, shape[index])
        result.append(merged)
    return tuple(result)


def _broadcast_dim(a: Dim, b: Dim) -> Dim:
    if b in (a, 1):
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        raise ShapeError(f"dimensions {a} and {b} cannot be broadcast; one must be 1 or both equal")
    if isinstance(a, int):
        return a
    return b if isinstance(b, int) else dim_max(a, b)

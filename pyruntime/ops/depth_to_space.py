"""DepthToSpace and SpaceToDepth: blocks of pixels from channels, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyruntime.errors import ShapeError
from pyruntime.graph.dims import Dim
from pyruntime.graph.types import ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class BlockAttributes:
    """How blocks are laid out.

    Attributes:
        blocksize: rows and columns of a block.
        mode: DCR has the block outermost in the channels, CRD innermost.
    """

    blocksize: int
    mode: str = "DCR"


def _from_onnx(node: OnnxNode) -> tuple[BlockAttributes, list[Value | None]]:
    mode = str(node.attributes.get("mode", "DCR"))
    return BlockAttributes(int(node.attributes["blocksize"]), mode), list(node.inputs)


Dims = tuple[Dim, ...]


def _to_space(attributes: BlockAttributes, dims: Dims) -> tuple[Dims, tuple[int, ...], Dims]:
    """(dims of the view, perm, output dims)."""
    b = attributes.blocksize
    n, c, h, w = dims
    if b < 1 or (isinstance(c, int) and c % (b * b)):
        raise ShapeError(f"blocksize {b} squared does not divide {c} channels")
    out = (n, c // (b * b), h * b, w * b)
    if attributes.mode == "CRD":
        return (n, out[1], b, b, h, w), (0, 1, 4, 2, 5, 3), out
    return (n, b, b, out[1], h, w), (0, 3, 4, 1, 5, 2), out


def _to_depth(attributes: BlockAttributes, dims: Dims) -> tuple[Dims, tuple[int, ...], Dims]:
    b = attributes.blocksize
    n, c, h, w = dims
    if b < 1 or any(isinstance(size, int) and size % b for size in (h, w)):
        raise ShapeError(f"blocksize {b} does not divide spatial dims {[h, w]}")
    perm = (0, 1, 3, 5, 2, 4) if attributes.mode == "CRD" else (0, 3, 5, 1, 2, 4)
    return (n, c, h // b, b, w // b, b), perm, (n, c * (b * b), h // b, w // b)


def _operator(name: str, *, to_space: bool) -> Operator:
    plan = _to_space if to_space else _to_depth

    def infer(
        attributes: BlockAttributes, inputs: Sequence[Value | None], outputs: int
    ) -> list[ValueType]:
        x = required(inputs, 0)
        if len(x.dims) != 4:
            raise ShapeError(f"dims {list(x.dims)} must be [N, C, H, W]")
        return [ValueType(x.dtype, plan(attributes, x.dims)[2])]

    def reference(
        attributes: BlockAttributes, inputs: Sequence[Array | None], outputs: int
    ) -> list[Array]:
        x = required(inputs, 0)
        view, perm, out = (
            tuple(int(d) for d in part if isinstance(d, int)) for part in plan(attributes, x.shape)
        )
        return [x.reshape(view).transpose(perm).reshape(out)]

    def lower(node: Node, lowering: Lowering) -> None:
        x, y = required(node.inputs, 0), node.outputs[0]
        view, perm, _ = plan(node.attributes, x.dims)
        blocks = lowering.temporary(x.dtype, view)
        turned = lowering.temporary(x.dtype, tuple(view[axis] for axis in perm))
        lowering.step("reshape", [x], [blocks])
        lowering.step("transpose", [blocks], [turned], perm=list(perm))
        lowering.step("reshape", [turned], [y])

    x = example(2, 12, 3, 5) if to_space else example(2, 3, 6, 10)
    return Operator(
        name=name,
        attributes=BlockAttributes,
        from_onnx={1: _from_onnx},
        infer=infer,
        reference=reference,
        lower=lower,
        cases=(
            *(Case(mode, BlockAttributes(2, mode), (x,)) for mode in ("DCR", "CRD")),
            Case("one", BlockAttributes(1), (x,)),
            Case("s8", BlockAttributes(3), (example_ints(1, 9, 3, 6),)),
            Case("empty", BlockAttributes(2), (x[:0],)),
        ),
    )


DEPTH_TO_SPACE = _operator("DepthToSpace", to_space=True)
SPACE_TO_DEPTH = _operator("SpaceToDepth", to_space=False)
OPERATORS: tuple[Operator, ...] = (DEPTH_TO_SPACE, SPACE_TO_DEPTH)

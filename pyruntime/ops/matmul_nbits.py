"""MatMulNBits (com.microsoft): a product with weights of few bits and a scale for each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import DTypeError, ShapeError, UnsupportedError
from pyruntime.graph.graph import Storage
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import optional, required
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator
from pyruntime.ops.matmul import lower_gemm

if TYPE_CHECKING:
    from pyruntime.graph.graph import Node, Value

# onnxruntime's accuracy_level of 8-bit activations; lower ones mean floats.
_INT8 = 4
# Below it (the least normal f32) a group's scale is 1.
_LEAST_SCALE = np.float32(2.0**-126)


@dataclass(frozen=True, slots=True)
class MatMulNBitsAttributes:
    """Inputs: a f32, w u8, scale f32 or f16, zero_point u8?, bias f32 [N]?.

    With G = ceil(K / group): a [.., K], w [N, G, group * bits / 8], scale and zero_point [N, G]. A
    byte of w holds 8 / bits weights, lowest bits first; their zero point is 2^(bits - 1) where
    none is given.

    Attributes:
        K: features of a.
        bits: 2, 4 or 8.
        group: neighbours along K that share a scale.
        quantized: activations are rounded to 8 bits by group, see docs/numerics.md.
    """

    K: int
    bits: int = 4
    group: int = 32
    quantized: bool = False


def _constant(node: OnnxNode, index: int) -> Array | None:
    value = optional(node.inputs, index)
    if value is None:
        return None
    if value.constant is None:
        raise UnsupportedError(
            f"{node.where}: input {index} is computed; weights, scales and zero points must be "
            "constants"
        )
    return value.constant


def _from_onnx(node: OnnxNode) -> tuple[MatMulNBitsAttributes, list[Value | None]]:
    found = node.attributes
    bits, group = int(found.get("bits", 4)), int(found["block_size"])
    K, N = int(found["K"]), int(found["N"])
    if bits not in (2, 4, 8) or group < 16 or group % 16:
        raise UnsupportedError(
            f"{node.where}: bits {bits} and block_size {group}; 2, 4 or 8 bits in blocks of a "
            "multiple of 16 are supported"
        )
    if optional(node.inputs, 4) is not None:
        raise UnsupportedError(f"{node.where}: input g_idx; reorder the weights' rows instead")
    G = -(-K // group)
    w, scale, zeros = (_constant(node, index) for index in (1, 2, 3))
    if w is None or scale is None or w.size != N * G * group * bits // 8 or scale.size != N * G:
        raise ShapeError(f"{node.where}: weights or scales do not fit K {K}, N {N}")
    inputs: list[Value | None] = [
        required(node.inputs, 0),
        node.constant(w.reshape(N, G, -1).view(np.uint8)),
        node.constant(scale.reshape(N, G)),
        None,
        optional(node.inputs, 5),
    ]
    if zeros is not None:
        if zeros.dtype != np.uint8:
            raise UnsupportedError(f"{node.where}: zero points of {zeros.dtype}; use packed uint8")
        inputs[3] = node.constant(unpack(zeros.reshape(N, -1), bits)[:, :G])
    quantized = int(found.get("accuracy_level", 0)) == _INT8
    return MatMulNBitsAttributes(K, bits, group, quantized), inputs


def unpack(packed: Array, bits: int) -> Array:
    """The u8 elements along the last axis of packed ones."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = packed[..., None] >> shifts & np.uint8((1 << bits) - 1)
    return np.ascontiguousarray(fields.reshape(*packed.shape[:-1], -1))


def _infer(
    attributes: MatMulNBitsAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    a, w = required(inputs, 0), required(inputs, 1)
    if a.dtype is not DType.F32:
        raise DTypeError(f"input 0 is {a.dtype}; this operator takes f32")
    if isinstance(a.dims[-1], int) and a.dims[-1] != attributes.K:
        raise ShapeError(f"input 0 has {a.dims[-1]} features, the weights {attributes.K}")
    return [ValueType(DType.F32, (*a.dims[:-1], w.dims[0]))]


def _centred(attributes: MatMulNBitsAttributes, inputs: Sequence[Array | None]) -> Array:
    """The weights less their zero points, s16 [N, G, group]."""
    u = unpack(required(inputs, 1), attributes.bits).astype(np.int16)
    zeros = optional(inputs, 3)
    if zeros is None:
        return np.asarray(u - (1 << (attributes.bits - 1)), np.int16)
    return np.asarray(u - zeros.astype(np.int16)[..., None], np.int16)


def _dequantized(attributes: MatMulNBitsAttributes, inputs: Sequence[Array | None]) -> Array:
    """f32 [N, K]."""
    w = _centred(attributes, inputs).astype(np.float32)
    w *= required(inputs, 2).astype(np.float32)[..., None]
    return np.ascontiguousarray(w.reshape(w.shape[0], -1)[:, : attributes.K])


def _by_group(a: Array, group: int) -> tuple[Array, Array]:
    """Activations [.., G, group] rounded to whole numbers of their group's scale [.., G]."""
    short = -a.shape[-1] % group
    padded = np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, short)])
    x = padded.reshape(*a.shape[:-1], padded.shape[-1] // group, group)
    magnitudes = np.where(np.isnan(x), np.float32(0), np.abs(x))
    scale = magnitudes.max(-1, initial=np.float32(0)) / np.float32(127)
    scale = np.where(scale < _LEAST_SCALE, np.float32(1), scale).astype(np.float32)
    with np.errstate(invalid="ignore"):
        f = x * (np.float32(1) / scale)[..., None]
    return np.rint(np.where(np.isnan(f), np.float32(0), f)), scale


def _reference(
    attributes: MatMulNBitsAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    a, bias = required(inputs, 0), optional(inputs, 4)
    if attributes.quantized:
        q, a_scale = _by_group(a, attributes.group)
        w = _centred(attributes, inputs)
        scale = required(inputs, 2).astype(np.float32)
        y = np.zeros((*a.shape[:-1], w.shape[0]), np.float32)
        for g in range(w.shape[1]):
            exact = q[..., g, :].astype(np.float64) @ w[:, g].T.astype(np.float64)
            y += exact.astype(np.float32) * a_scale[..., g, None] * scale[:, g]
    else:
        y = np.asarray(np.matmul(a, _dequantized(attributes, inputs).T))
    return [y if bias is None else y + bias]


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: MatMulNBitsAttributes = node.attributes
    parameters = [optional(node.inputs, index) for index in range(1, 5)]
    if any(value is not None and value.constant is None for value in parameters):
        lowering.host(node)
        return
    a, bias = required(node.inputs, 0), parameters[3]
    if attributes.quantized:
        lowering.step(
            "gemm_groups",
            [a, *parameters],
            node.outputs,
            bits=attributes.bits,
            group=attributes.group,
        )
        return
    arrays = [None, *(None if value is None else value.constant for value in parameters)]
    w = lowering.constant(_dequantized(attributes, arrays))
    centred = _centred(attributes, arrays)
    stored = centred.reshape(centred.shape[0], -1)[:, : attributes.K]
    if np.abs(stored).max(initial=0) < 128 and w.storage is None:
        scale = required(node.inputs, 2).constant
        w.storage = Storage("scaled", stored.astype(np.int8), scale, 1, attributes.group)
    lower_gemm(
        lowering, [a, w, bias, None, None, None], node.outputs[0], trans_a=False, trans_b=True
    )


def _case(name: str, K: int, N: int, bits: int, group: int, quantized: bool, *a: int) -> Case:
    """With zero points where bits is not 4, with a bias where it is."""
    G = -(-K // group)
    w = example_ints(N, G, group * bits // 8, lo=0, hi=255, dtype=np.uint8, seed=K)
    scale = np.abs(example(N, G, seed=1)) + np.float32(0.01)
    zeros = example_ints(N, G, lo=0, hi=(1 << bits) - 1, dtype=np.uint8, seed=2)
    return Case(
        name,
        MatMulNBitsAttributes(K, bits, group, quantized),
        (
            example(*a, K, seed=3),
            w,
            scale.astype(np.float16) if bits == 2 else scale,
            zeros if bits != 4 else None,
            example(N, seed=4) if bits == 4 else None,
        ),
    )


CASES = (
    _case("int8-activations", 96, 20, 4, 32, True, 2, 3),
    _case("2-bits", 70, 17, 2, 16, True, 5),
    _case("8-bits", 64, 33, 8, 64, True),
    _case("float", 96, 20, 4, 32, False, 2, 3),
    _case("float-8-bits", 50, 7, 8, 16, False, 4),
    _case("no-rows", 32, 5, 4, 32, True, 0),
)

MATMUL_NBITS = Operator(
    name="MatMulNBits",
    domain="com.microsoft",
    attributes=MatMulNBitsAttributes,
    from_onnx={1: _from_onnx},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
OPERATORS: tuple[Operator, ...] = (MATMUL_NBITS,)

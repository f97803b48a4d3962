"""Folds a camera's preprocessing into a model: it then takes u8 pixels, channels last.

Without it every user writes transpose, cast, scale and shift in numpy, at several times the cost:
here they are steps of the Program, and the affine part meets the passes that fuse it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyruntime.errors import ArgumentError
from pyruntime.graph.graph import Graph, Value
from pyruntime.graph.types import DType
from pyruntime.ops.binary import ADD, MUL
from pyruntime.ops.cast import CAST, CastAttributes
from pyruntime.ops.transpose import TRANSPOSE, TransposeAttributes
from pyruntime.preprocess import ANNOTATION, Preprocess

_IMAGE_RANK = 4


def _image_input(graph: Graph, record: Preprocess) -> int:
    named = [i for i, value in enumerate(graph.inputs) if value.name == record.input]
    images = named or [
        i
        for i, value in enumerate(graph.inputs)
        if len(value.dims) == _IMAGE_RANK and value.dtype is DType.F32
    ]
    if len(images) != 1:
        raise ArgumentError(
            "input_layout and input_dtype need exactly one f32 input of rank 4, the model has "
            f"{len(images)} among "
            f"{graph.inputs}; name it in the preprocess annotation"
        )
    return images[0]


def _affine(
    record: Preprocess, mean: Sequence[float] | None, std: Sequence[float] | None, u8: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset per channel, [C, 1, 1] f32, from the new input to the model's."""
    means = np.array(record.mean if mean is None else tuple(mean), np.float64)
    stds = np.array(record.std if std is None else tuple(std), np.float64)
    if (stds <= 0).any():
        raise ArgumentError(f"std is {stds.tolist()}; every element must be above 0")
    inverse = 1 / stds if stds.size else np.ones(1)
    scale = record.maximum / 255 if u8 else 1.0
    offset = -(means if means.size else np.zeros(1)) * inverse
    return (
        (scale * inverse).astype(np.float32).reshape(-1, 1, 1),
        offset.astype(np.float32).reshape(-1, 1, 1),
    )


def fold_input(
    graph: Graph,
    *,
    layout: str = "",
    dtype: str = "",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Graph:
    """A copy whose image input has another layout or dtype, converted by the model itself.

    Args:
        graph: has one f32 input [N, C, H, W].
        layout: "NHWC" for channels last; empty or "NCHW" leaves it.
        dtype: "u8" for pixels 0..255; empty or "f32" leaves it.
        mean: per channel, taken from the scaled pixel; None takes the preprocess annotation's.
        std: likewise.

    Raises:
        ArgumentError: an unknown layout or dtype, no such input, or channels that do not fit.
    """
    if layout not in ("", "NCHW", "NHWC") or dtype not in ("", "f32", "u8"):
        raise ArgumentError(
            f"input_layout '{layout}', input_dtype '{dtype}': give NCHW or NHWC, and f32 or u8"
        )
    result = graph.copy()
    record = Preprocess.from_annotation(result.annotations.get(ANNOTATION, {}))
    position = _image_input(result, record)
    old = result.inputs[position]
    n, c, h, w = old.dims
    last, u8 = layout == "NHWC", dtype == "u8"
    factor, offset = _affine(record, mean, std, u8)
    for array in (factor, offset):
        if array.size not in (1, c):
            raise ArgumentError(
                f"mean and std have {array.size} elements, input '{old.name}' has {c} channels"
            )

    new = Value(old.name, DType.U8 if u8 else old.dtype, (n, h, w, c) if last else old.dims)
    old.name = result.unique(old.name)
    before, result.nodes = result.nodes, []
    value = new
    if last:
        value = result.append(TRANSPOSE, TransposeAttributes((0, 3, 1, 2)), [value]).outputs[0]
    if u8:
        value = result.append(CAST, CastAttributes(DType.F32), [value]).outputs[0]
    # A record's own mean and std apply to models that take floats only where they are asked for.
    if u8 or mean is not None or std is not None:
        for operator, array, neutral in ((MUL, factor, 1.0), (ADD, offset, 0.0)):
            if (array != neutral).any():
                operand = result.constant(array)
                value = result.append(operator, None, [value, operand]).outputs[0]
    made, result.nodes = result.nodes, before
    result.replace(old, value)
    result.nodes = [*made, *result.nodes]
    result.inputs[position] = new
    result.annotations[ANNOTATION] = Preprocess(
        input=new.name,
        size=record.size,
        mean=() if u8 or mean is not None else record.mean,
        std=() if u8 or std is not None else record.std,
        layout="NHWC" if last else record.layout,
        rgb=record.rgb,
        maximum=record.maximum,
        grey=record.grey,
        dtype="u8" if u8 else record.dtype,
    ).annotation()
    return result

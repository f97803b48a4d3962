"""Resize and its predecessor Upsample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from pyruntime.errors import ShapeError, UnsupportedError
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops._content import known_array
from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import normal_axis, optional, required
from pyruntime.ops._interpolation import apply_weights, cubic, nearest_index, positions, weights
from pyruntime.ops._operator import Array, Case, Lowering, OnnxNode, Operator, content_of
from pyruntime.ops._shapes import DynamicSizeError
from pyruntime.ops._spatial import as_ints, ints

if TYPE_CHECKING:
    from pyruntime.graph.dims import Dim
    from pyruntime.graph.graph import Node, Value


@dataclass(frozen=True, slots=True)
class ResizeAttributes:
    """Inputs: x, roi? (tf_crop_and_resize only), scales? f32, sizes? s64 (one of the two).

    Attributes:
        mode: nearest, linear or cubic.
        coordinate: ONNX coordinate_transformation_mode.
        nearest: ONNX nearest_mode.
        axes: that roi, scales and sizes speak of; empty means all.
        policy: ONNX keep_aspect_ratio_policy: stretch, not_larger or not_smaller.
        cubic_coefficient: of the cubic kernel.
        exclude_outside: elements outside of x get no weight.
        extrapolation: value outside of x, for tf_crop_and_resize.
        antialias: kernels are stretched when the output is smaller.
    """

    mode: str = "nearest"
    coordinate: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    axes: tuple[int, ...] = ()
    policy: str = "stretch"
    cubic_coefficient: float = -0.75
    exclude_outside: bool = False
    extrapolation: float = 0.0
    antialias: bool = False


@dataclass(frozen=True, slots=True)
class _Target:
    """What an axis becomes: its size and the scale that positions are computed with."""

    size: int
    scale: float


def _upsample_from_onnx_7(node: OnnxNode) -> tuple[ResizeAttributes, list[Value | None]]:
    scales = node.constant(np.asarray(node.attributes["scales"], np.float32))
    return _old_attributes(node), [required(node.inputs, 0), None, scales]


def _upsample_from_onnx_9(node: OnnxNode) -> tuple[ResizeAttributes, list[Value | None]]:
    return _old_attributes(node), [required(node.inputs, 0), None, required(node.inputs, 1)]


def _old_attributes(node: OnnxNode) -> ResizeAttributes:
    # Before opset 11: positions are index / scale, and nearest means the one below.
    mode = str(node.attributes.get("mode", "nearest"))
    return ResizeAttributes(mode, coordinate="asymmetric", nearest="floor")


def _resize_from_onnx_11(node: OnnxNode) -> tuple[ResizeAttributes, list[Value | None]]:
    found = node.attributes
    coordinate = str(found.get("coordinate_transformation_mode", "half_pixel"))
    attributes = ResizeAttributes(
        mode=str(found.get("mode", "nearest")),
        coordinate=coordinate,
        nearest=str(found.get("nearest_mode", "round_prefer_floor")),
        axes=ints(found.get("axes")),
        policy=str(found.get("keep_aspect_ratio_policy", "stretch")),
        cubic_coefficient=float(found.get("cubic_coeff_a", -0.75)),
        exclude_outside=bool(found.get("exclude_outside", 0)),
        extrapolation=float(found.get("extrapolation_value", 0.0)),
        antialias=bool(found.get("antialias", 0)),
    )
    roi, scales, sizes = (optional(node.inputs, index) for index in (1, 2, 3))
    if coordinate != "tf_crop_and_resize":
        roi = None
    # Exporters also write "absent" as an empty tensor.
    scales = None if scales is None or scales.dims == (0,) else scales
    return attributes, [required(node.inputs, 0), roi, scales, sizes if scales is None else None]


def _axes(attributes: ResizeAttributes, rank: int) -> tuple[int, ...]:
    if not attributes.axes:
        return tuple(range(rank))
    return tuple(normal_axis(axis, rank) for axis in attributes.axes)


def _scaled(dim: Dim, scale: float) -> Dim:
    """floor(dim * scale), in f32 as other runtimes compute it."""
    if isinstance(dim, int):
        return floor(np.float32(scale) * np.float32(dim))
    fraction = Fraction(float(scale)).limit_denominator(1024)
    if np.float32(float(fraction)) != np.float32(scale):
        raise UnsupportedError(
            f"scale {scale} of the unknown dimension {dim} is no simple fraction; "
            "give the model static shapes"
        )
    return dim * fraction.numerator // fraction.denominator


def _kept_aspect(policy: str, dims: Sequence[int], sizes: Sequence[int]) -> list[_Target]:
    ratios = [size / dim for size, dim in zip(sizes, dims, strict=True)]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return [_Target(int(scale * dim + 0.5), scale) for dim in dims]


def _output_dims(attributes: ResizeAttributes, inputs: Sequence[Value | None]) -> tuple[Dim, ...]:
    x, scales, sizes = required(inputs, 0), optional(inputs, 2), optional(inputs, 3)
    dims: list[Dim] = list(x.dims)
    axes = _axes(attributes, len(dims))
    wanted: list[Dim]
    if scales is not None:
        known = known_array(scales)
        if known is None:
            raise DynamicSizeError(
                f"scales '{scales.name}' are computed when the model runs; make them a constant"
            )
        wanted = [
            _scaled(dims[axis], float(scale))
            for axis, scale in zip(axes, known.reshape(-1), strict=True)
        ]
    else:
        content = content_of(required(inputs, 3))
        if content is None:
            raise DynamicSizeError(
                f"sizes '{'' if sizes is None else sizes.name}' are computed when the model runs; "
                "make them a constant"
            )
        wanted = list(content.reshape(-1))
        if attributes.policy != "stretch":
            sizes_now = as_ints([dims[axis] for axis in axes])
            targets = _kept_aspect(attributes.policy, sizes_now, as_ints(wanted))
            wanted = [target.size for target in targets]
    for axis, dim in zip(axes, wanted, strict=True):
        dims[axis] = dim
    return tuple(dims)


def _infer(
    attributes: ResizeAttributes, inputs: Sequence[Value | None], outputs: int
) -> list[ValueType]:
    x = required(inputs, 0)
    if (optional(inputs, 2) is None) == (optional(inputs, 3) is None):
        raise ShapeError("exactly one of scales and sizes must be given")
    return [ValueType(x.dtype, _output_dims(attributes, inputs))]


def _targets(
    attributes: ResizeAttributes, shape: Sequence[int], scales: Array | None, sizes: Array | None
) -> dict[int, _Target]:
    """What each axis becomes."""
    axes = _axes(attributes, len(shape))
    dims = [shape[axis] for axis in axes]
    if scales is not None:
        found = [
            _Target(as_ints([_scaled(dim, float(s))])[0], float(s))
            for dim, s in zip(dims, scales.reshape(-1), strict=True)
        ]
    else:
        wanted = [int(size) for size in required((sizes,), 0).reshape(-1)]
        if attributes.policy != "stretch":
            found = _kept_aspect(attributes.policy, dims, wanted)
        else:
            found = [
                _Target(size, size / dim if dim else 1.0)
                for size, dim in zip(wanted, dims, strict=True)
            ]
    return dict(zip(axes, found, strict=True))


def _reference(
    attributes: ResizeAttributes, inputs: Sequence[Array | None], outputs: int
) -> list[Array]:
    x, roi = required(inputs, 0), optional(inputs, 1)
    targets = _targets(attributes, x.shape, optional(inputs, 2), optional(inputs, 3))
    whole = attributes.mode == "nearest"
    y = x if whole else x.astype(np.float32 if x.dtype.itemsize == 2 else x.dtype, copy=False)
    if not whole and x.dtype.kind in "iu":
        y = x.astype(np.float64)
    outside: list[tuple[int, Array]] = []
    for position, (axis, target) in enumerate(targets.items()):
        size = x.shape[axis]
        part = (0.0, 1.0)
        if roi is not None:
            part = (float(roi[position]), float(roi[position + len(targets)]))
        if target.size == size and target.scale == 1.0 and part == (0.0, 1.0):
            continue
        if size == 0 or target.size == 0:
            y = np.zeros((*y.shape[:axis], target.size, *y.shape[axis + 1 :]), y.dtype)
            continue
        p = positions(attributes.coordinate, size, target.size, target.scale, part)
        if attributes.coordinate == "tf_crop_and_resize":
            outside.append((axis, (p < 0) | (p > size - 1)))
        y = _along(attributes, y, axis, p, target.scale)
    for axis, mask in outside:
        column = [-1 if i == axis else 1 for i in range(y.ndim)]
        y = np.where(mask.reshape(column), y.dtype.type(attributes.extrapolation), y)
    if x.dtype.kind in "iu" and not whole:
        limits = np.iinfo(x.dtype)
        y = np.clip(np.rint(y), limits.min, limits.max)
    return [np.asarray(y).astype(x.dtype, copy=False)]


def _along(attributes: ResizeAttributes, y: Array, axis: int, p: Array, scale: float) -> Array:
    size = y.shape[axis]
    if attributes.mode == "nearest":
        return np.take(y, nearest_index(p, attributes.nearest, size), axis=axis)
    if attributes.mode not in ("linear", "cubic"):
        raise UnsupportedError(f"mode '{attributes.mode}'; Resize knows nearest, linear and cubic")
    stretch = scale if attributes.antialias else 1.0
    is_cubic = attributes.mode == "cubic"
    kernel = cubic(attributes.cubic_coefficient) if is_cubic else None
    index, weight = weights(p, size, stretch, kernel, 2 if is_cubic else 1)
    return apply_weights(y, axis, index, weight, attributes.exclude_outside)


_NATIVE_COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")


def _native_scales(node: Node) -> Array | None:
    """Scales f32 [rank] with which the family visits the same elements, or None."""
    attributes: ResizeAttributes = node.attributes
    x, scales, sizes = required(node.inputs, 0), node.inputs[2], optional(node.inputs, 3)
    y = node.outputs[0]
    rank = len(x.dims)
    fits = attributes.mode == "nearest" or (attributes.mode == "linear" and x.dtype is DType.F32)
    plain = not (attributes.antialias or attributes.exclude_outside)
    if not (fits and plain and attributes.coordinate in _NATIVE_COORDINATES and 3 <= rank <= 5):
        return None
    if x.dims[:2] != y.dims[:2]:
        return None
    result = np.ones(rank, np.float32)
    if all(isinstance(d, int) for d in (*x.dims, *y.dims)):
        constant = None if sizes is None else content_of(sizes)
        listed = None if constant is None else constant.astype(np.int64)
        given = None if scales is None else scales.constant
        for axis, target in _targets(attributes, as_ints(x.dims), given, listed).items():
            same = _same_positions(attributes, as_ints(x.dims)[axis], target)
            if same is None:
                return None
            result[axis] = same
        return result
    if scales is None or scales.constant is None:
        return None  # the ratio of unknown sizes
    flat = scales.constant.reshape(-1)
    if attributes.coordinate == "align_corners" and not np.all(flat == np.rint(flat)):
        return None
    result[list(_axes(attributes, rank))] = flat
    return result


def _same_positions(attributes: ResizeAttributes, size: int, target: _Target) -> float | None:
    """The scale as f32, moved by one step where only so the family finds the same elements."""
    if size == 0 or target.size == 0:
        return 1.0
    exact = positions(attributes.coordinate, size, target.size, target.scale)
    rounded = np.float32(target.scale)
    for scale in (
        rounded,
        np.nextafter(rounded, np.float32(0)),
        np.nextafter(rounded, np.float32(9e9)),
    ):
        # The family takes the whole output size where ONNX takes scale * input.
        width = float(scale) if attributes.coordinate != "align_corners" else target.size / size
        found = positions(attributes.coordinate, size, target.size, width)
        if attributes.mode == "nearest":
            rule = attributes.nearest
            same = np.array_equal(
                nearest_index(found, rule, size), nearest_index(exact, rule, size)
            )
        else:
            same = np.allclose(np.clip(found, 0, size - 1), np.clip(exact, 0, size - 1), atol=1e-5)
        if same:
            return float(scale)
    return None


def _lower(node: Node, lowering: Lowering) -> None:
    attributes: ResizeAttributes = node.attributes
    scales = _native_scales(node)
    if scales is None:
        lowering.host(node)
        return
    lowering.step(
        "resize",
        [required(node.inputs, 0), lowering.constant(scales)],
        node.outputs,
        mode=attributes.mode,
        coordinate=attributes.coordinate,
        nearest=attributes.nearest,
    )


def _scales(*values: float) -> Array:
    return np.asarray(values, np.float32)


def _sizes(*values: int) -> Array:
    return np.asarray(values, np.int64)


_X = example(1, 2, 5, 4)
_LINEAR = ResizeAttributes("linear")
CASES = (
    Case("nearest-up", ResizeAttributes(), (_X, None, _scales(1, 1, 2, 3))),
    Case(
        "nearest-sizes",
        ResizeAttributes(coordinate="asymmetric", nearest="floor"),
        (_X, None, None, _sizes(1, 2, 3, 7)),
    ),
    Case(
        "nearest-u8",
        ResizeAttributes(nearest="ceil"),
        (example_ints(1, 2, 5, 4, lo=0, dtype=np.uint8), None, _scales(1, 1, 2, 0.5)),
    ),
    Case("linear-up", _LINEAR, (_X, None, _scales(1, 1, 2, 2))),
    Case(
        "linear-align-corners",
        ResizeAttributes("linear", "align_corners"),
        (_X, None, None, _sizes(1, 2, 8, 3)),
    ),
    Case(
        "linear-antialias",
        ResizeAttributes("linear", antialias=True),
        (_X, None, _scales(1, 1, 0.6, 0.5)),
    ),
    Case("linear-axes", ResizeAttributes("linear", axes=(3, 2)), (_X, None, None, _sizes(6, 2))),
    Case(
        "cubic",
        ResizeAttributes("cubic", exclude_outside=True),
        (_X, None, _scales(1, 1, 1.5, 0.8)),
    ),
    Case(
        "not-larger",
        ResizeAttributes("linear", axes=(2, 3), policy="not_larger"),
        (_X, None, None, _sizes(7, 7)),
    ),
    Case(
        "crop",
        ResizeAttributes("linear", "tf_crop_and_resize", extrapolation=10.0),
        (_X, _scales(0, 0, 0.4, 0.6, 1, 1, 1.2, 1.7), None, _sizes(1, 2, 3, 3)),
    ),
    Case("empty-batch", _LINEAR, (_X[:0], None, _scales(1, 1, 2, 2))),
)

RESIZE = Operator(
    name="Resize",
    attributes=ResizeAttributes,
    from_onnx={10: _upsample_from_onnx_9, 11: _resize_from_onnx_11},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=CASES,
)
UPSAMPLE = Operator(
    name="Upsample",
    attributes=ResizeAttributes,
    from_onnx={7: _upsample_from_onnx_7, 9: _upsample_from_onnx_9},
    infer=_infer,
    reference=_reference,
    lower=_lower,
    cases=(
        Case(
            "nearest",
            ResizeAttributes(coordinate="asymmetric", nearest="floor"),
            (_X, None, _scales(1, 1, 2, 3)),
        ),
    ),
)
OPERATORS: tuple[Operator, ...] = (RESIZE, UPSAMPLE)

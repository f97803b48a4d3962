"""Problems of class E and D, continued: sums over axes, movement of data, weights of few bits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pyruntime.graph.types import DType
from tests.numerics import cases
from tests.numerics.cases import SPECIAL, Case, Random, one


def norms() -> Iterator[Case]:
    """Softmax and normalisations: canonical sums of many lengths."""
    for dims, axis in [((5, 1), 1), ((7, 33), 1), ((7, 33), 0), ((2, 9, 10), 1), ((3, 1000), -1)]:
        for log in (0, 1):
            x = Random(11).f32(*dims, size=20)
            name = f"softmax{log}_{'x'.join(map(str, dims))}_{axis % len(dims)}"
            yield one(name, "softmax", [x], [("f32", dims)], {"axis": axis, "log": log})
    x = np.stack([Random(11).special(64) for _ in range(2)])
    yield one("softmax_special", "softmax", [x], [("f32", x.shape)], {"axis": 1})
    for dims, axis in [((6, 31), 1), ((6, 257), 1), ((3, 4, 5, 7), 2), ((2, 1), 1)]:
        for affine in (False, True):
            random = Random(12)
            inner = dims[axis:]
            rest = [random.f32(*inner), random.f32(*inner)] if affine else []
            x = random.f32(*dims)
            name = f"layer_norm_{'x'.join(map(str, dims))}_{affine:d}"
            own = {"axis": axis, "epsilon": 1e-6}
            yield one(name, "layer_norm", [x, *rest], [("f32", dims)], own)
    for dims, groups in [((2, 6, 5, 7), 3), ((1, 8, 33), 8), ((3, 4, 3, 3), 1)]:
        for affine in (False, True):
            random = Random(13)
            rest = [random.f32(dims[1]), random.f32(dims[1])] if affine else []
            x = random.f32(*dims)
            name = f"group_norm_{'x'.join(map(str, dims))}_{affine:d}"
            yield one(name, "group_norm", [x, *rest], [("f32", dims)], {"groups": groups})


REDUCTIONS = ("sum", "mean", "max", "min", "prod", "l1", "l2", "sum_square", "log_sum_exp")


def reductions() -> Iterator[Case]:
    """Every reduction over inner, outer and all axes."""
    dims = (5, 7, 37)
    for op, axes in itertools.product(REDUCTIONS, [(2,), (0,), (1, 2)]):
        x = Random(14).f32(*dims, size=1.5)
        y = [1 if axis in axes else dim for axis, dim in enumerate(dims)]
        name = f"reduce_{op}_{''.join(map(str, axes))}"
        yield one(name, "reduce", [x], [("f32", y)], {"op": op, "axes": axes})
    for kind, op in itertools.product((np.int32, np.int64), ("sum", "max", "min")):
        x = Random(15).s32(*dims, size=2**31 - 1).astype(kind)
        dtype = str(DType.of(x))
        own = {"op": op, "axes": (1,)}
        yield one(f"reduce_{dtype}_{op}", "reduce", [x], [(dtype, (5, 37))], own)
    for op, axis, last in itertools.product(("max", "min"), (0, 2), (0, 1)):
        x = np.round(Random(16).f32(*dims))
        y = dims[:axis] + dims[axis + 1 :]
        own = {"op": op, "axis": axis, "select_last": last}
        yield one(f"arg_{op}_{axis}{last}", "arg_reduce", [x], [("s64", y)], own)


def _of(kind: Any, *dims: int) -> Any:
    return Random(17).s32(*dims, size=120).astype(kind)


def movement() -> Iterator[Case]:
    """Copies that change order, extent or dtype."""
    dims = (3, 5, 7)
    for kind in (np.int8, np.float32, np.int64):
        x = _of(kind, *dims)
        t = str(DType.of(x))
        yield one(f"reshape_{t}", "reshape", [x], [(t, (15, 7))])
        for perm in ((0, 2, 1), (2, 1, 0)):
            y = [dims[axis] for axis in perm]
            name = f"transpose_{t}_{''.join(map(str, perm))}"
            yield one(name, "transpose", [x], [(t, y)], {"perm": perm})
        own = {"starts": (2, 0, 6), "steps": (-1, 2, -3)}
        yield one(f"slice_{t}", "slice", [x], [(t, (3, 3, 3))], own)
        for mode in ("constant", "reflect", "edge", "wrap"):
            value = [np.array([9], kind)] if mode == "constant" else []
            own = {"pads": (1, 2, -1, 0, 1, 3), "mode": mode}
            yield one(f"pad_{t}_{mode}", "pad", [x, *value], [(t, (4, 8, 9))], own)
        parts = [x, _of(kind, 3, 2, 7), _of(kind, 3, 1, 7)]
        yield one(f"concat_{t}", "concat", parts, [(t, (3, 8, 7))], {"axis": 1})
        yield one(f"expand_{t}", "expand", [_of(kind, 5, 1)], [(t, (3, 5, 7))])
        yield one(f"tile_{t}", "tile", [x], [(t, (6, 5, 21))])
        indices = np.array([[4, -1], [0, -5]], np.int64)
        yield one(f"gather_{t}", "gather", [x, indices], [(t, (3, 2, 2, 7))], {"axis": 1})
        yield one(f"fill_{t}", "fill", [np.array([-3], kind)], [(t, (4, 9))])
    for t in ("s32", "s64", "f32", "f64"):
        yield one(f"sizes_{t}", "sizes", [], [(t, (2, 2))], {"values": (3, -1, 0, 2**24 + 1)})
        yield one(f"range_{t}", "range", [], [(t, (9,))], {"start": 7, "step": -3})
    yield from casts()
    yield from resizes()


def casts() -> Iterator[Case]:
    """Between all element types, out of range too."""
    wide = np.array([0, 1, -1, 127, -129, 300, 2**24 + 1, 2**31 - 1, -(2**31)], np.int64)
    longer = np.concatenate([wide, np.array([2**53 + 1, 2**62 + 12345, -(2**63)], np.int64)])
    sources = {
        "bool": np.array([True, False, True]),
        "u8": np.arange(256).astype(np.uint8),
        "s8": np.arange(-128, 128).astype(np.int8),
        "s32": wide.astype(np.int32),
        "s64": longer,
        "f16": np.array([0, -0.5, 1.5, 300, -300, 65504, np.inf, np.nan, 6e-8], np.float16),
        "f32": SPECIAL,
        "f64": np.concatenate([SPECIAL.astype(np.float64), [1e300, 1 + 2**-24, 2**-150]]),
    }
    for source, target in itertools.product(sources, sources):
        if source != target and (source in {"f32", "f64"} or target == "f32"):
            x = sources[source]
            yield one(f"cast_{source}_{target}", "cast", [x], [(target, x.shape)])


def resizes() -> Iterator[Case]:
    """Nearest and linear, up and down."""

    def case(name: str, x: Any, size: Sequence[int], **own: str) -> Case:
        y = (*x.shape[:2], *size)
        scales = np.array([b / a for a, b in zip(x.shape, y, strict=True)], np.float32)
        return one(name, "resize", [x, scales], [(str(DType.of(x)), y)], own)

    x = Random(18).f32(1, 3, 5, 7)
    for coordinate in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        for size in ((10, 14), (3, 4)):
            name = f"resize_{coordinate}_{size[0]}"
            yield case(f"{name}_linear", x, size, mode="linear", coordinate=coordinate)
        yield case(f"{name}_nearest", x, (9, 6), mode="nearest", coordinate=coordinate)
    yield case("resize_s8", Random(19).s8(2, 9, 4, 4), (8, 8), mode="nearest", nearest="floor")


def low_bits() -> Iterator[Case]:
    """Products with weights of few values, of few bits in groups, and of signs."""
    for levels, N in itertools.product((2, 3, 16), (1, 37)):
        random = Random(20)
        w = ((random.s8(67, N) & 127) % levels - levels // 2).astype(np.int8)
        for M in (1, 4):
            x, name = random.s8(M, 67), f"gemm_narrow_{M}x{N}_{levels}"
            yield one(name, "gemm", [x, w], [("s32", (M, N))], {"x_zero_point": -9})
    for bits, M, zero in itertools.product((2, 4, 8), (1, 5), (False, True)):
        random = Random(21)
        x = np.stack([random.special(100) for _ in range(M)])
        x[~np.isfinite(x) & ~np.isnan(x)] = 1  # the scale of an infinity is no number
        w = random.s8(19, 4, 4 * bits).view(np.uint8)
        scale = random.scales(19 * 4).reshape(19, 4)
        scale = scale.astype(np.float16) if bits == 4 else scale
        zeros = random.s8(19, 4).view(np.uint8) >> (8 - bits) if zero else None
        inputs = [x, w, scale, zeros, random.f32(19)]
        name, own = f"gemm_groups_{bits}_{M}_{zero:d}", {"bits": bits, "group": 32}
        yield one(name, "gemm_groups", inputs, [("f32", (M, 19))], own)
    for M in (1, 3):
        random = Random(22)
        x = np.stack([random.special(131) for _ in range(M)])
        inputs = [x, random.s8(21, 17).view(np.uint8), random.scales(21), random.f32(21)]
        yield one(f"gemm_sign_{M}", "gemm_sign", inputs, [("f32", (M, 21))])


def every() -> Iterator[Case]:
    """All of them."""
    yield from cases.gemms()
    yield from cases.convolutions()
    yield from cases.pools()
    yield from cases.elementwise()
    yield from cases.quantization()
    yield from norms()
    yield from reductions()
    yield from movement()
    yield from low_bits()

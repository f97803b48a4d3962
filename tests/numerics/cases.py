"""Problems of class E and D, each a Program of one step with inputs.

Sizes are odd on purpose: they leave remainders for vectors of 8 to 64 elements, and the larger ones
are cut into tasks for two threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime import kernels
from pyruntime.graph.types import DType
from pyruntime.plan.program import ABSENT, Port, Program, ProgramValue, Segment, Step

Array = NDArray[Any]
Output = tuple[str, Sequence[int]]

SPECIAL = np.array(
    [
        *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 6.0, 1e-45, -1e-45, 1.1754944e-38),
        *(-1e-39, 3.4028235e38, -3.4028235e38, np.inf, -np.inf, np.nan, 88.7, 88.8, -87.4, -103.9),
        *(127.5, 128.5, -128.5, 255.5, 2147483520.0, 2147483648.0, -2147483648.0, 4294967296.0),
        *(9.2233720368547758e18, -9.2233720368547758e18, 65504.0, 65520.0, 6e-8, 1e30, 8388609.0),
    ],
    np.float32,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A named Program and arrays for its inputs, in order."""

    name: str
    program: Program
    feeds: tuple[Array, ...]


class Random:
    """Reproducible arrays."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def s8(self, *dims: int, least: int = -128) -> Array:
        return self.rng.integers(least, 127, dims, np.int8, endpoint=True)

    def s32(self, *dims: int, size: int = 2000) -> Array:
        return self.rng.integers(-size, size, dims, np.int32, endpoint=True)

    def f32(self, *dims: int, size: float = 4) -> Array:
        return self.rng.uniform(-size, size, dims).astype(np.float32)

    def scales(self, count: int, size: float = 0.002) -> Array:
        return self.rng.uniform(size / 2, size, count).astype(np.float32)

    def bools(self, *dims: int) -> Array:
        return self.rng.integers(0, 2, dims).astype(np.bool_)

    def special(self, count: int) -> Array:
        """Values that IEEE or a conversion treats specially, then common ones."""
        return np.concatenate([SPECIAL, self.f32(count - SPECIAL.size, size=12)])


def one(
    name: str,
    family: str,
    inputs: Sequence[Array | None],
    outputs: Sequence[Output],
    attributes: Mapping[str, Any] | None = None,
    *,
    variable: bool = False,
) -> Case:
    """A step whose parameters are constants of the file, or inputs too where `variable`."""
    specs = kernels.families()[family].inputs
    values: list[ProgramValue] = []
    ports: list[Port] = []
    operands: list[int] = []
    feeds: list[Array] = []
    for index, array in enumerate(inputs):
        if array is None:
            operands.append(ABSENT)
            continue
        operands.append(len(values))
        parameter = specs[min(index, len(specs) - 1)].parameter and not variable
        if not parameter:
            ports.append(Port(f"x{index}", len(values)))
            feeds.append(np.ascontiguousarray(array))
        constant = np.ascontiguousarray(array) if parameter else None
        values.append(ProgramValue(DType.of(array), array.shape, f"x{index}", constant))
    first = len(values)
    values += [ProgramValue(DType(dtype), tuple(dims)) for dtype, dims in outputs]
    made = tuple(range(first, len(values)))
    step = Step(family, dict(attributes or {}), tuple(operands), made, name)
    results = tuple(Port(f"y{index}", value) for index, value in enumerate(made))
    program = Program(tuple(values), tuple(ports), results, (Segment((step,)),))
    return Case(name, program, tuple(feeds))


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What follows an integer accumulator."""

    name: str
    dtype: str
    bias: bool = False
    scales: str = ""  # "one" or "all"
    residual: str = ""  # dtype
    attributes: tuple[tuple[str, Any], ...] = ()


EPILOGUES = (
    Epilogue("s32", "s32"),
    Epilogue("s32_bias", "s32", bias=True),
    Epilogue("s8_one", "s8", scales="one"),
    Epilogue("s8_all_bias", "s8", True, "all", attributes=(("y_zero_point", -7),)),
    Epilogue("s8_relu", "s8", True, "all", attributes=(("y_zero_point", -128), ("q_lo", -128))),
    Epilogue("s8_relu6", "s8", True, "one", attributes=(("q_lo", 0), ("q_hi", 91))),
    Epilogue("s8_add", "s8", True, "all", "s8", (("residual_zero_point", 5), ("y_zero_point", 3))),
    Epilogue("f32", "f32", True, "all"),
    Epilogue("f32_add", "f32", True, "all", "f32", (("lo", -1.5), ("hi", 2.25))),
)
SHORT = tuple(e for e in EPILOGUES if e.name in {"s32_bias", "s8_all_bias", "s8_add"})


def finish(
    random: Random, epilogue: Epilogue, dims: Sequence[int], channels: int
) -> tuple[list[Array | None], dict[str, Any]]:
    """Bias, scale, residual and its scale, and the attributes."""
    bias = random.s32(channels) if epilogue.bias else None
    count = {"": 0, "one": 1, "all": channels}[epilogue.scales]
    scale = random.scales(count) if count else None
    rest: list[Array | None] = [bias, scale]
    if epilogue.residual == "s8":
        rest += [random.s8(*dims), random.scales(1, 0.9)]
    elif epilogue.residual:
        rest += [random.f32(*dims), None]
    return rest, dict(epilogue.attributes)


def gemm_case(
    name: str, random: Random, epilogue: Epilogue, a: Array, w: Array, **attributes: int
) -> Case:
    """One s8 product of 2-D operands."""
    M = a.shape[1] if attributes.get("trans_a") else a.shape[0]
    N = w.shape[0] if attributes.get("trans_b") else w.shape[1]
    rest, own = finish(random, epilogue, (M, N), N)
    inputs = [a, w, *rest]
    return one(name, "gemm", inputs, [(epilogue.dtype, (M, N))], {**own, **attributes})


def gemms() -> Iterator[Case]:
    """Products of s8 matrices with every epilogue."""
    shapes = [(1, 1, 1), (3, 17, 5), (7, 131, 33), (33, 64, 96)]
    for number, (M, K, N) in enumerate(shapes):
        for epilogue in EPILOGUES:
            random = Random(number)
            a, w = random.s8(M, K), random.s8(K, N, least=-127)
            name = f"gemm_{M}x{K}x{N}_{epilogue.name}"
            yield gemm_case(name, random, epilogue, a, w, x_zero_point=number * 11 - 20)
    for trans_a, trans_b in itertools.product((0, 1), (0, 1)):
        random = Random(20)
        a, w = random.s8(5, 41), random.s8(41, 19)  # -128 too
        a, w = (a.T if trans_a else a), (w.T if trans_b else w)
        name = f"gemm_trans{trans_a}{trans_b}"
        yield gemm_case(name, random, EPILOGUES[3], a, w, trans_a=trans_a, trans_b=trans_b)
    random = Random(21)
    least = np.full((4, 96), -128, np.int8)
    yield gemm_case("gemm_least", random, EPILOGUES[1], least, np.full((96, 9), -128, np.int8))
    for zeros in (0.5, 0.8, 0.95, 1.0):
        for epilogue in (EPILOGUES[1], EPILOGUES[3], EPILOGUES[6]):
            random = Random(22)
            w = random.s8(192, 80, least=-127)
            w[random.rng.random(w.shape) < zeros] = 0
            a = random.s8(9, 192)
            name = f"gemm_zeros{round(zeros * 100)}_{epilogue.name}"
            yield gemm_case(name, random, epilogue, a, w, x_zero_point=4)
    batches = [((2, 3, 4, 9), (2, 3, 9, 6)), ((2, 1, 4, 9), (3, 9, 6)), ((4, 9), (3, 9, 6))]
    for number, (a_dims, w_dims) in enumerate(batches):
        random = Random(30 + number)
        y = (*np.broadcast_shapes(a_dims[:-2], w_dims[:-2]), 4, 6)
        inputs = [random.s8(*a_dims), random.s8(*w_dims)]
        yield one(f"gemm_batch{number}", "gemm", inputs, [("s32", y)], variable=True)


def convolution(
    name: str,
    epilogue: Epilogue,
    x: Sequence[int],
    w: Sequence[int],
    *,
    zeros: float = 0,
    **attributes: Any,
) -> Case:
    """One s8 convolution."""
    spatial = len(x) - 2
    strides = attributes.get("strides", (1,) * spatial)
    pads = attributes.get("pads", (0,) * (2 * spatial))
    dilations = attributes.get("dilations", (1,) * spatial)
    extents = [
        (x[2 + i] + pads[i] + pads[spatial + i] - dilations[i] * (w[2 + i] - 1) - 1) // strides[i]
        + 1
        for i in range(spatial)
    ]
    y = (x[0], w[0], *extents)
    random = Random(len(name))
    weights = random.s8(*w, least=-127)
    weights[random.rng.random(weights.shape) < zeros] = 0
    rest, own = finish(random, epilogue, y, w[0])
    inputs = [random.s8(*x), weights, *rest]
    return one(name, "conv", inputs, [(epilogue.dtype, y)], {**own, "x_zero_point": 6} | attributes)


def convolutions() -> Iterator[Case]:
    """Dense, grouped, depthwise, strided, dilated and pruned convolutions, in 1 and 2 dims."""
    kinds: dict[str, tuple[Sequence[int], Sequence[int], dict[str, Any]]] = {
        "1x1": ((1, 19, 7, 9), (21, 19, 1, 1), {}),
        "3x3": ((2, 5, 9, 8), (17, 5, 3, 3), {"pads": (1, 1, 1, 1)}),
        "first": ((1, 3, 17, 15), (16, 3, 3, 3), {"strides": (2, 2), "pads": (0, 0, 1, 1)}),
        "stride": ((1, 16, 8, 8), (32, 16, 1, 1), {"strides": (2, 2)}),
        "5x2": ((1, 7, 9, 6), (6, 7, 5, 2), {"pads": (2, 0, 2, 1)}),
        "dilated": ((1, 4, 11, 11), (9, 4, 3, 3), {"dilations": (2, 3), "pads": (2, 3, 2, 3)}),
        "groups": ((1, 12, 6, 7), (18, 4, 3, 3), {"group": 3, "pads": (1, 1, 1, 1)}),
        "depth": ((1, 35, 9, 7), (35, 1, 3, 3), {"group": 35, "pads": (1, 1, 1, 1)}),
        "depth_stride": ((2, 16, 9, 9), (16, 1, 3, 3), {"group": 16, "strides": (2, 2)}),
        "depth5": ((1, 8, 8, 8), (8, 1, 5, 5), {"group": 8, "pads": (2, 2, 2, 2)}),
        "multiplier": ((1, 6, 5, 5), (12, 1, 3, 3), {"group": 6}),
        "one_dim": ((2, 9, 31), (11, 9, 5), {"strides": (2,), "pads": (2, 2)}),
        "depth_1d": ((1, 20, 30), (20, 1, 3), {"group": 20, "pads": (1, 1)}),
        "tasks": ((1, 32, 20, 20), (64, 32, 3, 3), {"pads": (1, 1, 1, 1)}),
    }
    for kind, (x, w, attributes) in kinds.items():
        for epilogue in SHORT:
            yield convolution(f"conv_{kind}_{epilogue.name}", epilogue, x, w, **attributes)
    for epilogue in EPILOGUES:
        yield convolution(
            f"conv_every_{epilogue.name}", epilogue, (1, 6, 7, 7), (10, 6, 3, 3), pads=(1, 0, 1, 0)
        )
    for zeros, epilogue in itertools.product((0.7, 0.95), SHORT[1:]):
        name = f"{round(zeros * 100)}_{epilogue.name}"
        x, around = (1, 64, 8, 8), (1, 1, 1, 1)
        yield convolution(f"conv_zeros1x1_{name}", epilogue, x, (48, 64, 1, 1), zeros=zeros)
        yield convolution(
            f"conv_zeros3x3_{name}", epilogue, x, (24, 64, 3, 3), zeros=zeros, pads=around
        )


def pools() -> Iterator[Case]:
    """Maxima and means, s8 and f32."""
    kinds: dict[str, tuple[Sequence[int], Sequence[int], dict[str, Any]]] = {
        "2x2": ((2, 19, 8, 6), (4, 3), {"kernel": (2, 2), "strides": (2, 2)}),
        "3x3": (
            (1, 33, 7, 7),
            (4, 4),
            {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        ),
        "global": ((1, 40, 7, 5), (1, 1), {"kernel": (7, 5)}),
        "line": ((1, 6, 13), (7,), {"kernel": (3,), "strides": (2,), "pads": (1, 1)}),
    }
    for kind, (x, extents, attributes) in kinds.items():
        y = (*x[:2], *extents)
        for padded in (0, 1) if "pads" in attributes else (0,):
            random = Random(7)
            own = {**attributes, "op": "average", "count_include_pad": padded}
            yield one(f"pool_mean_{kind}{padded}", "pool", [random.f32(*x)], [("f32", y)], own)
            scale = np.array([1.37], np.float32)
            quantized = {**own, "x_zero_point": 3, "y_zero_point": -9}
            inputs = [random.s8(*x), scale]
            yield one(f"pool_mean_s8_{kind}{padded}", "pool", inputs, [("s8", y)], quantized)
        own = {**attributes, "op": "max"}
        yield one(f"pool_max_{kind}", "pool", [Random(8).f32(*x)], [("f32", y)], own)
        yield one(f"pool_max_s8_{kind}", "pool", [Random(8).s8(*x)], [("s8", y)], own)


UNARY = (
    *("neg", "abs", "sqrt", "reciprocal", "floor", "ceil", "round", "sign", "relu", "exp", "log"),
    *("tanh", "sigmoid", "erf", "gelu", "gelu_tanh", "silu", "hard_swish", "softplus", "sin"),
    "cos",
)
PARAMETRIC = {
    "clip": (-1.5, 2.0),
    "leaky_relu": (0.1, 0.0),
    "hard_sigmoid": (0.2, 0.5),
    "elu": (1.25, 0.0),
}
BINARY = ("add", "sub", "mul", "div", "min", "max", "pow", "prelu")
COMPARE = ("equal", "less", "less_equal", "greater", "greater_equal")


def elementwise() -> Iterator[Case]:
    """Every function on special and common values, every dtype, with broadcasting."""
    for op in UNARY:
        x = Random(1).special(411)
        yield one(f"unary_{op}", "elementwise", [x], [("f32", x.shape)], {"op": op})
    for op, (alpha, beta) in PARAMETRIC.items():
        x = Random(2).special(411)
        own = {"op": op, "alpha": alpha, "beta": beta}
        yield one(f"unary_{op}", "elementwise", [x], [("f32", x.shape)], own)
    pairs = [np.ascontiguousarray(m) for m in np.meshgrid(SPECIAL, SPECIAL)]
    for op in (*BINARY, *COMPARE):
        dtype = "bool" if op in COMPARE else "f32"
        own = {"op": op}
        y = pairs[0].shape
        yield one(f"pairs_{op}", "elementwise", pairs, [(dtype, y)], own)
        random = Random(3)
        across = [random.f32(3, 1, 37), random.f32(1, 5, 1)]
        if op == "pow":
            across[0] = np.abs(across[0])
        yield one(f"across_{op}", "elementwise", across, [(dtype, (3, 5, 37))], own)
    for kind, op in itertools.product((np.int32, np.int64), (*BINARY[:6], *COMPARE)):
        random = Random(4)
        a, b = (random.s32(6, 29, size=2**31 - 1).astype(kind) for _ in range(2))
        b = np.where(b == 0, 3, b).astype(kind) // (70_000 if op == "div" else 1)
        b = np.where(b == 0, 3, b).astype(kind)
        same = str(DType.of(a))
        dtype = "bool" if op in COMPARE else same
        yield one(f"{same}_{op}", "elementwise", [a, b], [(dtype, a.shape)], {"op": op})
    for op in ("and", "or", "xor"):
        random = Random(5)
        inputs = [random.bools(4, 35), random.bools(35)]
        yield one(f"bool_{op}", "elementwise", inputs, [("bool", (4, 35))], {"op": op})
    yield one("bool_not", "elementwise", [Random(5).bools(67)], [("bool", (67,))], {"op": "not"})
    random = Random(6)
    for a, b in [
        (random.f32(3, 33), random.f32(33)),
        (random.s8(3, 33), random.s8(3, 33)),
        (random.s32(3, 33).astype(np.int64), random.s32(3, 1).astype(np.int64)),
    ]:
        dtype = str(DType.of(a))
        inputs = [random.bools(3, 33), a, b]
        yield one(f"where_{dtype}", "elementwise", inputs, [(dtype, (3, 33))], {"op": "where"})
    for op, (a_dims, b_dims) in itertools.product(
        ("add", "mul"), [((2, 7, 37), (2, 7, 37)), ((2, 7, 37), (7, 1)), ((2, 1, 37), (2, 7, 1))]
    ):
        random = Random(len(b_dims))
        scales = (0.7, 0.4) if op == "add" else (0.009, 1.0)
        inputs = [random.s8(*a_dims), random.s8(*b_dims)]
        inputs += [np.array([scale], np.float32) for scale in scales]
        own = {"op": op, "a_zero_point": 4, "b_zero_point": -3, "y_zero_point": -11, "q_lo": -100}
        name = f"q{op}_{'x'.join(map(str, a_dims))}_{'x'.join(map(str, b_dims))}"
        yield one(name, "qelementwise", inputs, [("s8", (2, 7, 37))], own)


def quantization() -> Iterator[Case]:
    """Between real and 8-bit values."""
    random = Random(9)
    every = np.arange(-128, 128, dtype=np.int8)
    table = random.s8(256)
    for name, x in (("every", every), ("odd", random.s8(3, 2731))):
        yield one(f"lookup_{name}", "lookup", [x, table], [("s8", x.shape)])
        own = {"x_zero_point": 7, "y_zero_point": -5}
        scale = np.array([1.731], np.float32)
        yield one(f"requantize_{name}", "requantize", [x, scale], [("s8", x.shape)], own)
        yield one(f"cast_sign_{name}", "cast_sign", [x], [("u8", x.shape)])
        back = x.view(np.uint8)
        yield one(f"cast_sign_back_{name}", "cast_sign", [back], [("s8", x.shape)])
    halves = np.arange(-300, 300, dtype=np.float32) / 2
    special = random.special(501)
    for name, x in (("halves", halves), ("special", special)):
        for scale, zero in ((1.0, 0), (0.037, -128), (3.0, 100)):
            own = {"zero_point": (zero,), "axis": 0}
            inputs = [x, np.array([scale], np.float32)]
            label = f"quantize_{name}_{zero}"
            yield one(label, "quantize", inputs, [("s8", x.shape)], own)
        own = {"zero_point": (3,), "q_lo": -20, "q_hi": 50, "axis": 0}
        inputs = [x, np.array([0.11], np.float32)]
        yield one(f"quantize_{name}_narrow", "quantize", inputs, [("s8", x.shape)], own)
    x = random.f32(2, 9, 23)
    for axis in range(3):
        scale = random.scales(x.shape[axis], 0.05)
        own = {"axis": axis}
        yield one(f"quantize_axis{axis}", "quantize", [x, scale], [("s8", x.shape)], own)
        for q in (random.s8(*x.shape), random.s32(*x.shape, size=2**31 - 1)):
            name = f"dequantize_{DType.of(q)}_axis{axis}"
            yield one(name, "dequantize", [q, scale], [("f32", x.shape)], own)
    for q, zero in ((every, 13), (random.s32(77, size=2**30), -100)):
        inputs = [q, np.array([0.0173], np.float32)]
        own = {"zero_point": (zero,), "axis": 0}
        name = f"dequantize_{DType.of(q)}"
        yield one(name, "dequantize", inputs, [("f32", q.shape)], own)
    finite = special[np.abs(special) < 1e6]
    for name, x in (("f", random.f32(5, 77)), ("special", finite), ("zero", np.zeros_like(halves))):
        outputs: list[Output] = [("u8", x.shape), ("f32", ()), ("u8", ())]
        yield one(f"dynamic_quantize_{name}", "dynamic_quantize", [x], outputs)

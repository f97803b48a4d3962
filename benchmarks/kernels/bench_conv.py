"""The distinct convolutions of ResNet-50 and MobileNetV2 at 224 x 224, batch 1: f32 and int8.

Every engine gets its activations in the layout that it likes between the layers of a network, so
that no conversion is timed, and what a call costs beside the work (measured on a 1 x 1 image) is
taken off: a sum over layers then compares networks. `pyruntime` is timed by the runtime's own clock
around the step.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import engines, litert, peers
from benchmarks.kernels.bench_gemm import DEVIATION, offset_result, shifted
from benchmarks.peers import Array, Subject
from pyruntime import kernels


@dataclass(frozen=True, slots=True)
class Layer:
    """Square: `size` of the image, C to O channels, kernel k, `count` layers of the net like it."""

    net: str
    size: int
    C: int
    O: int  # noqa: E741 (as in OHWI)
    k: int
    stride: int = 1
    depthwise: bool = False
    count: int = 1

    @property
    def group(self) -> int:
        return self.C if self.depthwise else 1

    @property
    def pad(self) -> int:
        return self.k // 2

    @property
    def out(self) -> int:
        return (self.size + 2 * self.pad - self.k) // self.stride + 1

    @property
    def operations(self) -> int:
        return 2 * self.out**2 * self.O * self.C // self.group * self.k**2

    def __str__(self) -> str:
        kind = "dw" if self.depthwise else "conv"
        return f"{self.net}-{kind}{self.k}x{self.k}s{self.stride}-{self.size}-{self.C}-{self.O}"


def resnet50() -> list[Layer]:
    layers = [Layer("resnet50", 224, 3, 64, 7, 2)]
    # (size, channels in, width, blocks); the first block of a stage has a projection and, from the
    # second stage on, strides in its 3x3 layer.
    for size, into, width, blocks in ((56, 64, 64, 3), (56, 256, 128, 4), (28, 512, 256, 6), (14, 1024, 512, 3)):  # fmt: skip  # noqa: E501
        stride = 1 if into == 64 else 2
        small, wide = size // stride, 4 * width
        layers += [
            Layer("resnet50", size, into, width, 1),
            Layer("resnet50", size, width, width, 3, stride, count=1 if stride == 2 else blocks),
            Layer("resnet50", small, width, wide, 1, count=blocks),
            Layer("resnet50", size, into, wide, 1, stride),
            Layer("resnet50", small, wide, width, 1, count=blocks - 1),
        ]
        if stride == 2:
            layers.append(Layer("resnet50", small, width, width, 3, count=blocks - 1))
    return layers


def mobilenet_v2() -> list[Layer]:
    layers = [Layer("mobilenetv2", 224, 3, 32, 3, 2)]
    layers += [Layer("mobilenetv2", 112, 32, 32, 3, depthwise=True)]
    layers += [Layer("mobilenetv2", 112, 32, 16, 1)]
    size, into = 112, 16
    for width, blocks, stride in ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)):  # fmt: skip  # noqa: E501
        for block in range(blocks):
            step = stride if block == 0 else 1
            wide = 6 * into
            layers += [
                Layer("mobilenetv2", size, into, wide, 1),
                Layer("mobilenetv2", size, wide, wide, 3, step, depthwise=True),
                Layer("mobilenetv2", size // step, wide, width, 1),
            ]
            size, into = size // step, width
    return [*layers, Layer("mobilenetv2", 7, 320, 1280, 1)]


def distinct(layers: list[Layer]) -> list[Layer]:
    """Equal layers become one that counts them."""
    counts: dict[Layer, int] = {}
    for layer in layers:
        key = Layer(**{**_fields(layer), "count": 1})
        counts[key] = counts.get(key, 0) + layer.count
    return [Layer(**{**_fields(key), "count": count}) for key, count in counts.items()]


def _fields(layer: Layer) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in Layer.__slots__}


LAYERS = distinct(resnet50()) + distinct(mobilenet_v2())
EMPTY = Layer("empty", 1, 8, 8, 1)


@functools.lru_cache(maxsize=2)
def operands(layer: Layer, dtype: str) -> tuple[Array, Array]:
    """Gives x [1, C, size, size] and w [O, C / group, k, k]."""
    random = np.random.default_rng(layer.size + layer.C + layer.O)
    dims = (1, layer.C, layer.size, layer.size), (layer.O, layer.C // layer.group, layer.k, layer.k)
    x, w = (random.normal(scale=DEVIATION, size=d) for d in dims)
    if dtype == "f32":
        return x.astype(np.float32), w.astype(np.float32) / 1024
    x, w = (np.clip(np.rint(array), -127, 127).astype(np.int8) for array in (x, w))
    return x, w


def output_scale(layer: Layer) -> np.float32:
    """Brings the sums to a deviation of 40."""
    products = layer.C // layer.group * layer.k**2
    return np.float32(40 / (DEVIATION**2 * np.sqrt(products)))


@functools.lru_cache(maxsize=1)
def expected(layer: Layer, dtype: str) -> Array | None:
    """[1, O, out, out] by torch in float64; None without torch."""
    if not peers.installed("torch"):
        return None
    torch = engines.torch_module()
    x, w = (torch.from_numpy(array.astype(np.float64)) for array in operands(layer, dtype))
    function = torch.nn.functional.conv2d
    y: Array = function(x, w, None, layer.stride, layer.pad, 1, layer.group).numpy()
    if dtype == "s8":
        return np.clip(np.rint(y * output_scale(layer)), -128, 127)
    return y


def channels_last(array: Array) -> Array:
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def channels_first(subject: Subject) -> Subject:
    """With an NCHW result, to compare."""
    return Subject(subject.run, lambda: subject.result().transpose(0, 3, 1, 2), subject.info)


def pyruntime(layer: Layer, dtype: str) -> Subject:
    x, w = operands(layer, dtype)
    attributes = {
        "kernel": [layer.k] * 2,
        "strides": [layer.stride] * 2,
        "pads": [layer.pad] * 4,
        "dilations": [1, 1],
        "group": layer.group,
    }
    scale = [None, np.full(layer.O, output_scale(layer), np.float32)] if dtype == "s8" else []
    y = (dtype, (1, layer.O, layer.out, layer.out))
    kernel = kernels.Kernel("conv", [x, w, *scale], [y], attributes)
    step = kernel.step
    info = {"row": step.row, "isa": peers.machine()["isa"], "bytes": step.packed_bytes}
    return Subject(kernel.loop(), lambda: kernel()[0], info, lambda: kernel.step_ns(15) / 1e9)


def torch(layer: Layer, dtype: str) -> Subject:
    x, w = operands(layer, dtype)
    if dtype == "f32":
        return engines.torch_convolution(x, w, layer.stride, layer.pad, layer.group)
    scale = float(output_scale(layer))
    return engines.torch_quantized_convolution(x, w, scale, layer.stride, layer.pad, layer.group)


def attributes(layer: Layer) -> dict[str, Any]:
    """Of an ONNX Conv."""
    return {
        "kernel_shape": [layer.k] * 2,
        "strides": [layer.stride] * 2,
        "pads": [layer.pad] * 4,
        "group": layer.group,
    }


def onnx_f32(layer: Layer) -> peers.Model:
    x, w = operands(layer, "f32")
    ends = {"a": ("FLOAT", x.shape)}, ("FLOAT", (1, layer.O, layer.out, layer.out))
    given = {"Conv": attributes(layer)}
    return peers.onnx_chain([("Conv", ["a", "w"], "y")], ends[0], {"w": w}, ends[1], given)


def onnxruntime(layer: Layer, dtype: str) -> Subject:
    x, w = operands(layer, dtype)
    if dtype == "f32":
        return onnxruntime_f32(layer)
    one, middle = np.float32(1), np.uint8(128)
    constants = {
        "a_scale": one,
        "middle": middle,
        "w": w,
        "w_scale": output_scale(layer),
        "zero": np.int8(0),
        "y_scale": one,
    }
    names = ["a", "a_scale", "middle", "w", "w_scale", "zero", "y_scale", "middle"]
    operator = "com.microsoft:QLinearConv"
    feed = shifted(channels_last(x))
    model = peers.onnx_chain(
        [(operator, names, "y")],
        {"a": ("UINT8", feed.shape)},
        {name: np.asarray(value) for name, value in constants.items()},
        ("UINT8", (1, layer.out, layer.out, layer.O)),
        {operator: {**attributes(layer), "channels_last": 1}},
    )
    return channels_first(offset_result(peers.onnxruntime_model(model, {"a": feed})))


def onnxruntime_f32(layer: Layer) -> Subject:
    """Its optimiser's model without the reordering of the input and output to blocks of channels.

    Without the reordering the result is in blocks, so it is checked with it.
    """
    ort, onnx = peers.require("onnxruntime"), peers.require("onnx")
    x, _ = operands(layer, "f32")
    whole = peers.onnxruntime_model(onnx_f32(layer), {"a": x})
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        options.log_severity_level = 4  # it warns that the file is for this CPU only
        ort.InferenceSession(onnx_f32(layer).SerializeToString(), options)
        model = onnx.load(options.optimized_model_filepath)
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    if len(convs) != 1 or convs[0].domain != "com.microsoft.nchwc":
        return whole
    del model.graph.node[:]
    model.graph.node.extend(convs)
    filters = model.graph.initializer[0]
    block = 1 if convs[0].input[0] == "a" else 16
    channels = [-(-count // block) * block for count in (layer.C, max(layer.O, filters.dims[0]))]
    dims = (1, channels[0], *x.shape[2:])
    out = onnx.helper.make_tensor_value_info(
        convs[0].output[0], 1, (1, filters.dims[0], layer.out, layer.out)
    )
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.append(out)
    name = convs[0].input[0]
    if name != "a":
        dims = (1, -(-layer.C // 8) * 8, *x.shape[2:])
        del model.graph.input[:]
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, 1, dims))
    feed = x if name == "a" else np.ones(dims, np.float32)
    blocks = peers.onnxruntime_model(model, {name: feed})
    return Subject(blocks.run, whole.result, blocks.info)


def openvino(layer: Layer, dtype: str) -> Subject:
    x, w = operands(layer, dtype)
    feed = channels_last(x)
    if dtype == "f32":
        model = onnx_f32(layer)
        return channels_first(engines.openvino_model(model, {"a": feed}, channels_last=True))
    model = peers.quantized_chain(
        "Conv",
        x.shape,
        w,
        output_scale(layer),
        (1, layer.O, layer.out, layer.out),
        **attributes(layer),
    )
    made = engines.openvino_model(model, {"a": shifted(feed)}, channels_last=True)
    return channels_first(offset_result(made))


def litert_convolution(layer: Layer, dtype: str) -> Subject:
    x, w = operands(layer, dtype)
    scale = np.full(layer.O, output_scale(layer)) if dtype == "s8" else None
    made = litert.convolution(channels_last(x), channels_last(w), scale, layer.stride, layer.group)
    return channels_first(made)


def ncnn(layer: Layer, dtype: str) -> Subject:
    assert dtype == "f32"
    made = engines.ncnn_convolution(*operands(layer, dtype), layer.stride, layer.pad, layer.group)
    return Subject(made.run, lambda: made.result()[None], made.info)


SUBJECTS: dict[str, Callable[[Layer, str], Subject]] = {
    "pyruntime": pyruntime,
    "torch": torch,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "litert": litert_convolution,
    "ncnn": ncnn,
}


@functools.cache
def empty_call(name: str, dtype: str) -> float:
    """Seconds of a call that has nothing to compute; 0 where the work alone is timed."""
    return 0.0 if name == "pyruntime" else peers.quick_seconds(SUBJECTS[name](EMPTY, dtype))


CASES = [
    pytest.param(layer, dtype, name, id=f"{layer}-{dtype}-t1-{name}")
    for layer in LAYERS
    for dtype in ("f32", "s8")
    for name in SUBJECTS
    if (name, dtype) != ("ncnn", "s8")  # a tenth of the others' speed
]


@pytest.mark.parametrize(("layer", "dtype", "name"), CASES)
def bench_conv(benchmark: Any, layer: Layer, dtype: str, name: str) -> None:
    # TensorFlow pads strided layers at one side only: another result for the same work.
    same = not (name == "litert" and layer.stride > 1 and layer.k > 1)
    products = layer.C // layer.group * layer.k**2
    peers.measure(
        benchmark,
        SUBJECTS[name](layer, dtype),
        group=str(layer),
        operations=layer.operations,
        expected=expected(layer, dtype) if same else None,
        tolerance=1.0 if dtype == "s8" else 1e-4 * float(np.sqrt(products)),
        seconds=peers.SHORT_CASE_SECONDS,
        subject=name,
        dtype=dtype,
        nets={layer.net: layer.count},
        empty_call_seconds=empty_call(name, dtype),
    )

"""torch, OpenVINO and ncnn as subjects; onnxruntime is in peers.py, LiteRT in litert.py."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.peers import Array, Model, Subject


def torch_module() -> ModuleType:
    """Gives torch, with one thread."""
    torch = peers.require("torch")
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    return torch


def torch_call(function: Callable[[], Any], **info: Any) -> Subject:
    """A call that gives a tensor, without gradients."""
    torch = torch_module()

    def run() -> Any:
        with torch.inference_mode():
            return function()

    return Subject(run, lambda: run().numpy(), info)


def torch_product(a: Array, w: Array) -> Subject:
    torch = torch_module()
    left, right = torch.from_numpy(a), torch.from_numpy(w)
    out = torch.empty(a.shape[0], w.shape[1])
    return torch_call(lambda: torch.mm(left, right, out=out))


def torch_csr_product(a: Array, w: Array) -> Subject:
    """The CSR of w transposed times a transposed, in the order that suits it best."""
    torch = torch_module()
    with warnings.catch_warnings():  # it calls CSR a beta
        warnings.simplefilter("ignore", UserWarning)
        matrix = torch.from_numpy(np.ascontiguousarray(w.T)).to_sparse_csr()
    columns = torch.from_numpy(np.ascontiguousarray(a.T))
    size = matrix.values().nbytes + matrix.col_indices().nbytes
    return torch_call(lambda: (matrix @ columns).T, bytes=size)


def torch_int_product(a: Array, w: Array) -> Subject:
    """s8 x s8 -> s32."""
    torch = torch_module()
    left, right = torch.from_numpy(a), torch.from_numpy(w)
    return torch_call(lambda: torch._int_mm(left, right))


def torch_quantized(array: Array, offset: int) -> Any:
    """A quantised tensor of scale 1: u8 (value + 128) or s8."""
    torch = torch_module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eager quantisation is deprecated, and nothing replaces it
        stored = (array.astype(np.int16) + offset).astype(np.uint8) if offset else array
        return torch._make_per_tensor_quantized_tensor(torch.from_numpy(stored), 1.0, offset)


def torch_quantized_product(a: Array, w: Array, scale: float) -> Subject:
    """u8 x s8 -> u8, weights packed beforehand, one scale."""
    torch = torch_module()
    x = torch_quantized(a, 128)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed = torch.ops.quantized.linear_prepack(
            torch_quantized(np.ascontiguousarray(w.T), 0), None
        )

    def run() -> Any:
        return torch.ops.quantized.linear(x, packed, 1 / scale, 128)

    return _torch_8_bit(run)


def torch_quantized_convolution(
    x: Array, w: Array, scale: float, stride: int, pad: int, group: int
) -> Subject:
    """Of x [N, C, H, W] and w [O, C / group, k, k], u8 out."""
    torch = torch_module()
    held = torch_quantized(x, 128).contiguous(memory_format=torch.channels_last)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed = torch.ops.quantized.conv2d_prepack(
            torch_quantized(w, 0), None, [stride] * 2, [pad] * 2, [1, 1], group
        )

    def run() -> Any:
        return torch.ops.quantized.conv2d(held, packed, 1 / scale, 128)

    return _torch_8_bit(run)


def _torch_8_bit(run: Callable[[], Any]) -> Subject:
    def result() -> Array:
        values: Array = run().int_repr().numpy().astype(np.int32) - 128
        return values

    return Subject(run, result, {"saturates": True})


def torch_convolution(x: Array, w: Array, stride: int, pad: int, group: int) -> Subject:
    torch = torch_module()
    held = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
    filters = torch.from_numpy(w).contiguous(memory_format=torch.channels_last)
    function = torch.nn.functional.conv2d
    return torch_call(lambda: function(held, filters, None, stride, pad, 1, group))


def openvino_model(
    model: Model, feeds: Mapping[str, Array], channels_last: bool = False, threads: int = 1
) -> Subject:
    """An ONNX model in OpenVINO; with `channels_last`, 4-D ends are NHWC in memory."""
    ov = peers.require("openvino")
    core = ov.Core()
    loaded = core.read_model(model.SerializeToString())
    if channels_last:
        process = ov.preprocess.PrePostProcessor(loaded)
        for end in (process.input(0), process.output(0)):
            end.tensor().set_layout(ov.Layout("NHWC"))
            end.model().set_layout(ov.Layout("NCHW"))
        loaded = process.build()
    config = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(loaded, "CPU", config).create_infer_request()
    for name, array in feeds.items():
        request.set_tensor(name, ov.Tensor(array))

    def result() -> Array:
        request.infer()
        found: Array = request.get_output_tensor().data.copy()
        return found

    return Subject(request.infer, result, {})


def ncnn_model(layer: str, weights: list[Array], feed: Array) -> Subject:
    """One layer, f32: `layer` is its line in ncnn's text format, from `a` to `y`.

    Weights start with their tag (4 zero bytes: f32 follows) where ncnn expects one.
    """
    ncnn = peers.require("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_bf16_storage = net.opt.use_fp16_storage = False
    net.opt.use_fp16_arithmetic = net.opt.use_fp16_packed = False
    with tempfile.TemporaryDirectory() as folder:
        text, data = Path(folder, "net.param"), Path(folder, "net.bin")
        text.write_text(f"7767517\n2 2\nInput a 0 1 a\n{layer}\n")
        tag = b"\0\0\0\0"
        data.write_bytes(tag + b"".join(np.ascontiguousarray(w).tobytes() for w in weights))
        if net.load_param(str(text)) != 0 or net.load_model(str(data)) != 0:
            raise RuntimeError(f"ncnn does not load '{layer}'")
    held = ncnn.Mat(feed).clone()

    def run() -> Any:
        extractor = net.create_extractor()
        extractor.input("a", held)
        code, out = extractor.extract("y")
        if code != 0:
            raise RuntimeError(f"ncnn does not compute '{layer}': {code}")
        return out

    return Subject(run, lambda: np.array(run()), {})


def ncnn_product(a: Array, w: Array) -> Subject:
    K, N = w.shape
    feed = a[0] if a.shape[0] == 1 else a
    made = ncnn_model(f"InnerProduct p 1 1 a y 0={N} 1=0 2={K * N}", [w.T], feed)
    return Subject(made.run, lambda: made.result().reshape(a.shape[0], N), made.info)


def ncnn_convolution(x: Array, w: Array, stride: int, pad: int, group: int) -> Subject:
    k = w.shape[2]
    shape = f"0={w.shape[0]} 1={k} 3={stride} 4={pad} 6={w.size}"
    name = "Convolution" if group == 1 else "ConvolutionDepthWise"
    groups = "" if group == 1 else f" 7={group}"
    return ncnn_model(f"{name} c 1 1 a y {shape}{groups}", [w], x[0])

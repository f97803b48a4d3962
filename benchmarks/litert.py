"""Models for LiteRT, written with the flatbuffer schema in its package: no TensorFlow needed.

Activations are NHWC; 8-bit ones are s8 with zero point 0, weights s8 per channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.peers import Array, Subject

DTYPES = {"float32": "FLOAT32", "int8": "INT8", "int32": "INT32"}


@dataclass
class Builder:
    """One graph: `tensor` gives an index, `operator` appends."""

    schema: ModuleType
    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)

    @classmethod
    def new(cls) -> Builder:
        """An empty graph."""
        peers.require("ai_edge_litert")
        from ai_edge_litert import schema_py_generated

        builder = cls(schema_py_generated)
        builder.buffers.append(schema_py_generated.BufferT())  # 0: of tensors without data
        return builder

    def tensor(
        self,
        dtype: str,
        dims: tuple[int, ...],
        scale: Array | float | None = None,
        data: Array | None = None,
        axis: int = 0,
    ) -> int:
        """Adds a tensor; `scale` may hold one number for each index of `axis`."""
        tensor = self.schema.TensorT()
        tensor.name = f"t{len(self.tensors)}"
        tensor.shape = list(dims)
        tensor.type = getattr(self.schema.TensorType, DTYPES[dtype])
        tensor.buffer = 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            tensor.quantization = self.schema.QuantizationParametersT()
            tensor.quantization.scale = scales
            tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
            tensor.quantization.quantizedDimension = axis
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(
        self,
        name: str,
        inputs: list[int],
        outputs: list[int],
        options: str = "",
        version: int = 1,
        **fields: Any,
    ) -> None:
        """Appends BUILTIN `name`; `options` is the schema's name of its options."""
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        operator = self.schema.OperatorT()
        operator.opcodeIndex = len(self.codes)
        operator.inputs, operator.outputs = inputs, outputs
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, options + "T")()
            for key, value in fields.items():
                setattr(operator.builtinOptions, key, value)
        self.codes.append(code)
        self.operators.append(operator)

    def finish(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The file."""
        import flatbuffers

        graph = self.schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = inputs, outputs
        model = self.schema.ModelT()
        model.version = 3
        model.operatorCodes, model.subgraphs, model.buffers = self.codes, [graph], self.buffers
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def subject(model: bytes, feed: Array, threads: int = 1) -> Subject:
    """Its one input stays in place; `invoke` is timed."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], feed)
    output = interpreter.get_output_details()[0]["index"]

    def result() -> Array:
        interpreter.invoke()
        found: Array = interpreter.get_tensor(output)
        return found

    return Subject(interpreter.invoke, result, {"bytes": len(model)})


def dense(a: Array, w: Array, scale: Array | None) -> Subject:
    """Product of a [M, K] and w [K, N]; s8 with `scale` [N] of the sums in units of the output."""
    layers = Builder.new()
    start = layers.tensor(a.dtype.name, a.shape, None if scale is None else 1.0)
    end = append_dense(layers, start, a.shape[0], w, scale)
    return subject(layers.finish([start], [end]), a)


def append_dense(
    layers: Builder, start: int, M: int, w: Array, scale: Array | None, relu: bool = False
) -> int:
    """Appends a layer; gives its output."""
    K, N = w.shape
    name = w.dtype.name
    weights = layers.tensor(name, (N, K), scale, w.T)
    bias_type = np.float32 if scale is None else np.int32
    bias = layers.tensor(np.dtype(bias_type).name, (N,), scale, np.zeros(N, bias_type))
    end = layers.tensor(name, (M, N), None if scale is None else 1.0)
    layers.operator(
        "FULLY_CONNECTED",
        [start, weights, bias],
        [end],
        "FullyConnectedOptions",
        version=5,
        fusedActivationFunction=int(relu),  # ActivationFunctionType.RELU is 1
    )
    return end


def convolution(x: Array, w: Array, scale: Array | None, stride: int, group: int) -> Subject:
    """Of x [N, H, W, C] and w [O, k, k, C / group]; padding as TensorFlow's SAME."""
    layers = Builder.new()
    out = w.shape[0]
    size = -(-x.shape[1] // stride)
    start = layers.tensor(x.dtype.name, x.shape, None if scale is None else 1.0)
    weights = w if group == 1 else np.ascontiguousarray(w.transpose(3, 1, 2, 0))
    axis = 0 if group == 1 else 3
    filters = layers.tensor(w.dtype.name, weights.shape, scale, weights, axis)
    bias_type = np.float32 if scale is None else np.int32
    bias = layers.tensor(np.dtype(bias_type).name, (out,), scale, np.zeros(out, bias_type))
    end = layers.tensor(x.dtype.name, (1, size, size, out), None if scale is None else 1.0)
    name = "CONV_2D" if group == 1 else "DEPTHWISE_CONV_2D"
    options = "Conv2DOptions" if group == 1 else "DepthwiseConv2DOptions"
    fields: Mapping[str, Any] = {} if group == 1 else {"depthMultiplier": 1}
    layers.operator(
        name,
        [start, filters, bias],
        [end],
        options,
        version=3,
        strideH=stride,
        strideW=stride,
        dilationHFactor=1,
        dilationWFactor=1,
        **fields,
    )
    return subject(layers.finish([start], [end]), x)


def unary(
    name: str, x: Array, options: str = "", scales: tuple[float, float] | None = None, **fields: Any
) -> Subject:
    """One operator from x to an array of the same dims; 8-bit with scales of both."""
    layers = Builder.new()
    first, second = scales if scales else (None, None)
    start = layers.tensor(x.dtype.name, x.shape, first)
    end = layers.tensor(x.dtype.name, x.shape, second)
    layers.operator(name, [start], [end], options, version=2 if scales else 1, **fields)
    return subject(layers.finish([start], [end]), x)

"""Standard networks as ONNX, with random weights: for speed, size and memory, never for accuracy.

Batch norms are folded, as an exporter's inference mode does; weights are scaled so that activations
keep their size. `prune` makes zeros afterwards.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Model = Any  # onnx.ModelProto


@dataclass
class Builder:
    """A graph being written: each method adds a node and gives the name of its output."""

    seed: int = 0
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def constant(self, stem: str, array: Array) -> str:
        name = self.name(stem)
        self.constants[name] = array
        return name

    def weights(self, *shape: int, fan_in: int, gain: float = 2.0) -> str:
        values = self.random.standard_normal(shape) * math.sqrt(gain / fan_in)
        return self.constant("w", values.astype(np.float32))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = self.name(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output

    def conv(self, x: str, c: int, o: int, k: int = 1, stride: int = 1, group: int = 1) -> str:
        fan_in = c // group * k * k
        w = self.weights(o, c // group, k, k, fan_in=fan_in)
        b = self.constant("b", np.zeros(o, np.float32))
        pads = [(k - 1) // 2, (k - 1) // 2, k // 2, k // 2]
        return self.node("Conv", x, w, b, strides=[stride] * 2, pads=pads, group=group)

    def relu(self, x: str, *, six: bool = False) -> str:
        if not six:
            return self.node("Relu", x)
        low, high = self.constant("c", np.float32(0)), self.constant("c", np.float32(6))
        return self.node("Clip", x, low, high)

    def dense(self, x: str, K: int, N: int, gain: float = 1.0) -> str:
        w = self.weights(K, N, fan_in=K, gain=gain)
        b = self.constant("b", np.zeros(N, np.float32))
        return self.node("Add", self.node("MatMul", x, w), b)

    def pooled(self, x: str) -> str:
        return self.node("Flatten", self.node("GlobalAveragePool", x))

    def shaped(self, x: str, *dims: int) -> str:
        return self.node("Reshape", x, self.constant("shape", np.array(dims, np.int64)))

    def model(self, inputs: Mapping[str, tuple[int, ...]], output: str, dims: list[Any]) -> Model:
        import onnx
        from onnx import helper, numpy_helper

        kind = onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(n, kind, list(d)) for n, d in inputs.items()],
            [helper.make_tensor_value_info(output, kind, dims)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def mobilenet_v2() -> Model:
    """M. Sandler et al., "MobileNetV2", 2018; width 1.0, 224 x 224."""
    b = Builder()
    x = b.relu(b.conv("image", 3, 32, 3, 2), six=True)
    channels = 32
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
    for expand, out, repeats, first_stride in (*stages, (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            hidden = channels * expand
            y = x if expand == 1 else b.relu(b.conv(x, channels, hidden), six=True)
            y = b.relu(b.conv(y, hidden, hidden, 3, stride, hidden), six=True)
            y = b.conv(y, hidden, out)
            x = b.node("Add", x, y) if stride == 1 and channels == out else y
            channels = out
    x = b.relu(b.conv(x, 320, 1280), six=True)
    return b.model({"image": (1, 3, 224, 224)}, b.dense(b.pooled(x), 1280, 1000), [1, 1000])


def _basic(b: Builder, x: str, c: int, o: int, stride: int) -> str:
    y = b.conv(b.relu(b.conv(x, c, o, 3, stride)), o, o, 3)
    skip = x if stride == 1 and c == o else b.conv(x, c, o, 1, stride)
    return b.relu(b.node("Add", y, skip))


def _bottleneck(b: Builder, x: str, c: int, o: int, stride: int) -> str:
    y = b.relu(b.conv(x, c, o // 4))
    y = b.conv(b.relu(b.conv(y, o // 4, o // 4, 3, stride)), o // 4, o)
    skip = x if stride == 1 and c == o else b.conv(x, c, o, 1, stride)
    return b.relu(b.node("Add", y, skip))


def _resnet(block: Callable[..., str], repeats: tuple[int, ...], widths: tuple[int, ...]) -> Model:
    """K. He et al., "Deep residual learning for image recognition", 2015."""
    b = Builder()
    x = b.relu(b.conv("image", 3, 64, 7, 2))
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, (count, width) in enumerate(zip(repeats, widths, strict=True)):
        for i in range(count):
            x = block(b, x, channels, width, 2 if stage > 0 and i == 0 else 1)
            channels = width
    output = b.dense(b.pooled(x), channels, 1000)
    return b.model({"image": (1, 3, 224, 224)}, output, [1, 1000])


def resnet18() -> Model:
    return _resnet(_basic, (2, 2, 2, 2), (64, 128, 256, 512))


def resnet50() -> Model:
    return _resnet(_bottleneck, (3, 4, 6, 3), (256, 512, 1024, 2048))


def resnet8() -> Model:
    """MLPerf Tiny's image classifier, 32 x 32."""
    b = Builder()
    x = b.relu(b.conv("image", 3, 16, 3))
    for c, o, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        x = _basic(b, x, c, o, stride)
    return b.model({"image": (1, 3, 32, 32)}, b.dense(b.pooled(x), 64, 10), [1, 10])


def mobilenet_v1_quarter() -> Model:
    """MLPerf Tiny's person detector: MobileNetV1, width 0.25, 96 x 96."""
    b = Builder()
    x, channels = b.relu(b.conv("image", 3, 8, 3, 2)), 8
    layers = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5)
    for out, stride in (*layers, (256, 2), (256, 1)):
        x = b.relu(b.conv(x, channels, channels, 3, stride, channels))
        x, channels = b.relu(b.conv(x, channels, out)), out
    return b.model({"image": (1, 3, 96, 96)}, b.dense(b.pooled(x), 256, 2), [1, 2])


def ds_cnn() -> Model:
    """MLPerf Tiny's keyword spotter on 49 x 10 features."""
    b = Builder()
    w = b.weights(64, 1, 10, 4, fan_in=40)
    bias = b.constant("b", np.zeros(64, np.float32))
    x = b.relu(b.node("Conv", "features", w, bias, strides=[2, 2], pads=[4, 1, 5, 1]))
    for _ in range(4):
        x = b.relu(b.conv(x, 64, 64, 3, 1, 64))
        x = b.relu(b.conv(x, 64, 64))
    return b.model({"features": (1, 1, 49, 10)}, b.dense(b.pooled(x), 64, 12), [1, 12])


def autoencoder() -> Model:
    """MLPerf Tiny's anomaly detector."""
    b = Builder()
    sizes = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
    x = "spectrum"
    for i, (K, N) in enumerate(itertools.pairwise(sizes)):
        x = b.dense(x, K, N, 2.0)
        x = b.relu(x) if i < len(sizes) - 2 else x
    return b.model({"spectrum": (1, 640)}, x, [1, 640])


def lstm() -> Model:
    """100 steps of 128 features, 128 cells, and a classifier of the last state."""
    b = Builder()
    w = b.weights(1, 512, 128, fan_in=128, gain=1.0)
    r = b.weights(1, 512, 128, fan_in=128, gain=1.0)
    bias = b.constant("b", np.zeros((1, 1024), np.float32))
    from onnx import helper

    names = ["states", "last", "cell"]
    b.nodes.append(helper.make_node("LSTM", ["frames", w, r, bias], names, "lstm", hidden_size=128))
    last = b.shaped("last", 1, 128)
    return b.model({"frames": (100, 1, 128)}, b.dense(last, 128, 12), [1, 12])


def bert_base(layers: int = 12, tokens: int = 128) -> Model:
    """J. Devlin et al., "BERT", 2018: the encoder, from embeddings on."""
    b = Builder()
    width, heads, inner = 768, 12, 3072
    scale = b.constant("c", np.float32(1 / math.sqrt(width // heads)))

    def normed(x: str) -> str:
        gamma = b.constant("g", np.ones(width, np.float32))
        beta = b.constant("b", np.zeros(width, np.float32))
        return b.node("LayerNormalization", x, gamma, beta, axis=-1)

    def split(x: str, *perm: int) -> str:
        return b.node("Transpose", b.shaped(x, 1, tokens, heads, width // heads), perm=perm)

    x = "embeddings"
    for _ in range(layers):
        q = split(b.dense(x, width, width), 0, 2, 1, 3)
        k = split(b.dense(x, width, width), 0, 2, 3, 1)
        v = split(b.dense(x, width, width), 0, 2, 1, 3)
        scores = b.node("Softmax", b.node("Mul", b.node("MatMul", q, k), scale), axis=-1)
        joined = b.node("Transpose", b.node("MatMul", scores, v), perm=[0, 2, 1, 3])
        x = normed(b.node("Add", x, b.dense(b.shaped(joined, 1, tokens, width), width, width)))
        y = b.dense(b.node("Gelu", b.dense(x, width, inner)), inner, width)
        x = normed(b.node("Add", x, y))
    return b.model({"embeddings": (1, tokens, width)}, x, [1, tokens, width])


NETWORKS: dict[str, Callable[[], Model]] = {
    "mobilenet_v2": mobilenet_v2,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "bert_base": bert_base,
    "ds_cnn": ds_cnn,
    "mobilenet_v1_quarter": mobilenet_v1_quarter,
    "resnet8": resnet8,
    "autoencoder": autoencoder,
    "lstm": lstm,
}


def feeds(model: Model, seed: int = 1) -> dict[str, Array]:
    """Random inputs: images and features of unit variance."""
    random = np.random.default_rng(seed)
    found = {}
    for value in model.graph.input:
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        found[value.name] = random.standard_normal(dims).astype(np.float32)
    return found


def prune(model: Model, share: float, height: int = 1, width: int = 1) -> Model:
    """Zeros for the smallest blocks of each layer but the first and the last.

    Blocks are `height` output channels by `width` neighbours of the depth (taps x channels).
    Depthwise layers have nothing to skip and stay.
    """
    from onnx import numpy_helper

    consumers = [
        (node.op_type, name, node)
        for node in model.graph.node
        for name in list(node.input)[1 : 3 if node.op_type == "LSTM" else 2]
        if node.op_type in ("Conv", "MatMul", "LSTM")
    ]
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weighted = [entry for entry in consumers if entry[1] in tensors]
    recurrent = any(kind == "LSTM" for kind, *_ in weighted)
    for kind, name, node in weighted if recurrent else weighted[1:-1]:
        array = numpy_helper.to_array(tensors[name])
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        if groups > 1 or (recurrent and kind == "MatMul"):
            continue
        matrix = _as_matrix(kind, array)
        kept = _largest_blocks(np.abs(matrix), share, height, width)
        pruned = _from_matrix(kind, matrix * kept, array.shape)
        tensors[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(pruned), name))
    return model


def _as_matrix(kind: str, array: Array) -> Array:
    """[columns, depth], depth = taps x channels."""
    if kind == "Conv":
        return array.transpose(0, 2, 3, 1).reshape(array.shape[0], -1)
    return array.T if kind == "MatMul" else array[0]


def _from_matrix(kind: str, matrix: Array, shape: tuple[int, ...]) -> Array:
    if kind == "Conv":
        o, c, h, w = shape
        return matrix.reshape(o, h, w, c).transpose(0, 3, 1, 2)
    return matrix.T if kind == "MatMul" else matrix[None]


def _largest_blocks(size: Array, share: float, height: int, width: int) -> Array:
    rows, columns = -(-size.shape[0] // height), -(-size.shape[1] // width)
    padded = np.zeros((rows * height, columns * width))
    padded[: size.shape[0], : size.shape[1]] = size
    blocks = padded.reshape(rows, height, columns, width).sum(axis=(1, 3))
    kept = blocks > np.quantile(blocks, share)
    return np.kron(kept, np.ones((height, width), bool))[: size.shape[0], : size.shape[1]]

"""An ONNX backend: `prepare`, `run_model`, `supports_device` as onnx.backend.base has them.

What it runs goes through the whole product: import, passes, the bytes of a `.pyrt`, Session.

    rep = pyruntime.backend.prepare(model)
    outputs = rep.run([x])
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyruntime.errors import ArgumentError, UnsupportedError
from pyruntime.graph import DType, Graph
from pyruntime.onnx_import import import_onnx
from pyruntime.ops._operator import MAX_CONTENT, Array
from pyruntime.ops._shapes import DynamicSizeError
from pyruntime.plan.compile import compile as compile_graph
from pyruntime.session import Session

# Models kept for inputs that decide sizes; each value of them makes another model.
_MAX_PREPARED = 16


class _Compiled:
    """A model with all sizes known, or following from the dims of its inputs."""

    def __init__(self, graph: Graph) -> None:
        data = compile_graph(graph)
        assert data is not None  # compile() without a path gives bytes
        self.inputs = {value.name: value.dtype for value in graph.inputs}
        values = zip(graph.output_names, graph.outputs, strict=True)
        self.outputs = {name: value.dtype for name, value in values}
        self.session = Session(data)

    def run(self, feeds: Mapping[str, Array]) -> tuple[Array, ...]:
        given = {name: _plain(feeds[name], dtype) for name, dtype in self.inputs.items()}
        outputs = self.session.run(given)
        return tuple(_typed(outputs[name], dtype) for name, dtype in self.outputs.items())


def _plain(array: Array, dtype: DType) -> Array:
    """As Session takes it: it knows numpy's own types only."""
    if dtype is DType.BF16:
        return array.view(np.uint16)
    if dtype in (DType.U4, DType.S4):
        return array.astype(np.uint8 if dtype is DType.U4 else np.int8)
    return array


def _typed(array: Array, dtype: DType) -> Array:
    """As ONNX users expect it: with the types of ml_dtypes."""
    if dtype is DType.BF16:
        return array.view(dtype.numpy)
    return array.astype(dtype.numpy) if dtype in (DType.U4, DType.S4) else array


class BackendRep:
    """A prepared model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        held = {tensor.name for tensor in model.graph.initializer}
        self._names = [info.name for info in model.graph.input if info.name not in held]
        self._compiled: _Compiled | None = None
        self._by_value: dict[Any, _Compiled] = {}
        # Where an input decides a size, `run` imports the model with that input's value.
        with contextlib.suppress(DynamicSizeError):
            self._compiled = _Compiled(import_onnx(model))

    def run(self, inputs: Sequence[Any] | Mapping[str, Any], **_options: Any) -> tuple[Array, ...]:
        """The model's outputs in their order.

        Args:
            inputs: one array per model input, in order, or a mapping by name.

        Raises:
            ArgumentError: not as many arrays as inputs.
            ShapeError, DTypeError: an array does not fit.
        """
        feeds = self._feeds(inputs)
        if self._compiled is not None:
            return self._compiled.run(feeds)
        try:
            return self._for_values(feeds, floats=False).run(feeds)
        except DynamicSizeError:
            return self._for_values(feeds, floats=True).run(feeds)

    def _feeds(self, inputs: Sequence[Any] | Mapping[str, Any]) -> dict[str, Array]:
        if isinstance(inputs, Mapping):
            return {name: np.asarray(array) for name, array in inputs.items()}
        if len(inputs) != len(self._names):
            raise ArgumentError(
                f"the model has {len(self._names)} inputs ({self._names}), given are {len(inputs)}"
            )
        return {n: np.asarray(array) for n, array in zip(self._names, inputs, strict=True)}

    def _for_values(self, feeds: Mapping[str, Array], *, floats: bool) -> _Compiled:
        fixed = {
            name: array
            for name, array in feeds.items()
            if array.ndim <= 1
            and array.size <= MAX_CONTENT
            and (floats or not DType.of(array).is_float)
        }
        key = tuple((name, array.shape, array.tobytes()) for name, array in fixed.items())
        if key not in self._by_value:
            if len(self._by_value) >= _MAX_PREPARED:
                self._by_value.pop(next(iter(self._by_value)))
            self._by_value[key] = _Compiled(import_onnx(self._model, fixed))
        return self._by_value[key]


def prepare(model: Any, device: str = "CPU", **_options: Any) -> BackendRep:
    """Compiles an onnx.ModelProto.

    Raises:
        UnsupportedError: the device, or something in the model, is not supported.
        FormatError: the model is damaged.
    """
    if not supports_device(device):
        raise UnsupportedError(f"device '{device}' is not supported; use 'CPU'")
    return BackendRep(model)


def run_model(model: Any, inputs: Any, device: str = "CPU", **_options: Any) -> tuple[Array, ...]:
    """Compiles and runs an onnx.ModelProto once."""
    return prepare(model, device).run(inputs)


def supports_device(device: str) -> bool:
    """Whether models run on the device: only on the CPU."""
    return device.split(":")[0] == "CPU"

"""Host steps: operators without a native kernel, run by their numpy reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import PyruntimeError, ShapeError, UnsupportedError
from pyruntime.graph.types import DType

if TYPE_CHECKING:
    from pyruntime.ops import Operator
    from pyruntime.plan.file import HostStep

Array = NDArray[Any]


class HostSteps:
    """What the runtime calls for each host step; the first call imports the operators."""

    def __init__(self, load: Callable[[], dict[int, HostStep]]) -> None:
        """Remembers how to read the host steps; models without any never do."""
        self._load = load
        self._ready: dict[int, _Call] | None = None

    def __call__(self, step: int, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
        """Computes one step into the given output buffers.

        Raises:
            ShapeError: the reference gives other dims than the program says.
            PyruntimeError: whatever the reference raises about its inputs.
        """
        if self._ready is None:
            self._ready = {index: _resolve(found) for index, found in self._load().items()}
        call = self._ready[step]
        arrays = [
            _as_numpy(array, dtype) for array, dtype in zip(inputs, call.host.inputs, strict=False)
        ]
        try:
            with np.errstate(all="ignore"):  # infinities and NaN are silent in native steps, too
                results = call.operator.reference(call.attributes, arrays, len(outputs))
        except PyruntimeError as error:
            raise type(error)(f"{call.where}: {error}") from error
        for buffer, dtype, result in zip(outputs, call.host.outputs, results, strict=False):
            if buffer.shape != np.shape(result):
                raise ShapeError(
                    f"{call.where} gives dims {list(np.shape(result))}, the program says "
                    f"{list(buffer.shape)}; sizes that depend on values need a later format"
                )
            if dtype is DType.BF16:
                buffer = buffer.view(dtype.numpy)
            buffer[...] = result


@dataclass(frozen=True, slots=True)
class _Call:
    host: HostStep
    operator: Operator
    attributes: Any

    @property
    def where(self) -> str:
        return f"node '{self.host.step.name}' ({self.operator.name})"


def _as_numpy(array: Array | None, dtype: DType | None) -> Array | None:
    """The operand as references know it: the runtime has bf16 as bits and 4-bit types as bytes."""
    if array is None or dtype is None:
        return None
    if dtype is DType.BF16:
        return array.view(dtype.numpy)
    return array.astype(dtype.numpy) if dtype in (DType.S4, DType.U4) else array


def _resolve(host: HostStep) -> _Call:
    from pyruntime.ops import find_operator

    step = host.step
    operator = find_operator(step.operator, step.domain)
    if operator is None:
        raise UnsupportedError(
            f"node '{step.name}' runs operator '{step.operator}' of domain '{step.domain}' on the "
            "host, which this version does not have; update pyruntime"
        )
    if operator.attributes is type(None):
        return _Call(host, operator, None)
    return _Call(host, operator, operator.attributes(**step.attributes))

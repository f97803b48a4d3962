"""pyruntime: the runtime where compressed neural networks really are smaller and faster.

    graph = pyruntime.import_onnx("model.onnx")
    pyruntime.compile(graph, "model.pyrt")
    outputs = pyruntime.Session("model.pyrt").run({"input": x})

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyruntime import errors
    from pyruntime.api import compress, factorize, prune, quantize
    from pyruntime.graph import Graph
    from pyruntime.onnx_import import import_onnx
    from pyruntime.plan.compile import compile
    from pyruntime.preprocess import Preprocess
    from pyruntime.session import Session

    __version__: str

__all__ = [
    "Graph",
    "Preprocess",
    "Session",
    "__version__",
    "compile",
    "compress",
    "errors",
    "factorize",
    "import_onnx",
    "prune",
    "quantize",
]

_HOMES = {
    "Graph": "pyruntime.graph",
    "Preprocess": "pyruntime.preprocess",
    "Session": "pyruntime.session",
    "compile": "pyruntime.plan.compile",
    "compress": "pyruntime.api",
    "factorize": "pyruntime.api",
    "import_onnx": "pyruntime.onnx_import",
    "prune": "pyruntime.api",
    "quantize": "pyruntime.api",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        try:
            found: Any = metadata.version("pyruntime")
        except metadata.PackageNotFoundError:
            found = "0 (not installed)"
    elif name == "errors":
        found = importlib.import_module("pyruntime.errors")
    elif name in _HOMES:
        found = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(
            f"module 'pyruntime' has no attribute '{name}'; it has {', '.join(__all__)}"
        )
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)

"""The intermediate representation."""

from pyruntime.graph.dims import Dim, Expr, symbol
from pyruntime.graph.graph import Graph, Node, Storage, Value
from pyruntime.graph.types import DType, ValueType

__all__ = ["DType", "Dim", "Expr", "Graph", "Node", "Storage", "Value", "ValueType", "symbol"]

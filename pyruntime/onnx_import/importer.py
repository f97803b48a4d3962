"""ONNX -> Graph. Operators read their own nodes; here is what all of them share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pyruntime.errors import ArgumentError, FormatError, PyruntimeError, UnsupportedError
from pyruntime.graph import Dim, DType, Graph, Value, symbol
from pyruntime.onnx_import.load import expand_functions, load, onnx_package
from pyruntime.onnx_import.opset import Found, domain_of, find_reader, opset_versions, refuse
from pyruntime.onnx_import.tensors import to_array, to_dense
from pyruntime.ops._content import known_array, propagate_content
from pyruntime.ops._onnx_types import onnx_dtype
from pyruntime.ops._operator import Array
from pyruntime.ops._shapes import DynamicSizeError

# What a damaged node makes readers and type inference stumble over.
_DAMAGE = (KeyError, IndexError, ValueError, TypeError, AttributeError, ArithmeticError)
# Exporters write these for "unknown"; they say nothing about equality.
_ANONYMOUS = frozenset({"", "?", "-1", "None", "none", "unk"})
# Names that a Program's expressions give another meaning.
_RESERVED = frozenset({"min", "max"})
_MAX_NESTING = 32


def import_onnx(
    source: Any,
    constants: Mapping[str, Array] | None = None,
    dims: Mapping[str, int] | None = None,
) -> Graph:
    """Reads an ONNX model, opset 7 to the newest of the installed onnx package.

    Args:
        source: a path, the bytes of a model, or an onnx.ModelProto.
        constants: values that fix inputs of the model, which are then no inputs any more; needed
            for inputs whose elements decide the size of a tensor.
        dims: sizes that fix named dimensions of the inputs, such as {"batch": 1, "height": 320};
            a dimension without a name goes by the one that `inspect` shows, such as x_0.

    Where a Squeeze without axes meets a dimension that is only named, the rank depends on its
    size. It is taken not to be 1, unless the rank that the model declares for its outputs says so:
    then it is fixed to 1.

    Raises:
        FormatError: the model is damaged.
        UnsupportedError: it has operators, types or control flow that this version cannot do; all
            unsupported operators are named at once.
        ShapeError, DTypeError: a node's inputs do not fit; the node is named.
        ArgumentError: `constants` names no input or does not fit it, `dims` no dimension.
        MissingExtraError: onnx is not installed.
    """
    onnx = onnx_package()
    model, folder = load(onnx, source)
    try:
        model = expand_functions(onnx, model)
        versions = opset_versions(model.opset_import, onnx.defs.onnx_opset_version())
        fixed = _sizes(dims or {})
        importer = _Importer(onnx, model.graph, folder, versions, fixed)
        graph = importer.run(dict(constants or {}))
        ones = importer.dims_of_one()
        if ones:
            importer = _Importer(onnx, model.graph, folder, versions, {**fixed, **ones})
            graph = importer.run(dict(constants or {}))
        return graph
    except PyruntimeError:
        raise
    except _DAMAGE as error:  # such as names that are not UTF-8, which protobuf gives as bytes
        raise FormatError(f"the model is damaged ({type(error).__name__}: {error})") from error


def _sizes(dims: Mapping[str, int]) -> dict[str, int]:
    for name, size in dims.items():
        if type(size) is not int or size < 0:
            raise ArgumentError(f"dims: '{name}' is {size!r}; a size is an int of 0 or more")
    return dict(dims)


@dataclass(slots=True)
class _Node:
    """What `from_onnx` sees; see `ops.OnnxNode`."""

    attributes: dict[str, Any]
    inputs: list[Value | None]
    output_count: int
    where: str
    graph: Graph

    def constant(self, array: Array) -> Value:
        return self.graph.constant(array)


@dataclass(slots=True)
class _Importer:
    onnx: Any
    proto: Any
    folder: Path | None
    versions: dict[str, int]
    fixed: dict[str, int]  # sizes of named dims of the inputs
    graph: Graph = field(default_factory=Graph)
    scope: dict[str, Value] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)  # of values
    node_names: set[str] = field(default_factory=set)
    params: dict[str, Dim] = field(default_factory=dict)
    symbols: set[str] = field(default_factory=set)
    depth: int = 0

    def run(self, constants: dict[str, Array]) -> Graph:
        self.graph.name = self.proto.name
        # Names made later end in a number above every one that the model uses.
        used = [int(n) for node in self.proto.node for n in re.findall(r"\.(\d{1,9})$", node.name)]
        used += [
            int(n)
            for node in self.proto.node
            for name in node.output
            for n in re.findall(r"\.(\d{1,9})$", name)
        ]
        self.graph._counter = max(used, default=0)
        initializers = self._initializers(self.proto)
        inputs = [info for info in self.proto.input if info.name not in initializers]
        self._bind_params(inputs, constants)
        for info in inputs:
            self._input(info, constants)
        unknown = sorted(set(self.fixed) - self.symbols - set(self.params))
        if unknown:
            raise ArgumentError(
                f"dims: the model's inputs have no dimension '{unknown[0]}'; "
                f"named are {sorted(self.symbols)}"
            )
        for name, array in initializers.items():
            self._define(name, self.graph.constant(array, name))
        self._nodes(self.proto)
        for output in self.proto.output:
            self.graph.outputs.append(self._value(output.name, "the list of outputs"))
            self.graph.output_names.append(output.name)
        if not self.graph.outputs:
            raise FormatError("the model has no outputs; it is damaged")
        return self.graph

    def dims_of_one(self) -> dict[str, int]:
        """Dims that must be 1 for the outputs to have the ranks that the model declares."""
        larger = any(
            info.type.tensor_type.HasField("shape")
            and len(info.type.tensor_type.shape.dim) < len(value.dims)
            for info, value in zip(self.proto.output, self.graph.outputs, strict=True)
        )
        squeezed = {
            str(dim)
            for node in self.graph.nodes
            if node.operator.name == "Squeeze" and not any(node.inputs[1:])
            for dim in node.outputs[0].dims
        }
        return dict.fromkeys(sorted(squeezed & self.symbols), 1) if larger else {}

    # -- values ---------------------------------------------------------------------------------

    def _initializers(self, proto: Any) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for tensor in proto.initializer:
            found[tensor.name] = to_array(self.onnx, tensor, self.folder)
        for sparse in proto.sparse_initializer:
            found[sparse.values.name] = to_dense(self.onnx, sparse, self.folder)
        if len(found) != len(proto.initializer) + len(proto.sparse_initializer):
            raise FormatError("two initializers have the same name; the model is damaged")
        return found

    def _tensor_type(self, info: Any) -> Any:
        kind = info.type.WhichOneof("value")
        if kind is None:
            raise FormatError(f"input '{info.name}' has no type; the model is damaged")
        if kind != "tensor_type":
            raise UnsupportedError(
                f"input '{info.name}' is a {kind.removesuffix('_type')}; only tensors are "
                "supported: export the model with tensor inputs"
            )
        return info.type.tensor_type

    def _bind_params(self, inputs: Iterable[Any], constants: Mapping[str, Array]) -> None:
        """Named dims of inputs that are fixed get their sizes, wherever else they occur."""
        names = {info.name for info in inputs}
        for name in constants:
            if name not in names:
                raise ArgumentError(
                    f"constants: the model has no input '{name}'; it has {sorted(names)}"
                )
        for info in inputs:
            if info.name not in constants:
                continue
            shape = np.shape(constants[info.name])
            tensor = self._tensor_type(info)
            dims = tensor.shape.dim if tensor.HasField("shape") else ()
            for dim, size in zip(dims, shape, strict=False):
                if dim.dim_param not in _ANONYMOUS:
                    self.params[dim.dim_param] = int(size)

    def _input(self, info: Any, constants: Mapping[str, Array]) -> None:
        tensor = self._tensor_type(info)
        dtype = onnx_dtype(tensor.elem_type, f"input '{info.name}'")
        if info.name in constants:
            array = np.asarray(constants[info.name])
            if DType.of(array) is not dtype:
                raise ArgumentError(f"constants: '{info.name}' is {array.dtype}, must be {dtype}")
            if tensor.HasField("shape"):
                dims = self._dims(info.name, tensor.shape)
                fits = len(dims) == array.ndim and all(
                    not isinstance(dim, int) or dim == size
                    for dim, size in zip(dims, array.shape, strict=False)
                )
                if not fits:
                    raise ArgumentError(
                        f"constants: '{info.name}' has dims {list(array.shape)}, must have {dims}"
                    )
            self._define(info.name, self.graph.constant(array, info.name))
            return
        if not tensor.HasField("shape"):
            raise UnsupportedError(
                f"input '{info.name}' has no number of dimensions; export the model with one, or "
                f"fix the input: import_onnx(..., constants={{'{info.name}': array}})"
            )
        value = Value(info.name, dtype, tuple(self._dims(info.name, tensor.shape)))
        self._define(info.name, value)
        self.graph.inputs.append(value)

    def _dims(self, name: str, shape: Any) -> list[Dim]:
        return [self._dim(name, axis, dim) for axis, dim in enumerate(shape.dim)]

    def _dim(self, name: str, axis: int, dim: Any) -> Dim:
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            return int(dim.dim_value)
        param = dim.dim_param
        if param in _ANONYMOUS:
            return self._named(self._symbol_name(f"{name}_{axis}"))
        if param not in self.params:
            self.params[param] = self._named(self._symbol_name(param), param)
        return self.params[param]

    def _named(self, name: str, param: str = "") -> Dim:
        return self.fixed.get(name, self.fixed.get(param, symbol(name)))

    def _symbol_name(self, wanted: str) -> str:
        stem = re.sub(r"[^A-Za-z0-9_]", "_", wanted)
        stem = f"_{stem}" if stem[:1].isdigit() or stem in _RESERVED else stem
        name, count = stem, 1
        while name in self.symbols:
            count += 1
            name = f"{stem}_{count}"
        self.symbols.add(name)
        return name

    def _define(self, name: str, value: Value) -> None:
        if not name or name in self.scope:
            raise FormatError(f"value '{name}' is defined twice or has no name; damaged model")
        self.scope[name] = value
        self.names.add(value.name)

    def _value(self, name: str, where: str) -> Value:
        if name not in self.scope:
            raise FormatError(
                f"{where}: value '{name}' is used before anything defines it; the model is damaged"
            )
        return self.scope[name]

    # -- nodes ----------------------------------------------------------------------------------

    def _nodes(self, proto: Any) -> None:
        alive = self._alive(proto)
        readers: list[tuple[Any, Found | None]] = []
        missing = []
        for node in alive:
            domain = domain_of(node.domain)
            found = find_reader(node.op_type, domain, self.versions)
            readers.append((node, found))
            if found is None and not self._has_graphs(node):
                missing.append((node.op_type, domain, node.name or node.output[0]))
        refuse(missing, self.versions)
        for node, found in readers:
            if self._has_graphs(node):
                self._control_flow(node)
            elif found is not None:
                self._node(node, found)

    def _has_graphs(self, node: Any) -> bool:
        kinds = (self.onnx.AttributeProto.GRAPH, self.onnx.AttributeProto.GRAPHS)
        return any(attribute.type in kinds for attribute in node.attribute)

    def _alive(self, proto: Any) -> list[Any]:
        """Nodes that an output depends on, in order."""
        needed = {output.name for output in proto.output}
        alive = []
        for node in reversed(proto.node):
            if not node.output:
                continue
            if any(name in needed for name in node.output if name):
                alive.append(node)
                needed.update(_reads(node, 0))
        return alive[::-1]

    def _unique(self, name: str) -> str:
        return name if name not in self.names else self.graph.unique(name)

    def _node(self, proto: Any, found: Found) -> None:
        name = proto.name or f"{proto.op_type}_{len(self.graph.nodes)}"
        name = name if name not in self.node_names else self.graph.unique(name)
        self.node_names.add(name)
        where = f"node '{name}' ({proto.op_type})"
        inputs = [self._value(label, where) if label else None for label in proto.input]
        while inputs and inputs[-1] is None:
            inputs.pop()
        labels = list(proto.output)
        while labels and not labels[-1]:
            labels.pop()
        node = _Node(self._attributes(proto, where), inputs, len(labels), where, self.graph)
        try:
            attributes, operands = found.read(node)
            if not any(operands):
                self._constants(found, attributes, labels)
                return
            made = self.graph.append(
                found.operator,
                attributes,
                operands,
                [self._unique(label) if label else "" for label in labels],
                name,
            )
        except PyruntimeError as error:
            # What a reader or `infer` says is wrong with its arguments came from the file.
            kind = FormatError if isinstance(error, ArgumentError) else type(error)
            text = str(error) if where in str(error) else f"{where}: {error}"
            raise kind(text) from error
        except _DAMAGE as error:
            raise FormatError(
                f"{where}: its attributes or inputs do not fit the operator "
                f"({type(error).__name__}: {error}); the model is damaged"
            ) from error
        if len(made.outputs) < len(labels):
            raise FormatError(f"{where}: has {len(labels)} outputs, {len(made.outputs)} are known")
        for label, value in zip(labels, made.outputs, strict=False):
            if label:
                self._define(label, value)
        propagate_content(made)

    def _constants(self, found: Found, attributes: Any, labels: list[str]) -> None:
        """A node without inputs: its outputs are constants."""
        for label, array in zip(
            labels, found.operator.reference(attributes, [], len(labels)), strict=True
        ):
            self._define(label, self.graph.constant(array, self._unique(label)))

    def _attributes(self, proto: Any, where: str) -> dict[str, Any]:
        kinds = self.onnx.AttributeProto
        result: dict[str, Any] = {}
        for attribute in proto.attribute:
            if attribute.ref_attr_name:
                raise FormatError(f"{where}: attribute '{attribute.name}' belongs in a function")
            if attribute.type == kinds.TENSOR:
                result[attribute.name] = to_array(self.onnx, attribute.t, self.folder)
            elif attribute.type == kinds.SPARSE_TENSOR:
                result[attribute.name] = to_dense(self.onnx, attribute.sparse_tensor, self.folder)
            else:
                result[attribute.name] = self._plain(attribute, where)
        return result

    def _plain(self, attribute: Any, where: str) -> Any:
        kinds = self.onnx.AttributeProto
        try:
            if attribute.type == kinds.FLOAT:
                return float(attribute.f)
            if attribute.type == kinds.INT:
                return int(attribute.i)
            if attribute.type == kinds.STRING:
                return attribute.s.decode()
            if attribute.type == kinds.FLOATS:
                return [float(x) for x in attribute.floats]
            if attribute.type == kinds.INTS:
                return [int(x) for x in attribute.ints]
            if attribute.type == kinds.STRINGS:
                return [s.decode() for s in attribute.strings]
        except UnicodeDecodeError as error:
            raise FormatError(f"{where}: attribute '{attribute.name}' is not UTF-8") from error
        raise UnsupportedError(
            f"{where}: attribute '{attribute.name}' is of a kind that is not supported"
        )

    def _control_flow(self, proto: Any) -> None:
        """Takes a branch whose condition is known; everything else would need control flow."""
        where = f"node '{proto.name or proto.output[0]}' ({proto.op_type})"
        branches = {attribute.name: attribute.g for attribute in proto.attribute}
        if set(branches) != {"then_branch", "else_branch"}:
            raise UnsupportedError(
                f"{where}: control flow is not supported; export the model with the loop unrolled, "
                "or run the loop outside of the model"
            )
        if not proto.input:
            raise FormatError(f"{where}: has no condition; the model is damaged")
        condition = known_array(self._value(proto.input[0], where))
        if condition is None or condition.size != 1:
            raise DynamicSizeError(
                f"{where}: its condition is only known at run time; fix the input it comes from "
                "(import_onnx(..., constants={'name': array})) or export the model with one branch"
            )
        branch = branches["then_branch" if condition.reshape(())[()] else "else_branch"]
        self._branch(branch, list(proto.output), where)

    def _branch(self, branch: Any, outputs: list[str], where: str) -> None:
        if self.depth >= _MAX_NESTING:
            raise FormatError(f"{where}: branches nest deeper than {_MAX_NESTING}; damaged model")
        if len(branch.output) < len(outputs):
            raise FormatError(
                f"{where}: its branch has {len(branch.output)} outputs; damaged model"
            )
        outer = self.scope
        self.scope = dict(outer)
        self.depth += 1
        for name, array in self._initializers(branch).items():
            self.scope.pop(name, None)  # an inner name hides an outer one
            self._define(name, self.graph.constant(array, self._unique(name)))
        for node in branch.node:
            for name in node.output:
                self.scope.pop(name, None)
        self._nodes(branch)
        results = [self._value(output.name, where) for output in branch.output]
        self.scope = outer
        self.depth -= 1
        for name, value in zip(outputs, results, strict=False):
            if name:
                self.scope[name] = value


def _reads(node: Any, depth: int) -> set[str]:
    """Names that a node reads, those of the graphs in its attributes included."""
    if depth > _MAX_NESTING:
        raise FormatError(f"graphs nest deeper than {_MAX_NESTING}; the model is damaged")
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
            names.update(output.name for output in graph.output)
            for inner in graph.node:
                names |= _reads(inner, depth + 1)
    return names

"""What the importer reads, resolves and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyruntime.errors import (
    ArgumentError,
    FormatError,
    PyruntimeError,
    ShapeError,
    UnsupportedError,
)
from pyruntime.graph import DType, Graph, symbol
from pyruntime.graph.evaluate import evaluate
from pyruntime.onnx_import import import_onnx

F32, S64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Info = tuple[str, int, list[Any] | None]


def build(
    nodes: list[Any],
    inputs: list[Info],
    outputs: list[str],
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 17,
    **more: Any,
) -> Any:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*info) for info in inputs],
        [helper.make_tensor_value_info(name, F32, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **more)


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


RELU = [node("Relu", "x", "y")]


def test_reads_a_path_bytes_and_a_model(tmp_path: Path) -> None:
    model = build(RELU, [("x", F32, [2, 3])], ["y"])
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    for source in (model, path, str(path), path.read_bytes()):
        graph = import_onnx(source)
        assert [value.name for value in graph.inputs] == ["x"]
        assert graph.output_names == ["y"]
        assert graph.outputs[0].dims == (2, 3)
    with pytest.raises(ArgumentError, match="not int"):
        import_onnx(7)


def test_dims_become_symbols_that_unify_only_by_name() -> None:
    dims = [["batch", "N/2", "?"], ["batch", "N/2", "?"], ["min", None, -1]]
    graph = import_onnx(
        build(
            [node("Sum", "a b c", "y")],
            [(name, F32, d) for name, d in zip("abc", dims, strict=True)],
            ["y"],
        )
    )
    a, b, c = (value.dims for value in graph.inputs)
    assert a == (symbol("batch"), symbol("N_2"), symbol("a_2"))
    assert b == (symbol("batch"), symbol("N_2"), symbol("b_2"))
    assert c == (symbol("_min"), symbol("c_1"), symbol("c_2"))


def test_an_initializer_that_is_also_an_input_is_a_constant() -> None:
    w = np.ones((3,), np.float32)
    nodes = [node("Add", "x w", "y")]
    graph = import_onnx(build(nodes, [("x", F32, [3]), ("w", F32, [3])], ["y"], {"w": w}))
    assert [value.name for value in graph.inputs] == ["x"]
    assert [value.name for value in graph.constants()] == ["w"]


def test_shape_arithmetic_stays_symbolic() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n zero1", "n1"),
        node("Concat", "n1 rest", "shape", axis=0),
        node("Reshape", "x shape", "flat"),
        node("Equal", "shape minus", "is_minus"),
        node("Where", "is_minus two shape", "fixed"),
        node("Mul", "fixed two", "doubled"),
        node("ConstantOfShape", "doubled", "y"),
    ]
    constants = {
        "zero": np.asarray(0),
        "zero1": np.asarray([0]),
        "rest": np.asarray([-1]),
        "minus": np.asarray([-1, -1]),
        "two": np.asarray([2, 2]),
    }
    graph = import_onnx(build(nodes, [("x", F32, ["N", 4, 6])], ["flat", "y"], constants))
    N = symbol("N")
    assert graph.outputs[0].dims == (N, 24)
    assert graph.outputs[1].dims == (N * 2, 4)
    x = np.ones((3, 4, 6), np.float32)
    assert [out.shape for out in evaluate(graph, {"x": x}).values()] == [(3, 24), (6, 4)]


def test_float_arithmetic_on_known_sizes_is_followed() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Cast", "s", "f", to=F32),
        node("Mul", "f half", "g"),
        node("Floor", "g", "h"),
        node("Cast", "h", "n", to=S64),
        node("ConstantOfShape", "n", "y"),
    ]
    graph = import_onnx(
        build(nodes, [("x", F32, [5, 8])], ["y"], {"half": np.asarray(0.5, np.float32)})
    )
    assert graph.outputs[0].dims == (2, 4)


def test_sizes_cast_to_float_stay_known() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s one", "w"),
        node("Cast", "w", "f", to=F32),
        node("Mul", "f two", "g"),
        node("Range", "zero g step", "y"),
        node("Div", "f two", "half"),
        node("Cast", "half", "n", to=S64),
        node("Unsqueeze", "n axis", "shape"),
    ]
    constants = {
        "one": np.asarray(1),
        "axis": np.asarray([0]),
        "two": np.asarray(2.0, np.float32),
        "zero": np.asarray(0.0, np.float32),
        "step": np.asarray(1.0, np.float32),
    }
    inputs: list[Info] = [("x", F32, ["N", "W"])]
    graph = import_onnx(build(nodes, inputs, ["y"], constants))
    assert graph.outputs[0].dims == (symbol("W") * 2,)
    result = evaluate(graph, {"x": np.ones((1, 3), np.float32)})
    np.testing.assert_array_equal(result["y"], np.arange(6, dtype=np.float32))
    # 3 / 2 is no whole number: a size that is made of it stays unknown.
    nodes.append(node("ConstantOfShape", "shape", "z"))
    with pytest.raises(UnsupportedError, match="decides the size"):
        import_onnx(build(nodes, inputs, ["z"], constants))
    fixed = import_onnx(build(nodes, inputs, ["z"], constants), dims={"W": 7})
    assert fixed.outputs[0].dims == (3,)


def test_dims_fix_sizes_by_name() -> None:
    model = build([node("Add", "x y", "z")], [("x", F32, ["n", "?"]), ("y", F32, ["n", 1])], ["z"])
    graph = import_onnx(model, dims={"n": 4, "x_1": 3})
    assert [value.dims for value in graph.inputs] == [(4, 3), (4, 1)]
    with pytest.raises(ArgumentError, match=r"no dimension 'm'.*'n', 'x_1'"):
        import_onnx(model, dims={"m": 4})
    for wrong in (-1, 2.0, True):
        with pytest.raises(ArgumentError, match="'n' is"):
            import_onnx(model, dims={"n": wrong})


def test_squeeze_without_axes_follows_the_declared_rank() -> None:
    def squeezed(declared: list[int | str]) -> Graph:
        model = build([node("Squeeze", "x", "y")], [("x", F32, ["N", 5, 1])], [])
        model.graph.output.append(helper.make_tensor_value_info("y", F32, declared))
        return import_onnx(model)

    graph = squeezed(["N", 5])
    assert graph.outputs[0].dims == (symbol("N"), 5)
    graph = squeezed([5])
    assert (graph.inputs[0].dims, graph.outputs[0].dims) == ((1, 5, 1), (5,))


RESHAPE = [node("Reshape", "x shape", "y")]
RESHAPE_INPUTS: list[Info] = [("x", F32, ["n", 4]), ("shape", S64, [2])]


def test_an_input_that_decides_a_size_must_be_fixed() -> None:
    model = build(RESHAPE, RESHAPE_INPUTS, ["y"])
    with pytest.raises(UnsupportedError, match=r"'shape'.*decides the size.*constants="):
        import_onnx(model)
    graph = import_onnx(model, constants={"shape": np.asarray([2, -1])})
    assert [value.name for value in graph.inputs] == ["x"]
    assert graph.outputs[0].dims == (2, symbol("n") * 2)


def test_fixed_inputs_are_checked_and_bind_named_dims() -> None:
    model = build(RESHAPE, RESHAPE_INPUTS, ["y"])
    with pytest.raises(ArgumentError, match="no input 'nope'"):
        import_onnx(model, constants={"nope": np.asarray([2, -1])})
    with pytest.raises(ArgumentError, match="must be s64"):
        import_onnx(model, constants={"shape": np.asarray([2.0, 1.0])})
    with pytest.raises(ArgumentError, match="dims"):
        import_onnx(model, constants={"shape": np.asarray([2])})
    nodes = [node("Add", "x y", "z")]
    model = build(nodes, [("x", F32, ["n"]), ("y", F32, ["n"])], ["z"])
    graph = import_onnx(model, constants={"y": np.zeros(5, np.float32)})
    assert graph.inputs[0].dims == (5,)


def with_if(condition: list[Info], constants: dict[str, np.ndarray]) -> Any:
    branches = {
        f"{name}_branch": helper.make_graph(
            [node(kind, "x", "t")], name, [], [helper.make_tensor_value_info("t", F32, None)]
        )
        for name, kind in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [node("If", "c", "r", **branches), node("Neg", "r", "y")]
    return build(nodes, [("x", F32, [3]), *condition], ["y"], constants)


@pytest.mark.parametrize("taken", [True, False])
def test_a_known_condition_takes_its_branch(taken: bool) -> None:
    graph = import_onnx(with_if([], {"c": np.asarray(taken)}))
    kinds = [n.operator.name for n in graph.nodes]
    assert kinds == (["Relu", "Neg"] if taken else ["Neg", "Neg"])


def test_control_flow_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"node 'r' \(If\): its condition"):
        import_onnx(with_if([("c", BOOL, [])], {}))
    body = helper.make_graph(RELU, "body", [], [])
    loop = node("Loop", "n c", "y", body=body)
    loop.name = "again"
    model = build([loop], [("n", S64, []), ("c", BOOL, [])], ["y"])
    with pytest.raises(UnsupportedError, match=r"node 'again' \(Loop\): control flow"):
        import_onnx(model)


def test_all_unsupported_operators_are_named_at_once() -> None:
    nodes = [node("NonZero", "x", "a"), node("Strange", "x", "b", domain="odd.dom"), *RELU]
    model = build(nodes, [("x", F32, [3])], ["a", "b", "y"])
    model.opset_import.append(helper.make_opsetid("odd.dom", 3))
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(model)
    text = str(caught.value)
    assert "NonZero (domain 'ai.onnx', opset 17): node 'a'" in text
    assert "Strange (domain 'odd.dom', opset 3): node 'b'" in text
    assert "Relu" not in text


def test_dead_nodes_are_left_out() -> None:
    nodes = [node("Strange", "x", "b"), *RELU]
    assert len(import_onnx(build(nodes, [("x", F32, [3])], ["y"])).nodes) == 1


def test_local_functions_are_expanded() -> None:
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)]
    )
    nodes = [node("Twice", "x", "y", domain="own")]
    model = build(nodes, [("x", F32, [3])], ["y"], functions=[function])
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert [n.operator.name for n in import_onnx(model).nodes] == ["Add"]
    function.node[0].CopyFrom(node("Twice", "a", "b", domain="own"))
    del model.functions[:]
    model.functions.append(function)
    with pytest.raises(FormatError, match="'Twice' calls itself"):
        import_onnx(model)


def test_strings_and_sequences_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="input 'x': strings are not supported"):
        import_onnx(build(RELU, [("x", TensorProto.STRING, [3])], ["y"]))
    words = np.asarray(["a", "b"], dtype=object)
    model = build([node("Identity", "w", "y")], [], ["y"], {"w": words})
    with pytest.raises(UnsupportedError, match="tensor 'w': strings"):
        import_onnx(model)
    model = build(RELU, [("x", F32, [3])], ["y"])
    model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", F32, None))
    with pytest.raises(UnsupportedError, match="input 'x' is a sequence"):
        import_onnx(model)


def test_opsets_outside_of_the_range_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="opset 999"):
        import_onnx(build(RELU, [("x", F32, [3])], ["y"], opset=999))
    assert import_onnx(build(RELU, [("x", F32, [3])], ["y"], opset=6)).nodes
    old = [node("Upsample", "x", "y", width_scale=2.0, height_scale=2.0)]
    with pytest.raises(UnsupportedError, match="opset 7 or newer"):
        import_onnx(build(old, [("x", F32, [1, 1, 3, 3])], ["y"], opset=1))


def test_names_stay_unique() -> None:
    nodes = [node("Relu", "x", "value.1"), node("Clip", "value.1", "y", min=0.0, max=1.0)]
    graph = import_onnx(build(nodes, [("x", F32, [3])], ["y"], opset=6))
    names = [value.name for value in graph.values()]
    assert len(set(names)) == len(names)


def external(tmp_path: Path, location: str = "w.bin", **entries: Any) -> Path:
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / "w.bin").write_bytes(b"1234" + w.tobytes())
    model = build([node("Add", "x w", "y")], [("x", F32, [2, 3])], ["y"], {"w": w})
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location, "offset": 4} | entries).items():
        tensor.external_data.add(key=key, value=str(value))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_is_read_beside_the_model(tmp_path: Path) -> None:
    path = external(tmp_path, length=24)
    (w,) = import_onnx(path).constants()
    assert w.constant is not None
    np.testing.assert_array_equal(w.constant, np.arange(6).reshape(2, 3))
    with pytest.raises(FormatError, match="import the model by path"):
        import_onnx(path.read_bytes())


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../w.bin"}, "not a path inside"),
        ({"location": "/etc/passwd"}, "not a path inside"),
        ({"location": ""}, "not a path inside"),
        ({"location": "gone.bin"}, "missing or shorter"),
        ({"offset": 8}, "missing or shorter"),
        ({"offset": -4}, "bytes of external data"),
        ({"length": 20}, "bytes of external data"),
        ({"offset": "four"}, "offset or length"),
    ],
)
def test_external_data_that_lies_is_refused(
    tmp_path: Path, entries: dict[str, Any], message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        import_onnx(external(tmp_path, **entries))


def damaged(change: str) -> Any:  # noqa: C901, PLR0912 - one line per kind of damage
    w = np.ones((2, 3), np.float32)
    nodes = [node("Add", "x w", "z"), node("Transpose", "z", "y", perm=[1, 0])]
    model = build(nodes, [("x", F32, [2, 3])], ["y"], {"w": w})
    graph = model.graph
    if change == "data":
        graph.initializer[0].raw_data = b"123"
    elif change == "negative dim":
        graph.initializer[0].dims[0] = -2
    elif change == "huge dim":
        graph.initializer[0].dims[0] = 1 << 60
    elif change == "type":
        graph.initializer[0].data_type = 99
    elif change == "undefined":
        graph.node[0].input[0] = "nobody"
    elif change == "twice":
        graph.node[0].output[0] = "x"
        graph.node[1].input[0] = "x"
    elif change == "order":
        graph.node.reverse()
    elif change == "perm":
        graph.node[1].attribute[0].ints[0] = 7
    elif change == "attribute kind":
        graph.node[1].attribute[0].CopyFrom(helper.make_attribute("perm", "text"))
    elif change == "no input":
        del graph.node[0].input[:]
    elif change == "output":
        graph.output[0].name = "nobody"
    elif change == "no graph":
        model.ClearField("graph")
    elif change == "opset":
        model.opset_import[0].version = -1
    return model


@pytest.mark.parametrize(
    "change",
    [
        *("data", "negative dim", "huge dim", "type", "undefined", "twice", "order"),
        *("attribute kind", "no input", "output", "no graph", "opset"),
    ],
)
def test_damaged_models_give_a_format_error(change: str) -> None:
    with pytest.raises(FormatError):
        import_onnx(damaged(change))


def test_a_wrong_attribute_names_its_node() -> None:
    with pytest.raises(ShapeError, match=r"node '.*' \(Transpose\): perm"):
        import_onnx(damaged("perm"))


def test_noise_is_no_model() -> None:
    data = build(RELU, [("x", F32, [2, 3])], ["y"]).SerializeToString()
    for bad in (b"", b"\xff" * 64, data[: len(data) // 2]):
        with pytest.raises(FormatError):
            import_onnx(bad)


def test_flipped_bytes_only_raise_errors_of_ours() -> None:
    w = np.ones((2, 3), np.float32)
    nodes = [node("Add", "x w", "z"), node("Softsign", "z", "y")]
    data = build(nodes, [("x", F32, [2, 3])], ["y"], {"w": w}).SerializeToString()
    read = 0
    for position in range(len(data)):
        for bit in (0, 3, 7):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            try:
                read += isinstance(import_onnx(bytes(changed)), Graph)
            except PyruntimeError:
                continue
    assert read  # names may change without harm


def test_evaluate_checks_feeds_and_keeps_what_is_asked() -> None:
    nodes = [node("Relu", "x", "z"), node("Neg", "z", "y")]
    graph = import_onnx(build(nodes, [("x", F32, ["n"])], ["y"]))
    x = np.asarray([1.0, -2.0], np.float32)
    found = evaluate(graph, {"x": x}, keep=["z", "x"])
    assert set(found) == {"x", "y", "z"}
    np.testing.assert_array_equal(found["z"], [1, 0])
    with pytest.raises(ArgumentError, match="inputs"):
        evaluate(graph, {})
    with pytest.raises(ShapeError, match="'x'"):
        evaluate(graph, {"x": x.reshape(1, 2)})
    with pytest.raises(TypeError, match="f32"):
        evaluate(graph, {"x": x.astype(np.float64)})
    with pytest.raises(ArgumentError, match="no value named 'q'"):
        evaluate(graph, {"x": x}, keep=["q"])


def test_constants_of_every_dtype_arrive() -> None:
    arrays = {str(dtype): np.asarray([0, 1, 1]).astype(dtype.numpy) for dtype in DType}
    nodes = [node("Identity", name, f"y_{name}") for name in arrays]
    graph = import_onnx(build(nodes, [], [f"y_{name}" for name in arrays], arrays, opset=21))
    found = {value.name: value for value in graph.constants()}
    for name, array in arrays.items():
        assert found[name].dtype == name
        assert found[name].constant is not None
        np.testing.assert_array_equal(found[name].constant, array)

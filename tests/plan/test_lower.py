"""Graph -> Program on small graphs, with operators made up for the purpose."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pyruntime.errors import ArgumentError, ShapeError, UnsupportedError
from pyruntime.graph.dims import symbol
from pyruntime.graph.graph import Graph, Node, Value
from pyruntime.graph.types import DType, ValueType
from pyruntime.kernels import Attribute, Family, Operand
from pyruntime.ops._operator import Lowering, Operator
from pyruntime.plan import file, lower
from pyruntime.plan.compile import compile as compile_graph
from pyruntime.plan.compile import to_program
from pyruntime.plan.program import HOST
from pyruntime.plan.schema import check_attributes, check_operands

N = symbol("N")


@dataclass(frozen=True, slots=True)
class Scale:
    factor: float = 2.0
    mode: str = "plain"
    dtype: DType = DType.F32


def same(_attributes: Any, inputs: Sequence[Value | None], _outputs: int) -> list[ValueType]:
    assert inputs[0] is not None
    return [ValueType(inputs[0].dtype, inputs[0].dims)]


def identity(_attributes: Any, inputs: Sequence[Any], _outputs: int) -> list[Any]:
    return [inputs[0]]


def lower_add(node: Node, lowering: Lowering) -> None:
    middle = lowering.temporary(DType.F32, node.outputs[0].dims)
    ones = lowering.constant(np.ones(3, np.float32))
    lowering.step("elementwise", [node.inputs[0], ones, None], [middle], op="add")
    lowering.step("elementwise", [middle, ones], [node.outputs[0]], op="add")


HOSTED = Operator("Hosted", same, identity, Scale, domain="test")
ADDED = Operator("Added", same, identity, lower=lower_add)


@pytest.fixture(autouse=True)
def _without_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    """These graphs are made up, so the real schemas do not matter."""
    monkeypatch.setattr(lower, "schemas", lambda: None)


def graph_of(*operators: Operator) -> Graph:
    graph = Graph(inputs=[Value("x", DType.F32, (N, 3))], name="g")
    value = graph.inputs[0]
    for operator in operators:
        attributes = None if operator.attributes is type(None) else operator.attributes()
        node = graph.append(operator, attributes, [value], [f"v{len(graph.nodes)}"])
        value = node.outputs[0]
    graph.outputs, graph.output_names = [value], ["y"]
    return graph


def test_steps_share_equal_constants_and_drop_absent_operands() -> None:
    program = lower.lower(graph_of(ADDED, ADDED))
    assert [step.family for step in program.steps] == ["elementwise"] * 4
    constants = [v for v in program.values if v.constant is not None]
    assert len(constants) == 1
    assert [len(step.inputs) for step in program.steps] == [2] * 4
    assert len({step.inputs[1] for step in program.steps}) == 1
    assert program.symbols == ("N",)
    assert [port.name for port in (*program.inputs, *program.outputs)] == ["x", "y"]
    # SSA in execution order.
    written = {port.value for port in program.inputs} | {program.steps[0].inputs[1]}
    for step in program.steps:
        assert set(step.inputs) <= written
        assert not set(step.outputs) & written
        written |= set(step.outputs)
    assert program.outputs[0].value == program.steps[-1].outputs[0]


def test_operator_without_lower_is_a_host_step_with_its_attributes() -> None:
    graph = graph_of(HOSTED)
    program = file.read(file.to_bytes(lower.lower(graph)))
    (step,) = program.steps
    assert (step.family, step.operator, step.domain) == (HOST, "Hosted", "test")
    assert Scale(**step.attributes) == graph.nodes[0].attributes


def test_an_operator_may_send_itself_to_the_host() -> None:
    operator = Operator("Both", same, identity, lower=lambda node, low: low.host(node))
    program = lower.lower(graph_of(operator))
    assert [(s.family, s.operator) for s in program.steps] == [(HOST, "Both")]


def test_nodes_that_nothing_needs_are_dropped() -> None:
    graph = graph_of(ADDED)
    graph.append(HOSTED, Scale(), [graph.inputs[0]], ["unused"])
    assert all(step.family != HOST for step in lower.lower(graph).steps)


def test_outputs_may_be_inputs_constants_and_repeated() -> None:
    graph = graph_of()
    seven = graph.constant(np.full(2, 7, np.int64), "seven")
    graph.outputs = [graph.inputs[0], seven, seven]
    graph.output_names = ["a", "b", "c"]
    program = file.read(file.to_bytes(lower.lower(graph)))
    assert [port.value for port in program.outputs] == [0, 1, 1]
    assert not program.steps
    assert program.values[1].constant is not None


def test_constants_of_different_type_or_dims_are_kept_apart() -> None:
    graph = graph_of()
    arrays = [np.zeros(4, np.float32), np.zeros(4, np.int32), np.zeros((2, 2), np.float32)]
    graph.outputs = [graph.constant(array) for array in (*arrays, arrays[0].copy())]
    graph.output_names = list("abcd")
    program = lower.lower(graph)
    assert [port.value for port in program.outputs] == [1, 2, 3, 1]


def test_a_size_known_only_by_running_is_refused() -> None:
    def infer(_attributes: Any, _inputs: Any, _outputs: int) -> list[ValueType]:
        return [ValueType(DType.F32, (symbol("hits"), 3))]

    with pytest.raises(UnsupportedError, match=r"'.*' \(NonZero\): the size hits"):
        lower.lower(graph_of(Operator("NonZero", infer, identity)))


def test_a_symbol_that_reads_as_an_operator_is_refused() -> None:
    graph = graph_of(ADDED)
    graph.inputs[0].dims = (symbol("min"), 3)
    with pytest.raises(UnsupportedError, match="dimension called 'min'"):
        lower.lower(graph)


def test_errors_of_lower_name_the_node() -> None:
    def fail(_node: Node, _lowering: Lowering) -> None:
        raise ShapeError("odd")

    graph = graph_of(Operator("Bad", same, identity, lower=fail))
    with pytest.raises(ShapeError, match=r"node '.*' \(Bad\): odd"):
        lower.lower(graph)


SCHEMA = Family(
    "pool",
    (
        Attribute("op", "text", True),
        Attribute("kernel", "ints", False),
        Attribute("group", "int", False),
        Attribute("lo", "float", False),
    ),
    (Operand("x", False, False, False), Operand("scale", True, False, True)),
    (Operand("y", False, False, False),),
)


def test_attributes_take_the_kinds_of_the_schema() -> None:
    typed = check_attributes(
        SCHEMA, {"op": "max", "kernel": [np.int64(2), N], "group": True, "lo": 1}, "node 'a' (B)"
    )
    assert typed == {"op": "max", "kernel": (2, N), "group": 1, "lo": 1.0}
    assert type(typed["lo"]) is float
    assert type(typed["group"]) is int


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"op": "max", "size": 1}, "node 'a'.*'size' of family 'pool'.*declares op, kernel"),
        ({"op": "max", "kernel": 2}, "'kernel' of family 'pool' as 2; .* as ints"),
        ({"op": 1}, "'op' of family 'pool' as 1; .* as text"),
        ({"op": "max", "group": 1.5}, "as 1.5; .* as int"),
        ({"kernel": [1]}, "does not write op, required by family 'pool'"),
    ],
)
def test_attributes_that_do_not_fit_the_schema(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        check_attributes(SCHEMA, attributes, "node 'a' (B)")


@pytest.mark.parametrize(("inputs", "outputs"), [(0, 1), (3, 1), (1, 0), (1, 2)])
def test_operand_counts_are_checked(inputs: int, outputs: int) -> None:
    with pytest.raises(ArgumentError, match="family 'pool'; the family declares"):
        check_operands(SCHEMA, inputs, outputs, "node 'a' (B)")


def test_a_node_whose_family_the_build_lacks_runs_on_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lower, "schemas", lambda: {"pool": SCHEMA})
    steps = lower.lower(graph_of(ADDED)).steps
    assert [(step.family, step.operator) for step in steps] == [(HOST, "Added")]


def test_compile_leaves_the_graph_alone_and_gives_bytes_or_a_file(tmp_path: Any) -> None:
    graph = graph_of(ADDED, HOSTED)
    before = [repr(node) for node in graph.nodes]
    data = compile_graph(graph, optimize=False)
    assert data is not None
    assert compile_graph(graph, tmp_path / "m.pyrt", optimize=False) is None
    assert (tmp_path / "m.pyrt").read_bytes() == data
    assert [repr(node) for node in graph.nodes] == before
    assert len(to_program(graph, optimize=False).steps) == 3


def test_copy_is_independent() -> None:
    graph = graph_of(ADDED, HOSTED)
    graph.annotations["a"] = [1]
    twin = graph.copy()
    assert [repr(n) for n in twin.nodes] == [repr(n) for n in graph.nodes]
    twin.nodes[0].outputs[0].name = "other"
    twin.annotations["a"].append(2)
    del twin.nodes[1]
    assert len(graph.nodes) == 2
    assert graph.nodes[0].outputs[0].name == "v0"
    assert graph.annotations == {"a": [1]}
    assert {id(v) for v in twin.values()}.isdisjoint({id(v) for v in graph.values()})
    assert all(value.producer is node for node in twin.nodes for value in node.outputs)

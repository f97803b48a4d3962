"""Session: the forms of run, its errors, loops, threads, pickling and what it says about steps."""

import multiprocessing
import pickle
import threading
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from pyruntime import ops
from pyruntime.errors import (
    ArgumentError,
    Cancelled,
    DTypeError,
    FormatError,
    ShapeError,
    UnsupportedError,
)
from pyruntime.graph.dims import symbol
from pyruntime.graph.types import DType, ValueType
from pyruntime.ops import Operator
from pyruntime.plan import file
from pyruntime.plan.compile import refuse_inexact
from pyruntime.plan.program import HOST, Port, Program, ProgramValue, Segment, Step
from pyruntime.preprocess import Preprocess
from pyruntime.session import Session, TensorInfo

N = symbol("N")
WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
X = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
S = np.array([[1, 2, 3]], np.float32)


def model(annotations: dict[str, Any] | None = None) -> bytes:
    """y = x @ w, t = y + s, flags = y > t; inputs x [N, 4], s [1, 3]."""
    values = (
        ProgramValue(DType.F32, (N, 4), "x"),
        ProgramValue(DType.F32, (1, 3), "s"),
        ProgramValue(DType.F32, (4, 3), "w", WEIGHT),
        ProgramValue(DType.F32, (N, 3), "y"),
        ProgramValue(DType.F32, (N, 3), "t"),
        ProgramValue(DType.BOOL, (N, 3), "flags"),
    )
    steps = (
        Step("gemm", {}, (0, 2), (3,), "matmul"),
        Step("elementwise", {"op": "add"}, (3, 1), (4,), "sum"),
        Step("elementwise", {"op": "greater"}, (3, 4), (5,), "compare"),
    )
    return file.to_bytes(
        Program(
            values,
            (Port("x", 0), Port("s", 1)),
            (Port("y", 3), Port("t", 4), Port("flags", 5)),
            (Segment(steps),),
            ("N",),
            annotations or {},
        )
    )


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(model(), threads=2)


def check(outputs: dict[str, Any], x: Any = X, s: Any = S) -> None:
    np.testing.assert_allclose(outputs["y"], x @ WEIGHT, rtol=1e-6)
    np.testing.assert_allclose(outputs["t"], x @ WEIGHT + s, rtol=1e-6)
    np.testing.assert_array_equal(outputs["flags"], outputs["y"] > outputs["t"])
    assert list(outputs) == ["y", "t", "flags"]


def test_run_with_a_dict(session: Session) -> None:
    check(session.run({"x": X, "s": S}))
    check(session.run({"s": S, "x": X}))
    check(session.run(MappingProxyType({"x": X, "s": S})))


@pytest.mark.parametrize("n", [0, 1, 7, 100])
def test_run_with_other_sizes(session: Session, n: int) -> None:
    x = np.random.default_rng(n).integers(-9, 9, (n, 4)).astype(np.float32)
    check(session.run({"x": x, "s": S}), x)


def test_run_with_names(session: Session) -> None:
    t, y = session.run(["t", "y"], {"x": X, "s": S})
    np.testing.assert_allclose(t, X @ WEIGHT + S, rtol=1e-6)
    np.testing.assert_allclose(y, X @ WEIGHT, rtol=1e-6)
    assert len(session.run(None, {"x": X, "s": S})) == 3
    with pytest.raises(ArgumentError, match=r"no outputs \['z'\]; it has \['y', 't', 'flags'\]"):
        session.run(["z"], {"x": X, "s": S})


def test_run_with_a_sequence(session: Session) -> None:
    y, t, flags = session.run([X, S])
    check({"y": y, "t": t, "flags": flags})


def test_inputs_need_not_be_contiguous(session: Session) -> None:
    wide = np.zeros((2, 8), np.float32)
    wide[:, ::2] = X
    check(session.run({"x": wide[:, ::2], "s": S}))
    check(session.run({"x": np.asfortranarray(X), "s": S}))


def test_inputs_through_dlpack(session: Session) -> None:
    class Tensor:
        def __dlpack__(self, **options: Any) -> Any:
            return X.__dlpack__(**options)

        def __dlpack_device__(self) -> Any:
            return X.__dlpack_device__()

    check(session.run({"x": Tensor(), "s": S}))


def test_inputs_that_are_buffers(session: Session) -> None:
    check(session.run({"x": memoryview(X), "s": S}))


def test_out_is_written(session: Session) -> None:
    t = np.zeros((2, 3), np.float32)
    outputs = session.run({"x": X, "s": S}, out={"t": t})
    assert outputs["t"] is t
    check(outputs)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ({"t": np.zeros((2, 4), np.float32)}, ShapeError, r"out 't' has dims \[2, 4\]"),
        ({"t": np.zeros((2, 3))}, DTypeError, "out 't' has elements of float64"),
        ({"t": np.zeros((3, 2), np.float32).T}, ArgumentError, "out 't' must be"),
        ({"t": [1, 2]}, ArgumentError, "out 't' is not a numpy array"),
        ([np.zeros((2, 3), np.float32)], ArgumentError, "one array per output"),
    ],
)
def test_out_that_does_not_fit(
    session: Session, out: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        session.run({"x": X, "s": S}, out=out)


def test_out_may_not_overlap(session: Session) -> None:
    memory = np.zeros((2, 3), np.float32)
    with pytest.raises(ArgumentError, match="share memory"):
        session.run({"x": X, "s": S}, out={"t": memory, "y": memory})


@pytest.mark.parametrize(
    ("feeds", "error", "message"),
    [
        ({"x": X}, ArgumentError, "input 's' is missing.*'x' 's'"),
        ({"x": X, "s": S, "z": S}, ArgumentError, "'z'.*takes 'x' 's'"),
        ({"x": X, "S": S}, ArgumentError, "'s'"),
        ({"x": X[:, :3], "s": S}, ShapeError, r"'x' has dims \[2, 3\].*\[2, 4\]"),
        ({"x": X[0], "s": S}, ShapeError, "'x'"),
        ({"x": X.astype(np.float64), "s": S}, DTypeError, "'x'.*float64.*f32.*astype"),
        ({"x": X, "s": S.astype(np.int32)}, DTypeError, r"'s'.*int32.*f32"),
        ({"x": [[1, 2, 3, 4]], "s": S}, DTypeError, "'x'.*int64"),
        (None, ArgumentError, "feeds must be a dict"),
        (3, ArgumentError, "feeds must be a dict"),
    ],
)
def test_feeds_that_do_not_fit(
    session: Session, feeds: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        session.run(feeds)


def test_descriptors(session: Session) -> None:
    assert session.inputs == (TensorInfo("x", "f32", ("N", 4)), TensorInfo("s", "f32", (1, 3)))
    assert session.outputs[2] == TensorInfo("flags", "bool", ("N", 3))
    assert session.threads == 2
    assert "Session(bytes" in repr(session)


def test_steps_say_what_runs(session: Session) -> None:
    steps = session.steps({"x": X, "s": (1, 3)})
    assert [step.name for step in steps if step.name] == ["matmul", "sum", "compare"]
    matmul = steps[0]
    assert matmul.family == "gemm"
    assert not matmul.host
    assert matmul.row.startswith("gemm_f32")
    assert matmul.outputs[0] is not None
    assert matmul.outputs[0].dims == (2, 3)
    assert matmul.row in [candidate.row for candidate in matmul.candidates]
    assert any(line.startswith(f"{matmul.row}: taken, predicted") for line in matmul.why)
    assert [step.row for step in session.steps()]
    assert session.memory()["packed_bytes"] >= 0


def test_bit_exactness_is_explained(session: Session) -> None:
    assert not session.bit_exact
    (name,) = session.inexact_steps()
    assert "matmul" in name
    with pytest.raises(UnsupportedError, match=r"not bit-exact: .*matmul"):
        refuse_inexact(model())


def test_profile_names_every_step(session: Session) -> None:
    times = session.profile({"x": X, "s": S}, runs=3)
    assert [t.name for t in times if t.name] == ["matmul", "sum", "compare"]
    assert sum(t.share for t in times) == pytest.approx(1)
    assert all(t.ns > 0 for t in times)
    with pytest.raises(ArgumentError, match="at least 1 run, got 0"):
        session.profile({"x": X, "s": S}, runs=0)


def test_loop_reads_inputs_in_place(session: Session) -> None:
    x = X.copy()
    loop = session.bind({"x": x, "s": S})
    assert loop.inputs["x"] is x
    outputs = loop.run()
    check(outputs)
    x[:] = 1
    assert loop.run() is outputs
    check(outputs, x)


def test_loop_feeds_back_and_keeps_the_callers_state() -> None:
    values = (
        ProgramValue(DType.F32, (3,), "x"),
        ProgramValue(DType.F32, (3,), "state"),
        ProgramValue(DType.F32, (3,), "next"),
    )
    step = Step("elementwise", {"op": "add"}, (0, 1), (2,), "add")
    data = file.to_bytes(
        Program(values, (Port("x", 0), Port("state", 1)), (Port("next", 2),), (Segment((step,)),))
    )
    x, state = np.ones(3, np.float32), np.zeros(3, np.float32)
    loop = Session(data).bind({"x": x, "state": state}, feedback={"next": "state"})
    for count in range(1, 5):
        np.testing.assert_array_equal(loop.run()["next"], np.full(3, count))
    assert not state.any()
    np.testing.assert_array_equal(loop.inputs["state"], np.full(3, 4))


def test_loop_with_wrong_feedback(session: Session) -> None:
    with pytest.raises(ArgumentError, match="'nowhere'"):
        session.bind({"x": X, "s": S}, feedback={"nowhere": "s"})
    with pytest.raises(ShapeError, match=r"'y'.*'s'"):
        session.bind({"x": X, "s": S}, feedback={"y": "s"})


def test_threads_share_a_session(session: Session) -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for round_ in range(50):
                n = (seed + round_) % 5 + 1
                x = np.full((n, 4), seed, np.float32)
                check(session.run({"x": x, "s": S}), x)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_do_not_depend_on_threads(threads: int) -> None:
    x = np.random.default_rng(0).normal(size=(333, 4)).astype(np.float32)
    one = Session(model(), threads=1).run({"x": x, "s": S})
    many = Session(model(), threads=threads).run({"x": x, "s": S})
    assert all(one[name].tobytes() == many[name].tobytes() for name in one)


def test_pickle(tmp_path: Path) -> None:
    (tmp_path / "m.pyrt").write_bytes(model())
    for source in (model(), tmp_path / "m.pyrt"):
        session = pickle.loads(pickle.dumps(Session(source, threads=1)))
        check(session.run({"x": X, "s": S}))
        assert session.threads == 1


def _run_in_child(session: Session, pipe: Any) -> None:
    pipe.send(session.run({"x": X, "s": S}))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork() -> None:
    session = Session(model(), threads=2)
    x = np.ones((500, 4), np.float32)
    session.run({"x": x, "s": S})  # the pool has started
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run_in_child, args=(session, sender))
    child.start()
    assert receiver.poll(30), "the child hangs"
    check(receiver.recv())
    child.join(30)
    assert child.exitcode == 0


@pytest.mark.parametrize("mmap", [True, False])
def test_paths(tmp_path: Path, mmap: bool) -> None:
    path = tmp_path / "m.pyrt"
    path.write_bytes(model())
    for source in (path, str(path)):
        with Session(source, mmap=mmap) as session:
            check(session.run({"x": X, "s": S}))
        with pytest.raises(ArgumentError, match="closed"):
            session.run({"x": X, "s": S})
        assert repr(session) == "Session(closed)"


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"nothing\.pyrt"):
        Session(tmp_path / "nothing.pyrt")


def test_damaged_file() -> None:
    data = bytearray(model())
    data[-1] ^= 1
    with pytest.raises(FormatError, match="checksum"):
        Session(bytes(data))
    Session(bytes(data), verify=False)


@pytest.mark.parametrize(("options", "error"), [({"threads": -1}, ArgumentError)])
def test_bad_options(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Session(model(), **options)


def test_unknown_isa() -> None:
    with pytest.raises((ArgumentError, UnsupportedError), match="pentium"):
        Session(model(), isa="pentium")
    scalar = Session(model(), isa="scalar")
    assert scalar.isa == "scalar"
    assert all("avx" not in step.row for step in scalar.steps())
    check(scalar.run({"x": X, "s": S}))


# Preprocessing -----------------------------------------------------------------------------------


def test_preprocess_uses_the_record_in_the_file() -> None:
    record = Preprocess(input="s")
    session = Session(model({"preprocess": record.annotation()}))
    assert Preprocess.from_annotation(session.annotations["preprocess"]) == record
    np.testing.assert_array_equal(session.preprocess(S[0])["s"], S)
    with pytest.raises(ArgumentError, match=r"no input 'z', it has \['x', 's'\]"):
        session.preprocess(S, Preprocess(input="z"))


# Host steps --------------------------------------------------------------------------------------


def host_model(dims: tuple[Any, ...] = (N, 2), **attributes: Any) -> bytes:
    values = (
        ProgramValue(DType.F32, (N, 2), "x"),
        ProgramValue(DType.F32, (N, 2), "middle"),
        ProgramValue(DType.F32, dims, "y"),
    )
    steps = (
        Step("elementwise", {"op": "neg"}, (0,), (1,), "neg"),
        Step(HOST, attributes, (1, -1), (2,), "custom", "Custom", "test"),
    )
    return file.to_bytes(
        Program(values, (Port("x", 0),), (Port("y", 2),), (Segment(steps),), ("N",))
    )


def custom(monkeypatch: pytest.MonkeyPatch, reference: Any) -> None:
    def infer(_attributes: Any, inputs: Any, _outputs: int) -> list[ValueType]:
        return [ValueType(inputs[0].dtype, inputs[0].dims)]

    found = Operator("Custom", infer, reference, dict, domain="test")
    monkeypatch.setattr(ops, "find_operator", lambda *_: found)


def test_host_step_runs_between_native_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def reference(attributes: Any, inputs: Any, outputs: int) -> list[Any]:
        assert attributes == {"factor": 2.5, "none": None}
        assert inputs[1] is None
        assert outputs == 1
        assert not inputs[0].flags.writeable
        return [inputs[0] * np.float32(attributes["factor"])]

    custom(monkeypatch, reference)
    session = Session(host_model(factor=2.5, none=None))
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    for _ in range(2):
        np.testing.assert_array_equal(session.run({"x": x})["y"], x * -2.5)
    steps = session.steps()
    assert [step.host for step in steps if step.name] == [False, True]
    assert steps[-1].operator == "Custom"
    assert any("custom" in name for name in session.inexact_steps())


def test_host_step_that_fails_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    def reference(*_: Any) -> list[Any]:
        raise ShapeError("odd")

    custom(monkeypatch, reference)
    with pytest.raises(ShapeError, match=r"node 'custom' \(Custom\): odd"):
        Session(host_model()).run({"x": np.zeros((1, 2), np.float32)})


def test_host_step_with_a_bug_raises_what_python_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def reference(*_: Any) -> list[Any]:
        raise ZeroDivisionError("bug")

    custom(monkeypatch, reference)
    with pytest.raises(ZeroDivisionError, match="bug"):
        Session(host_model()).run({"x": np.zeros((1, 2), np.float32)})


def test_host_step_with_other_dims_than_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    custom(monkeypatch, lambda _a, inputs, _n: [inputs[0][:1]])
    with pytest.raises(ShapeError, match=r"\[1, 2\], the program says \[3, 2\]"):
        Session(host_model()).run({"x": np.zeros((3, 2), np.float32)})


def test_host_operator_that_this_version_lacks() -> None:
    with pytest.raises(UnsupportedError, match=r"'Custom' of domain 'test'.*update"):
        Session(host_model()).run({"x": np.zeros((1, 2), np.float32)})


def test_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyruntime.session import CancelToken

    token = CancelToken()

    def reference(_attributes: Any, inputs: Any, _outputs: int) -> list[Any]:
        token.cancel()
        return [inputs[0]]

    custom(monkeypatch, reference)
    token.cancel()
    with pytest.raises(Cancelled):
        Session(host_model()).run({"x": np.zeros((1, 2), np.float32)}, cancel=token)

"""Sessions and loops of `_core` on hand-made files."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

from pyruntime import _core
from pyruntime.errors import (
    ArgumentError,
    Cancelled,
    DTypeError,
    PyruntimeError,
    ResourceError,
    ShapeError,
    UnsupportedError,
)
from tests.runtime import pyrt_files as files
from tests.runtime.pyrt_files import program_of, value

X = np.arange(16, dtype=np.float32).reshape(2, 8) / 8


def linear_session(**options: Any) -> _core.Session:
    return _core.Session(files.model(*files.linear()), **options)


def linear_expected(x: np.ndarray) -> np.ndarray:
    _, tensors = files.linear()
    return (x.astype(np.float64) @ tensors["w"] + tensors["b"]).astype(np.float32)


def elementwise(op: str, inputs: list[int], output: int) -> dict[str, Any]:
    return {
        "family": "elementwise",
        "attributes": {"op": op},
        "inputs": inputs,
        "outputs": [output],
    }


def test_feeds_by_name_and_by_order() -> None:
    session = linear_session()
    by_name = session.run({"x": X})
    assert list(by_name) == ["y"]
    np.testing.assert_allclose(by_name["y"], linear_expected(X), rtol=1e-5)
    assert np.array_equal(session.run([X])[0], by_name["y"])


@pytest.mark.parametrize("rows", [1, 0, 5, 2])
def test_dims_may_change_between_runs(rows: int) -> None:
    session = linear_session()
    session.run([X])
    x = np.full((rows, 8), 0.5, np.float32)
    np.testing.assert_allclose(session.run([x])[0], linear_expected(x), rtol=1e-5)


@pytest.mark.parametrize(
    "feed",
    [
        np.asfortranarray(X),
        np.repeat(X, 2, axis=1)[:, ::2],
        np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(2, 8),
        memoryview(X),
        X[::-1][::-1],
    ],
    ids=["fortran", "strided", "unaligned", "buffer", "reversed"],
)
def test_any_cpu_buffer_is_taken(feed: Any) -> None:
    np.testing.assert_allclose(linear_session().run([feed])[0], linear_expected(X), rtol=1e-5)


@pytest.mark.parametrize(
    ("feeds", "error", "message"),
    [
        ({"x": X.astype(np.float64)}, DTypeError, "float64.*f32.*astype"),
        ({"x": X.astype(">f4")}, DTypeError, "f32"),
        ({"x": X[0]}, ShapeError, "rank 1"),
        ({"x": X[:, :7]}, ShapeError, r"\[2, 7\].*\[2, 8\]"),
        ({"x": np.zeros((1,) * 9, np.float32)}, ShapeError, "rank 9"),
        ({}, ArgumentError, "'x' is missing"),
        ({"x": X, "z": X}, ArgumentError, "'z'"),
        ([X, X], ArgumentError, "does not have"),
        ([], ArgumentError, "'x' is missing"),
        (3, ArgumentError, "dict of arrays"),
    ],
)
def test_feeds_that_do_not_fit(feeds: Any, error: type[PyruntimeError], message: str) -> None:
    with pytest.raises(error, match=message):
        linear_session().run(feeds)


def test_out_receives_the_result() -> None:
    session = linear_session()
    y = np.empty((2, 4), np.float32)
    assert session.run({"x": X}, out={"y": y})["y"] is y
    assert np.array_equal(y, session.run([X])[0])
    assert session.run([X], out=[y])[0] is y


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((2, 5), np.float32), ShapeError, r"\[2, 4\]"),
        (np.empty((2, 4), np.float64), DTypeError, "f32"),
        (np.empty((4, 2), np.float32).T, ArgumentError, "C-contiguous"),
        (np.broadcast_to(np.float32(0), (2, 4)), ArgumentError, "writeable"),
        ([[0.0] * 4] * 2, ArgumentError, "not a numpy array"),
    ],
)
def test_out_that_does_not_fit(out: Any, error: type[PyruntimeError], message: str) -> None:
    with pytest.raises(error, match=message):
        linear_session().run([X], out=[out])


def test_out_must_not_overlap_an_input() -> None:
    buffer = np.zeros(32, np.float32)
    with pytest.raises(ArgumentError, match="shares memory"):
        linear_session().run([buffer[:16].reshape(2, 8)], out=[buffer[12:20].reshape(2, 4)])


def test_outputs_may_be_inputs_constants_and_repeated() -> None:
    program = program_of(
        [value("B", 8), value(3, tensor="c"), value("B", 8)],
        [elementwise("neg", [0], 2)],
        [0],
        [0, 1, 2, 2],
    )
    c = np.array([1, 2, 3], np.float32)
    outputs = _core.Session(files.model(program, {"c": c})).run([X])
    for got, wanted in zip(outputs, [X, c, -X, -X], strict=True):
        assert np.array_equal(got, wanted)


def test_an_alias_of_an_input_is_copied_out() -> None:
    program = program_of(
        [value("B", 8), value(["*", "B", 2], 4)],
        [{"family": "reshape", "inputs": [0], "outputs": [1]}],
        [0],
        [1],
    )
    session = _core.Session(files.model(program))
    y = session.run([X])[0]
    assert np.array_equal(y, X.reshape(4, 4))
    assert not np.shares_memory(X, y)
    assert session.steps()[0]["alias"]


def test_buffers_are_reused_without_harm() -> None:
    """Ten steps in a chain, each also read once more at the end: the arena needs care."""
    count = 10
    values = [value("B", 8) for _ in range(2 * count + 1)]
    steps = [elementwise("neg", [i], i + 1) for i in range(count)]
    steps += [elementwise("add", [count + i, count - 1 - i], count + 1 + i) for i in range(count)]
    session = _core.Session(files.model(program_of(values, steps, [0], [2 * count])))
    held = [X * (-1) ** i for i in range(count + 1)]
    wanted = held[count]
    for i in range(count):
        wanted = wanted + held[count - 1 - i]
    assert np.array_equal(session.run([X])[0], wanted)
    arena = session.memory([[2, 8]])["arena_bytes"]
    assert arena == (count + 1) * 64, "as many as live at once: the chain and the first sum"


def host_model() -> bytes:
    """y0 = neg(host(neg(x)))."""
    host = {"family": "host", "operator": "Twice", "name": "middle", "inputs": [1], "outputs": [2]}
    values = [value("B", 8) for _ in range(4)]
    steps = [elementwise("neg", [0], 1), host, elementwise("neg", [2], 3)]
    return files.model(program_of(values, steps, [0], [3]))


def test_host_steps() -> None:
    def twice(step: int, inputs: list[Any], outputs: list[Any]) -> None:
        assert step == 1
        assert not inputs[0].flags.writeable
        np.multiply(inputs[0], 2, out=outputs[0])

    session = _core.Session(host_model(), host=twice)
    assert np.array_equal(session.run([X])[0], 2 * X)
    assert session.steps()[1]["exactness"] == "host"
    assert session.inexact() == ["step 1 'middle' (Twice)"]


def test_host_steps_need_a_callback() -> None:
    with pytest.raises(UnsupportedError, match=r"step 1 'middle' \(Twice\)"):
        _core.Session(host_model())


def test_an_exception_of_a_host_step_comes_through() -> None:
    def fail(*_: Any) -> None:
        raise KeyError("mine")

    session = _core.Session(host_model(), host=fail)
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            session.run([X])


def test_sessions_and_callbacks_are_freed() -> None:
    class Host:
        alive = 0

        def __init__(self) -> None:
            Host.alive += 1

        def __del__(self) -> None:
            Host.alive -= 1

        def __call__(self, _step: int, inputs: list[Any], outputs: list[Any]) -> None:
            outputs[0][...] = inputs[0]

    _core.Session(host_model(), host=Host()).run([X])
    gc.collect()
    assert Host.alive == 0


def test_loop_feeds_state_back() -> None:
    program = program_of(
        [value("B", 8), value("B", 8), value("B", 8)], [elementwise("add", [0, 1], 2)], [0, 1], [2]
    )
    session = _core.Session(files.model(program))
    x, state = X.copy(), np.zeros_like(X)
    loop = session.bind({"x0": x, "x1": state}, feedback={"y0": "x1"})
    y = loop.outputs["y0"]
    for step in range(1, 4):
        loop.run()
        assert np.array_equal(y, X * step)
    x += 1  # inputs are read where they are
    loop.run()
    assert np.array_equal(y, X * 4 + 1)
    assert not state.any(), "the caller's first state is left alone"
    with pytest.raises(ArgumentError, match="no such tensor"):
        session.bind([x, state], feedback={"nope": "x1"})
    with pytest.raises(ArgumentError, match="must be"):
        session.bind([x, state.T.copy().T])


def test_concurrent_runs_agree() -> None:
    session = linear_session(threads=2)
    feeds = [np.full((3, 8), i, np.float32) for i in range(4)]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(300):
            y = session.run([feeds[i]])[0]
            if not np.allclose(y, linear_expected(feeds[i]), rtol=1e-5):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_session_works_after_fork() -> None:
    session = large_session(threads=2)
    x = np.full((512, 512), 0.5, np.float32)
    wanted = session.run([x])[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(session.run([x])[0], wanted) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(session.run([x])[0], wanted)


def large_session(steps: int = 1, **options: Any) -> _core.Session:
    """A chain of 512^3 matrix products."""
    values = [value(512, 512), value(512, 512, tensor="w")]
    values += [value(512, 512) for _ in range(steps)]
    products = [
        {"family": "gemm", "inputs": [0 if i == 0 else i + 1, 1], "outputs": [i + 2]}
        for i in range(steps)
    ]
    program = program_of(values, products, [0], [steps + 1])
    program["symbols"] = []
    w = np.random.default_rng(1).standard_normal((512, 512)).astype(np.float32) / 32
    return _core.Session(files.model(program, {"w": w}), **options)


def test_cancel() -> None:
    session, token = linear_session(), _core.CancelToken()
    session.run([X], cancel=token)
    token.cancel()
    with pytest.raises(Cancelled, match="step 0 'fc'"):
        session.run([X], cancel=token)


def test_a_signal_stops_a_long_run() -> None:
    session = large_session(2000, threads=1)
    session.prepare()
    x = np.zeros((512, 512), np.float32)
    previous = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(InterruptedError))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    begin = time.monotonic()
    try:
        with pytest.raises(InterruptedError):
            session.run([x])
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - begin < 4, "2000 products of 512^3 take longer"


def test_packed_weights_are_shared_by_content() -> None:
    gc.collect()
    before = _core.packed_bytes()
    data = files.model(*files.linear())
    sessions = [_core.Session(data) for _ in range(3)]
    for session in sessions:
        session.run([X])
        session.run([X[:1]])
    each = sessions[0].memory([[2, 8]])["packed_bytes"]
    assert _core.packed_bytes() - before == each > 0
    program, tensors = files.linear()
    tensors["w"][0, 0] += 1
    other = _core.Session(files.model(program, tensors))
    other.prepare([[2, 8]])
    assert _core.packed_bytes() - before == 2 * each
    del sessions, session, other
    gc.collect()
    assert _core.packed_bytes() == before


def test_isa_by_name_and_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in _core.cpu()["presets"]:
        rows = [step["row"] for step in linear_session(isa=preset).steps([[2, 8]])]
        if preset == "scalar":
            assert all(row.endswith("scalar") for row in rows)
        np.testing.assert_allclose(
            linear_session(isa=preset).run([X])[0], linear_expected(X), rtol=1e-5
        )
    with pytest.raises(UnsupportedError, match=r"unknown isa 'z80'.*scalar"):
        linear_session(isa="z80")
    monkeypatch.setenv("PYRUNTIME_ISA", "scalar")
    assert linear_session().steps([[2, 8]])[0]["row"].endswith("scalar")
    monkeypatch.setenv("PYRUNTIME_ISA", "z80")
    with pytest.raises(UnsupportedError, match="PYRUNTIME_ISA"):
        linear_session()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"threads": -1}, ArgumentError),
        ({"threads": 5000}, ArgumentError),
        ({"max_bytes": 10}, ResourceError),
    ],
)
def test_options_out_of_range(options: dict[str, Any], error: type[PyruntimeError]) -> None:
    with pytest.raises(error):
        linear_session(**options).run([X])


def test_threads_default_to_the_affinity_mask() -> None:
    assert 1 <= linear_session().threads <= len(os.sched_getaffinity(0))


def test_missing_files_name_the_path() -> None:
    with pytest.raises(ArgumentError, match=r"/nowhere/m\.pyrt"):
        _core.Session("/nowhere/m.pyrt")
    with pytest.raises(ArgumentError, match="regular file"):
        _core.Session("/dev")


def test_steps_explain_their_row() -> None:
    step = linear_session().steps([[2, 8]])[0]
    taken = [row for row, _, reason in step["candidates"] if reason == ""]
    assert taken == [step["row"]]
    assert all(reason for row, _, reason in step["candidates"] if row != step["row"])
    profiled = linear_session().profile([X], 5)
    assert profiled[0]["row"] == step["row"]
    assert profiled[0]["ns"] > 0


def test_costs_change_the_choice() -> None:
    session = linear_session()
    fast = session.steps([[2, 8]])[0]["row"]
    slow = linear_session(costs=[(fast, 1e6)]).steps([[2, 8]])[0]["row"]
    assert slow != fast
    assert linear_session(row="scalar").steps([[2, 8]])[0]["row"].endswith("scalar")


def test_an_index_outside_is_an_error_of_the_run() -> None:
    program = program_of(
        [value("B", 8), value(2, dtype="s64"), value(2, 8)],
        [
            {
                "family": "gather",
                "name": "pick",
                "attributes": {"axis": 0},
                "inputs": [0, 1],
                "outputs": [2],
            }
        ],
        [0, 1],
        [2],
    )
    session = _core.Session(files.model(program))
    assert np.array_equal(session.run([X, np.array([1, -2])])[0], X[::-1])
    for bad in (2, -3, 2**60):
        with pytest.raises(ArgumentError, match=r"'pick' \(gather\).*outside"):
            session.run([X, np.array([0, bad])])
    assert np.array_equal(session.run([X, np.array([0, 0])])[0], X[[0, 0]])


def test_single_steps() -> None:
    _, tensors = files.linear()
    step = _core.single_step(
        "gemm",
        {},
        [("f32", [2, 8]), tensors["w"], tensors["b"]],
        [("f32", [2, 4])],
        row="scalar",
    )
    np.testing.assert_allclose(step.run([X])[0], linear_expected(X), rtol=1e-5)
    with pytest.raises(UnsupportedError, match="does not contain 'turbo'"):
        _core.single_step(
            "gemm", {}, [("f32", [2, 8]), tensors["w"]], [("f32", [2, 4])], row="turbo"
        ).steps()


def test_families_describe_themselves() -> None:
    gemm = next(f for f in _core.families() if f["name"] == "gemm")
    assert {"name": "trans_a", "kind": "int", "required": False, "default": 0} in gemm["attributes"]
    assert gemm["inputs"][0] == {
        "name": "a",
        "optional": False,
        "variadic": False,
        "parameter": False,
    }
    rows = {row["name"]: row for row in _core.rows()}
    assert len(rows) == len(_core.rows()), "names of rows are unique"
    assert all(row["runnable"] for row in rows.values() if not row["features"])

"""Tuning: what is fitted, kept, read again and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyruntime as rt
from pyruntime import Session, costs
from pyruntime.errors import ArgumentError, FormatError
from pyruntime.tuning import fit


def test_there_are_as_many_problems_as_counted() -> None:
    assert len({problem.label for problem in fit.problems()}) == fit.count()


def test_structures_have_the_zeros_they_name() -> None:
    rng = np.random.default_rng(0)
    weights = fit.Structure(0.75, 16, 4).prune(np.ones((64, 256), np.int8), rng)
    blocks = weights.reshape(4, 16, 64, 4).sum(axis=(1, 3))
    assert set(np.unique(blocks)) == {0, 64}
    assert 0.5 < (blocks == 0).mean() < 0.95


def test_a_problem_is_measured_by_every_fast_kernel() -> None:
    problem = next(p for p in fit.problems() if p.label == "s8 8x512x512 90%")
    measured = fit.measure(problem)
    assert len(measured.times) >= 2
    assert all(predicted > 0 and ns > 0 for predicted, ns in measured.times.values())


def test_factors_are_medians_where_a_kernel_counts() -> None:
    measured = [
        fit.Measured("a", {"fast": (100, 200), "slow": (3000, 10_000)}),
        fit.Measured("b", {"fast": (100, 300), "slow": (110, 55)}),
        fit.Measured("c", {"fast": (100, 400)}),
    ]
    # In "a", slow is hopeless; in "b" fast is.
    assert fit.fit(measured) == {"fast": 3.0, "slow": 0.5}
    assert fit.near_best(measured, {}) == 2 / 3
    assert fit.near_best(measured, {"fast": 3.0, "slow": 0.5}) == 1.0


def test_factors_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "tuning.json"
    costs.save({"row_a": 1.25, "row_b": 0.5}, path)
    assert costs.load(path) == {"row_a": 1.25, "row_b": 0.5}
    monkeypatch.setenv(costs.VARIABLE, str(path))
    assert costs.stored() == {"row_a": 1.25, "row_b": 0.5}
    monkeypatch.setenv(costs.VARIABLE, "off")
    assert costs.stored() == {}
    monkeypatch.delenv(costs.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert costs.default_path() == tmp_path / "pyruntime" / "tuning.json"
    assert costs.stored() == {}


def test_another_cpu_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    costs.save({"row_a": 1.25}, path)
    document = json.loads(path.read_text())
    document["cpu"]["name"] = "another"
    path.write_text(json.dumps(document))
    assert costs.load(path) == {}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 2}', "\x00\xff", '{"version": 1, "cpu": 3, "factors": 7}' * 2],
)
def test_damaged_tuning_is_left_alone(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(FormatError):
        costs.load(path)
    monkeypatch.setenv(costs.VARIABLE, str(path))
    assert costs.stored() == {}


@pytest.mark.parametrize("factor", ["nan", "0", "-1", "1000", "x", None, [1]])
def test_a_factor_that_is_none_is_refused(factor: object, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    costs.save({"row_a": 1.25}, path)
    document = json.loads(path.read_text())
    document["factors"]["row_a"] = factor
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError, match="row_a"):
        costs.load(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="cannot be written"):
        costs.save({}, tmp_path / "file" / "tuning.json")


def test_a_session_chooses_by_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(__file__).parents[2] / "benchmarks" / "demo" / "models" / "digits_mlp.onnx"
    data = rt.compile(rt.import_onnx(model))
    assert data is not None
    plain = {step.row for step in Session(data).steps()}
    path = tmp_path / "tuning.json"
    costs.save(dict.fromkeys(plain, 90.0), path)
    monkeypatch.setenv(costs.VARIABLE, str(path))
    assert plain.isdisjoint(step.row for step in Session(data).steps() if not step.alias)
    assert {step.row for step in Session(data, costs={}).steps()} == plain

"""Real models against recordings made elsewhere: imported, compiled, run, compared.

The models lie beside the repository (or where PYRUNTIME_MODELS says) with `models.json`, which
states the rule: |got - want| <= atol + rtol * |want| for floats, equal for integers. How many steps
of each model are native and how many run on the host is printed behind the summary.
"""

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyruntime
from pyruntime.tuning.explain import reason

FOLDER = Path(
    os.environ.get("PYRUNTIME_MODELS", Path(__file__).parents[2].parent / "shared" / "models")
)
LIST = FOLDER / "models.json"
MODELS: dict[str, Any] = (
    {model["name"]: model for model in json.loads(LIST.read_text())["models"]}
    if LIST.is_file()
    else {}
)
RECORDINGS = [
    (name, recording) for name, model in MODELS.items() for recording in model["fixtures"]
]


def test_there_are_models() -> None:
    if not MODELS:
        pytest.skip(f"no models in {FOLDER}; set PYRUNTIME_MODELS to the folder of models.json")
    assert RECORDINGS


@functools.cache
def compiled(name: str) -> bytes:
    graph = pyruntime.import_onnx(FOLDER / MODELS[name]["file"])
    data = pyruntime.compile(graph)
    assert data is not None
    return data


def compare(name: str, recording: str, session: Any) -> dict[str, Any]:
    record = np.load(FOLDER / recording)
    feeds = {key[3:]: record[key] for key in record.files if key.startswith("in:")}
    tolerance = MODELS[name]["tolerance"]
    outputs = session.run(feeds)
    wanted = {key[4:]: record[key] for key in record.files if key.startswith("out:")}
    assert wanted
    assert wanted.keys() <= outputs.keys()
    for output, want in wanted.items():
        got = outputs[output]
        assert (got.shape, got.dtype) == (want.shape, want.dtype), output
        if want.dtype.kind == "f":
            np.testing.assert_allclose(
                got,
                want,
                rtol=tolerance["rtol"],
                atol=tolerance["atol"][output],
                err_msg=f"{recording}: {output}",
            )
        else:
            np.testing.assert_array_equal(got, want, err_msg=f"{recording}: {output}")
    return feeds


@pytest.mark.parametrize(("name", "recording"), RECORDINGS)
def test_model_gives_what_was_recorded(name: str, recording: str, record_steps: Any) -> None:
    session = pyruntime.Session(compiled(name))
    feeds = compare(name, recording, session)
    record_steps(name, session.steps(feeds))
    steps = session.steps()
    assert steps, "sizes to explain the steps are found without feeds, too"
    for step in steps:
        assert reason(step), f"{step.name}: no reason for {step.row or 'the reference'}"
        if not step.host:
            others = [c for c in step.candidates if c.row != step.row]
            assert all(other.reason for other in others), step.name

"""ONNX's own tests through the whole product, by the ONNX backend interface.

A test runs if all its operators and element types are ours, where operators that ONNX defines by
others are written out. The others are counted by reason (see the end of the report).
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from pyruntime import backend
from pyruntime.errors import PyruntimeError
from pyruntime.onnx_import.load import expand_functions, onnx_package
from pyruntime.onnx_import.opset import domain_of, find_reader, opset_versions
from pyruntime.ops._onnx_types import is_known

# Tests whose operators we have but that ask for something that is not supported: pattern -> reason.
LEFT_OUT = {
    r"test_training_dropout.*": "training mode of Dropout",
}


def load_cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generators overflow on purpose
        kinds = ("node", "simple", "pytorch-converted", "pytorch-operator")
        return [case for kind in kinds for case in load_model_tests(kind=kind)]


def model_of(case: Any) -> Any:
    if case.model is None:
        case.model = onnx.load(Path(case.model_dir) / "model.onnx")
    return case.model


def reason_to_exclude(case: Any) -> str | None:
    for pattern, reason in LEFT_OUT.items():
        if re.fullmatch(pattern, case.name):
            return reason
    model = model_of(case)
    for info in (*model.graph.input, *model.graph.output):
        kind = info.type.WhichOneof("value")
        if kind != "tensor_type":
            return f"{(kind or 'no').removesuffix('_type')} values"
        if not is_known(info.type.tensor_type.elem_type):
            return f"values of {onnx.TensorProto.DataType.Name(info.type.tensor_type.elem_type)}"
    try:
        model = expand_functions(onnx_package(), model)
        versions = opset_versions(model.opset_import, onnx.defs.onnx_opset_version())
    except PyruntimeError as error:
        return str(error)[:60]
    missing = {
        node.op_type
        for node in model.graph.node
        if find_reader(node.op_type, domain_of(node.domain), versions) is None
        and node.op_type != "If"
    }
    return f"operator {min(missing)}" if missing else None


def read_tensor(path: Path, info: Any) -> np.ndarray:
    assert info.type.WhichOneof("value") == "tensor_type"
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def data_sets(case: Any) -> list[tuple[list[Any], list[Any]]]:
    if case.data_sets is not None:
        return [tuple([_array(x) for x in part] for part in pair) for pair in case.data_sets]
    sets = []
    model = model_of(case)
    for folder in sorted(Path(case.model_dir).glob("test_data_set_*")):
        inputs, outputs = (
            [
                read_tensor(folder / f"{kind}_{index}.pb", infos[index])
                for index in range(len(list(folder.glob(f"{kind}_*.pb"))))
            ]
            for kind, infos in (("input", model.graph.input), ("output", model.graph.output))
        )
        sets.append((inputs, outputs))
    return sets


def _array(item: Any) -> Any:
    return numpy_helper.to_array(item) if isinstance(item, onnx.TensorProto) else np.asarray(item)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    chosen = []
    excluded = metafunc.config.pluginmanager.get_plugin("onnx-coverage").excluded
    excluded.clear()
    for case in load_cases():
        reason = reason_to_exclude(case)
        if reason is None:
            chosen.append(pytest.param(case, id=f"{case.kind}-{case.name}"))
        else:
            excluded[reason] += 1
    metafunc.parametrize("case", chosen)


def test_onnx_suite(case: Any) -> None:
    sets = data_sets(case)
    assert sets
    rep = backend.prepare(model_of(case))
    for inputs, expected in sets:
        outputs = rep.run(inputs)
        halves = any(array.dtype == np.float16 for array in expected)
        # Two f16 ulps, as Runner has for bf16.
        rtol = max(case.rtol, 2**-9) if halves else case.rtol
        Runner.assert_similar_outputs(expected, outputs, rtol=rtol, atol=case.atol)

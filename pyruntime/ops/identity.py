"""Identity: y is x."""

from __future__ import annotations

from pyruntime.ops._examples import example, example_ints
from pyruntime.ops._inputs import required
from pyruntime.ops._operator import Case, Operator
from pyruntime.ops._pointwise import infer_same, read_plain
from pyruntime.ops.reshape import lower_alias

IDENTITY = Operator(
    name="Identity",
    from_onnx={1: read_plain},
    infer=infer_same,
    reference=lambda attributes, inputs, outputs: [required(inputs, 0)],
    lower=lower_alias,
    shape_arithmetic=True,
    cases=(
        Case("f32", None, (example(3, 5),)),
        Case("s8", None, (example_ints(7),)),
        Case("empty", None, (example(0, 5),)),
    ),
)
OPERATORS: tuple[Operator, ...] = (IDENTITY,)

"""A camera's preprocessing folded into the model computes what numpy in front of it would."""

from typing import Any

import numpy as np
import pytest

from pyruntime.errors import ArgumentError
from pyruntime.graph.dims import symbol
from pyruntime.graph.graph import Graph, Value
from pyruntime.graph.types import DType
from pyruntime.ops.unary import NEG
from pyruntime.plan.compile import compile as compile_graph
from pyruntime.plan.inputs import fold_input
from pyruntime.preprocess import Preprocess
from pyruntime.session import Session

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def graph_of(dims: tuple[Any, ...] = (symbol("N"), 3, 5, 4), **annotations: Any) -> Graph:
    """y = -x."""
    graph = Graph(inputs=[Value("x", DType.F32, dims)], annotations=annotations)
    graph.outputs = graph.append(NEG, None, graph.inputs, ["y"]).outputs
    graph.output_names = ["y"]
    return graph


def run(graph: Graph, x: Any, **options: Any) -> Any:
    data = compile_graph(graph, optimize=False, **options)
    assert data is not None
    return Session(data).run({"x": x})["y"]


def test_pixels_channels_last() -> None:
    got = run(graph_of(), PIXELS, input_layout="NHWC", input_dtype="u8", mean=MEAN, std=STD)
    want = -((PIXELS / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_layout_alone_changes_no_value() -> None:
    x = PIXELS.astype(np.float32)
    got = run(graph_of(), x, input_layout="NHWC")
    np.testing.assert_array_equal(got, -x.transpose(0, 3, 1, 2))


def test_pixels_alone_become_0_to_1() -> None:
    got = run(graph_of(), PIXELS.transpose(0, 3, 1, 2).copy(), input_dtype="u8")
    np.testing.assert_allclose(got, -(PIXELS.transpose(0, 3, 1, 2) / 255), rtol=1e-6)


def test_the_record_gives_mean_and_std_and_is_rewritten() -> None:
    record = Preprocess(mean=MEAN, std=STD, maximum=255.0)
    graph = graph_of(preprocess=record.annotation())
    want = -((PIXELS.astype(np.float64) - MEAN) / STD).transpose(0, 3, 1, 2)
    got = run(graph, PIXELS, input_layout="NHWC", input_dtype="u8")
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-3)
    folded = fold_input(graph, layout="NHWC", dtype="u8")
    rewritten = Preprocess.from_annotation(folded.annotations["preprocess"])
    assert (rewritten.mean, rewritten.std, rewritten.dtype) == ((), (), "u8")
    # Both models see the same picture.
    direct = run(graph, record.image(PIXELS[0]))
    np.testing.assert_allclose(
        run(folded, rewritten.image(PIXELS[0])), direct, rtol=1e-5, atol=1e-3
    )
    assert graph.inputs[0].dtype is DType.F32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "CHWN"}, "give NCHW or NHWC"),
        ({"dtype": "f16"}, "f32 or u8"),
        ({"mean": (1.0, 2.0)}, "have 2 elements, input 'x' has 3 channels"),
        ({"dtype": "u8", "std": (0.0,)}, "above 0"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        fold_input(graph_of(), **options)


def test_models_without_one_image_input_are_refused() -> None:
    with pytest.raises(ArgumentError, match="exactly one f32 input of rank 4, the model has 0"):
        fold_input(graph_of((1, 3)), layout="NHWC")

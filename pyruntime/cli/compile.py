"""`pyruntime compile`: ONNX -> .pyrt, nothing reduced."""

from __future__ import annotations

import argparse

from pyruntime.cli import _arguments as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags."""
    shared.add_model(parser, "an ONNX file")
    shared.add_dims(parser)
    shared.add_output(parser, "the .pyrt file to write")
    parser.add_argument(
        "--bit-exact",
        action="store_true",
        help="refuse a model whose outputs could differ between CPUs",
    )
    shared.add_json(parser)
    shared.add_preprocess(parser)
    parser.epilog = "example:\n  pyruntime compile model.onnx -o model.pyrt --size 224 224"


def run(arguments: argparse.Namespace) -> int:
    """Compiles."""
    from pyruntime.plan.compile import compile as compile_graph

    shared.check_output(arguments.output, arguments.force)
    graph = shared.read_graph(arguments.model, arguments.dim)
    shared.add_annotation(graph, shared.preprocess_from(arguments, graph))
    compile_graph(graph, arguments.output, bit_exact=arguments.bit_exact)
    before, after = arguments.model.stat().st_size, arguments.output.stat().st_size
    if arguments.json:
        result = {"output": str(arguments.output), "bytes": after, "bytes_before": before}
        shared.print_json(result)
    else:
        shared.say(f"{arguments.output}: {after:,} bytes ({arguments.model.name}: {before:,})")
    return 0

"""Pruning, factorisation and recipes on hand-built graphs: weights, records, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from pyruntime.compression.factorize import factorize, rank_for_energy
from pyruntime.compression.prune import magnitude_mask, prune
from pyruntime.compression.recipe import compress, parse_recipe
from pyruntime.errors import ArgumentError
from tests.compression.networks import network, operators, samples, signal_to_noise, weights


def test_magnitude_mask_cuts_exactly_so_many_even_with_ties() -> None:
    tied = np.ones((4, 5), np.float32)
    assert magnitude_mask(tied, 0.35).sum() == 13
    w = np.array([3.0, -1.0, 2.0, 0.5], np.float32)
    np.testing.assert_array_equal(magnitude_mask(w, 0.5), [True, False, True, False])


def test_prune_by_layer_by_threshold_and_by_mean() -> None:
    graph = network()
    pruned, record = prune(graph, sparsity=0.9)
    for row in record.layers:
        w = weights(pruned, row.layer)
        assert abs(row.sparsity - 0.9) < 0.5 / w.size + 1e-9
        assert row.bytes_after < row.bytes_before
    assert np.count_nonzero(weights(graph, "first")) == weights(graph, "first").size
    thresholded, _ = prune(graph, threshold=0.25)
    w, before = weights(thresholded, "second"), weights(graph, "second")
    np.testing.assert_array_equal(w, np.where(np.abs(before) > 0.25, before, 0))
    by_mean, _ = prune(graph, mean_ratio=0.2, exclude=["first"])
    w, before = weights(by_mean, "last"), weights(graph, "last")
    np.testing.assert_array_equal(w == 0, np.abs(before) <= 0.2 * np.abs(before).mean())
    np.testing.assert_array_equal(weights(by_mean, "first"), weights(graph, "first"))


def test_global_pruning_uses_one_threshold() -> None:
    graph = network()
    pruned, record = prune(graph, sparsity=0.5, scope="global")
    kept, cut = [], []
    for row in record.layers:
        before, zero = np.abs(weights(graph, row.layer)), weights(pruned, row.layer) == 0
        kept.append(before[~zero])
        cut.append(before[zero])
    assert np.concatenate(cut).max() <= np.concatenate(kept).min()
    assert abs(np.concatenate(cut).size - np.concatenate(kept).size) <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one"),
        ({"sparsity": 0.5, "threshold": 0.1}, "exactly one"),
        ({"sparsity": 1.0}, r"\[0, 1\)"),
        ({"threshold": -1.0}, ">= 0"),
        ({"sparsity": {"nobody": 0.5}}, "nobody"),
        ({"sparsity": 0.5, "exclude": ["nobody"]}, "nobody"),
        ({"sparsity": 0.5, "scope": "row"}, "row"),
    ],
)
def test_prune_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        prune(network(), **arguments)


def test_low_rank_layer_is_exact_and_full_rank_one_kept_dense() -> None:
    graph = network()
    w = next(node for node in graph.nodes if node.name == "second").inputs[1]
    assert w is not None
    assert w.constant is not None
    left = np.random.default_rng(0).normal(size=(16, 2))
    right = np.random.default_rng(1).normal(size=(2, 72))
    w.constant = (left @ right).reshape(w.constant.shape).astype(np.float32) * np.float32(0.1)
    factored, record = factorize(graph, rank={"second": 2})
    (row,) = record.layers
    assert (row.method, row.rank, row.bytes_after) == ("svd", 2, 4 * 2 * (16 + 72))
    assert row.error < 1e-6
    assert operators(factored).count("Conv") == 3
    assert signal_to_noise(graph, factored, samples()) > 80
    kept, record = factorize(graph, rank=16)
    dense = [row for row in record.layers if row.layer != "last"]
    assert all(row.method == "kept" and "products" in row.note for row in dense)
    assert operators(kept).count("Conv") == 2


def test_matmul_pair_at_full_rank_is_the_matrix() -> None:
    graph = network()
    factored, record = factorize(graph, rank={"last": 8})
    assert record.layers[0].method == "svd"
    w, v = weights(factored, "last.right"), weights(factored, "last")
    u, s, vt = np.linalg.svd(weights(graph, "last").astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(w @ v, (u[:, :8] * s[:8]) @ vt[:8], atol=1e-5)


def test_rank_for_energy() -> None:
    singular = np.array([3.0, 2.0, 1.0, 0.0])
    assert rank_for_energy(singular, 9 / 14) == 1
    assert rank_for_energy(singular, 0.93) == 3
    assert rank_for_energy(singular, 1.0) == 3
    assert rank_for_energy(np.zeros(3), 0.9) == 1


def test_recipes() -> None:
    steps = [{"method": "prune", "sparsity": 0.9}, {"method": "int8"}]
    assert parse_recipe("prune:0.9+int8") == steps
    _, record = compress(network(), "prune:0.5+svd:0.5+int8", calibration=samples())
    assert {row.method for row in record.layers} >= {"prune", "int8"}
    dense = sum(weights(network(), name).nbytes for name in ("first", "second", "last"))
    assert record.bytes_before == dense, "the halves of a pair count once"
    assert "ratio" in record.table()
    assert max(len(line) for line in record.table().splitlines()) <= 100
    for text, message in (
        ("shrink", "unknown method"),
        ("prune", "needs a number"),
        ("prune:x", "no number"),
        ("int8:4", "takes no number"),
    ):
        with pytest.raises(ArgumentError, match=message):
            parse_recipe(text)
    with pytest.raises(ArgumentError, match="wrong"):
        compress(network(), [{"method": "prune", "wrong": 1}])

"""Pruning by magnitude: small weights become exact zeros, which kernels and file leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyruntime.compression._layers import Layer, layers, stored_bytes, zero_share
from pyruntime.compression.record import LayerRecord, Record, relative_error
from pyruntime.errors import ArgumentError
from pyruntime.graph import Graph

Mask = NDArray[np.bool_]


def threshold_mask(weights: NDArray[Any], threshold: float) -> Mask:
    """True where |w| > threshold."""
    mask: Mask = np.abs(weights) > threshold
    return mask


def magnitude_mask(weights: NDArray[Any], sparsity: float) -> Mask:
    """True for all but the `sparsity` share of smallest |w|; ties are cut in order of position.

    Exactly round(sparsity * size) weights are cut.
    """
    cut = round(sparsity * weights.size)
    mask = np.ones(weights.size, dtype=bool)
    if cut:
        order = np.argsort(np.abs(weights).ravel(), kind="stable")
        mask[order[:cut]] = False
    return mask.reshape(weights.shape)


def prune(
    graph: Graph,
    *,
    sparsity: float | Mapping[str, float] | None = None,
    threshold: float | None = None,
    mean_ratio: float | None = None,
    scope: Literal["layer", "global"] = "layer",
    exclude: Sequence[str] = (),
) -> tuple[Graph, Record]:
    """Sets the smallest weights to zero. Give exactly one of `sparsity`, `threshold`, `mean_ratio`.

    Args:
        graph: left as it is; the result is a copy.
        sparsity: share of zeros wanted, in [0, 1): for every layer, by layer name, or over all
            layers (`scope="global"`, where one threshold serves all and sensitive layers keep
            more).
        threshold: cut |w| <= threshold.
        mean_ratio: cut |w| <= mean_ratio * mean |w| of the layer.
        scope: "layer" or "global", for a single `sparsity`.
        exclude: names of layers to leave alone.

    Returns:
        The pruned graph and a record with one row per layer.

    Raises:
        ArgumentError: contradictory or impossible arguments.
    """
    if sum(option is not None for option in (sparsity, threshold, mean_ratio)) != 1:
        raise ArgumentError("prune: give exactly one of sparsity, threshold or mean_ratio")
    pruned = graph.copy()
    chosen = list(layers(pruned, exclude=exclude))
    masks = _masks(chosen, sparsity, threshold, mean_ratio, scope)
    rows = []
    for layer in chosen:
        mask = masks.get(layer.name)
        if mask is None:
            continue
        before = layer.weights
        value = layer.set_weights(pruned, np.where(mask, before, np.float32(0)))
        after = value.constant
        assert after is not None
        rows.append(
            LayerRecord(
                layer.name,
                layer.node.operator.name,
                "prune",
                bytes_before=before.nbytes,
                bytes_after=stored_bytes(after),
                error=relative_error(after, before),
                sparsity=zero_share(after),
            )
        )
    return pruned, Record(tuple(rows))


def _masks(
    chosen: Sequence[Layer],
    sparsity: float | Mapping[str, float] | None,
    threshold: float | None,
    mean_ratio: float | None,
    scope: str,
) -> dict[str, Mask]:
    if threshold is not None:
        _check(threshold >= 0, f"threshold must be >= 0, got {threshold}")
        return {layer.name: threshold_mask(layer.weights, threshold) for layer in chosen}
    if mean_ratio is not None:
        _check(mean_ratio >= 0, f"mean_ratio must be >= 0, got {mean_ratio}")
        return {
            layer.name: threshold_mask(
                layer.weights, mean_ratio * float(np.mean(np.abs(layer.weights), dtype=np.float64))
            )
            for layer in chosen
        }
    if isinstance(sparsity, Mapping):
        unknown = set(sparsity) - {layer.name for layer in chosen}
        _check(not unknown, f"no layers called {sorted(unknown)}")
        for share in sparsity.values():
            _check(0 <= share < 1, f"sparsity must be in [0, 1), got {share}")
        return {
            layer.name: magnitude_mask(layer.weights, sparsity[layer.name])
            for layer in chosen
            if layer.name in sparsity
        }
    assert sparsity is not None
    _check(0 <= sparsity < 1, f"sparsity must be in [0, 1), got {sparsity}")
    _check(scope in ("layer", "global"), f"scope must be 'layer' or 'global', got '{scope}'")
    if scope == "layer":
        return {layer.name: magnitude_mask(layer.weights, sparsity) for layer in chosen}
    if not chosen:
        return {}
    flat = np.concatenate([layer.weights.ravel() for layer in chosen])
    mask = magnitude_mask(flat, sparsity)
    masks = {}
    start = 0
    for layer in chosen:
        size = layer.weights.size
        masks[layer.name] = mask[start : start + size].reshape(layer.weights.shape)
        start += size
    return masks


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ArgumentError(f"prune: {message}")

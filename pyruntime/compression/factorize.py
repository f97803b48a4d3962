"""Low-rank factorisation: one large layer becomes two thin ones, by truncated SVD.

That is the best approximation of its rank in the Frobenius norm (Eckart-Young).

MatMul  W [K, N]         -> [K, r] then [r, N]
Conv    W [O, C, kh, kw] -> r filters of the same geometry, then a 1x1 convolution to O
                            (Zhang et al. 2016)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pyruntime.compression._layers import Layer, layers, stored_bytes
from pyruntime.compression.record import PAIR_SUFFIX, LayerRecord, Record, relative_error
from pyruntime.errors import ArgumentError
from pyruntime.graph import Graph, Node
from pyruntime.ops.conv import CONV, ConvAttributes
from pyruntime.ops.gemm import GEMM

# Two kernels cost more than one of the same work: below this share of the multiplications the pair
# is faster.
MAX_COST_SHARE = 0.85


@dataclasses.dataclass(frozen=True, slots=True)
class _Factors:
    left: NDArray[np.float64]  # [N, r], N output channels
    right: NDArray[np.float64]  # [r, K]
    rank: int
    kept_energy: float


def rank_for_energy(singular: NDArray[np.float64], energy: float) -> int:
    """The smallest rank whose singular values hold `energy` of the sum of squares."""
    total = np.cumsum(singular**2)
    if total.size == 0 or total[-1] == 0:
        return 1
    return int(np.searchsorted(total, energy * total[-1])) + 1


def factorize(
    graph: Graph,
    *,
    rank: int | Mapping[str, int] | None = None,
    energy: float | None = None,
    ratio: float | None = None,
    exclude: Sequence[str] = (),
) -> tuple[Graph, Record]:
    """Replaces layers by low-rank pairs where that needs fewer multiplications.

    Args:
        graph: left as it is; the result is a copy.
        rank: one rank for all layers, or by layer name (layers not named are left alone).
        energy: keep this share of the squared singular values, in (0, 1].
        ratio: use the rank at which the pair has this share of the layer's weights, in (0, 1).
        exclude: names of layers to leave alone.

    Returns:
        The graph and a record; a layer whose pair would not be faster is kept, and its row says so.

    Raises:
        ArgumentError: not exactly one of rank, energy, ratio, or a value out of range.
    """
    if sum(option is not None for option in (rank, energy, ratio)) != 1:
        raise ArgumentError("factorize: give exactly one of rank, energy or ratio")
    if energy is not None and not 0 < energy <= 1:
        raise ArgumentError(f"factorize: energy must be in (0, 1], got {energy}")
    if ratio is not None and not 0 < ratio < 1:
        raise ArgumentError(f"factorize: ratio must be in (0, 1), got {ratio}")
    factored = graph.copy()
    chosen = list(layers(factored, exclude=exclude))
    if isinstance(rank, Mapping):
        unknown = set(rank) - {layer.name for layer in chosen}
        if unknown:
            raise ArgumentError(f"factorize: no layers called {sorted(unknown)}")
    rows = []
    for layer in chosen:
        if isinstance(rank, Mapping) and layer.name not in rank:
            continue
        wanted = rank[layer.name] if isinstance(rank, Mapping) else rank
        rows.append(_factorize_layer(factored, layer, wanted, energy, ratio))
    return factored, Record(tuple(rows))


def _matrix(layer: Layer) -> NDArray[np.float64]:
    """The weights as [N, K], N output channels."""
    weights = layer.weights.astype(np.float64)
    if layer.node.operator is CONV:
        return weights.reshape(weights.shape[0], -1)
    return weights if layer.output_axis == 0 else weights.T


def _kept(layer: Layer, reason: str) -> LayerRecord:
    size = stored_bytes(layer.weights)
    return LayerRecord(
        layer.name, layer.node.operator.name, "kept", layer.weights.nbytes, size, 0.0, note=reason
    )


def _factorize_layer(
    graph: Graph, layer: Layer, rank: int | None, energy: float | None, ratio: float | None
) -> LayerRecord:
    if layer.node.operator is CONV and layer.node.attributes.group != 1:
        return _kept(layer, "grouped convolutions have no low-rank pair")
    if layer.node.operator is GEMM:
        return _kept(layer, "alpha or beta is not 1")
    matrix = _matrix(layer)
    n, k = matrix.shape
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    if energy is not None:
        rank = rank_for_energy(singular, energy)
    elif ratio is not None:
        rank = max(1, int(ratio * n * k / (n + k)))
    assert rank is not None
    if rank < 1:
        raise ArgumentError(f"factorize: rank must be >= 1, got {rank} for layer '{layer.name}'")
    if rank * (n + k) >= MAX_COST_SHARE * n * k:
        return _kept(
            layer,
            f"rank {rank} of {n}x{k} needs {rank * (n + k) / (n * k):.0%} of the products; "
            f"pairs pay below {MAX_COST_SHARE:.0%}",
        )
    root = np.sqrt(singular[:rank])
    factors = _Factors(
        left[:, :rank] * root,
        root[:, None] * right[:rank],
        rank,
        float(np.sum(singular[:rank] ** 2) / max(float(np.sum(singular**2)), 1e-300)),
    )
    before = layer.weights
    first, second = _split(graph, layer, factors)
    return LayerRecord(
        layer.name,
        layer.node.operator.name,
        "svd",
        bytes_before=before.nbytes,
        bytes_after=first.nbytes + second.nbytes,
        error=relative_error(factors.left @ factors.right, matrix),
        rank=rank,
        note=f"keeps {factors.kept_energy:.1%} of the energy",
    )


def _split(
    graph: Graph, layer: Layer, factors: _Factors
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Puts a node with the right factor in front of the layer, which keeps its epilogue."""
    node = layer.node
    if node.operator is CONV:
        shape = layer.weights.shape
        first = factors.right.reshape(factors.rank, *shape[1:])
        second = factors.left.reshape(shape[0], factors.rank, *(1 for _ in shape[2:]))
        rest = ConvAttributes(lo=node.attributes.lo, hi=node.attributes.hi)
    else:
        transposed = layer.output_axis == 0
        first = factors.right if transposed else factors.right.T
        second = factors.left if transposed else factors.left.T
        rest = dataclasses.replace(node.attributes, trans_a=False)
    plain = dataclasses.replace(node.attributes, lo=-np.inf, hi=np.inf)
    front = _front(graph, node, plain, first)
    layer.set_weights(graph, second)
    node.attributes = rest
    node.inputs[0] = front.outputs[0]
    graph.nodes.insert(graph.nodes.index(node), front)
    return first.astype(np.float32), second.astype(np.float32)


def _front(graph: Graph, node: Node, attributes: object, weights: NDArray[np.float64]) -> Node:
    value = graph.constant(
        np.ascontiguousarray(weights, dtype=np.float32), f"{node.name}{PAIR_SUFFIX}"
    )
    return graph.make(
        node.operator,
        attributes,
        [node.inputs[0], value],
        [f"{node.name}.low_rank"],
        f"{node.name}{PAIR_SUFFIX}",
    )

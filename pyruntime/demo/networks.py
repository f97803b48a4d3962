"""The packaged networks and images: xz of `.pyrt` files and of arrays.

The package has to stay small. So float weights are rounded to 11 significant bits (as in fp16, in
fp32 files) before they are stored, which xz can use and accuracy does not feel; and the dense fp32
network is not stored at all but multiplied out of its low-rank factors: it was trained to have
rank 16 (to within 1e-5 of its energy), so this gives the same network.
"""

from __future__ import annotations

import io
import lzma
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyruntime.errors import FormatError
from pyruntime.plan.container import Tensor, pack, unpack

DATA = Path(__file__).parent / "data"
FLOAT32 = "mnist-fp32"
LOW_RANK = "mnist-lowrank"
RANK = 16
FACTORED = ("conv2", "conv3", "conv4", "conv5")


@dataclass(frozen=True, slots=True)
class Network:
    """A packaged network.

    Attributes:
        name: of its file.
        label: what the tables call it.
        note: what was done to it, in a sentence.
    """

    name: str
    label: str
    note: str


MNIST = (
    Network(FLOAT32, "fp32", "as trained, nothing reduced"),
    Network("mnist-int8", "int8", "8-bit weights and activations, calibrated on 200 images"),
    Network(
        "mnist-zeros", "90 % zeros", "pruned by magnitude while training went on; scattered zeros"
    ),
    Network(
        LOW_RANK,
        f"low rank {RANK}",
        f"conv2 to conv5 as pairs of rank {RANK}; costs nothing because training pushed the "
        "spectra down to that rank",
    ),
    Network("mnist-zeros-int8", "90 % zeros + int8", "both"),
)
DIGITS = (
    Network("digits-fp32", "fp32", "as trained"),
    Network("digits-int8", "int8", "8-bit weights and activations, calibrated on 60 other images"),
)


@dataclass(frozen=True, slots=True)
class Images:
    """Held-out samples.

    Attributes:
        inputs: f32, what the network takes, first axis = samples.
        labels: class numbers.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.uint8]


def load_network(name: str) -> bytes:
    """The `.pyrt` file of a packaged network."""
    data = _unpacked(f"{name}.pyrt.xz")
    return multiply_out(data, _unpacked(f"{LOW_RANK}.pyrt.xz")) if name == FLOAT32 else data


def load_images(name: str) -> Images:
    """The held-out images "mnist" (1,000 of 28x28) or "digits" (300 of 8x8)."""
    with np.load(io.BytesIO(_unpacked(f"{name}.npz.xz")), allow_pickle=False) as file:
        images, labels, white = file["images"], file["labels"], int(file["white"])
    inputs = images.astype(np.float32) / np.float32(white)
    return Images(inputs[:, None] if inputs.ndim == 3 else inputs, labels)


def multiply_out(dense: bytes, factored: bytes) -> bytes:
    """The dense file with the weights of the factored layers filled in.

    Args:
        dense: a `.pyrt` file whose weights of `FACTORED` [O, C, 3, 3] have any value.
        factored: one with `NAME.right` [r, C, 3, 3] and `NAME.weight...` [O, r, 1, 1] instead.
    """
    tensors, metadata = unpack(dense)
    factors, _ = unpack(factored)
    for layer in FACTORED:
        target = _named(tensors, f"{layer}.weight")
        right = _named(factors, f"{layer}.right").array().astype(np.float64)
        left = _named(factors, f"{layer}.weight").array().astype(np.float64)
        product = left.reshape(left.shape[0], -1) @ right.reshape(right.shape[0], -1)
        weights = product.reshape(target.shape).astype(np.float32)
        tensors[target.name] = Tensor.of(target.name, weights)
    return join(tensors, metadata)


def without_factored(dense: bytes) -> bytes:
    """The dense file with zeros where `multiply_out` will put weights: xz makes nothing of them."""
    tensors, metadata = unpack(dense)
    for layer in FACTORED:
        target = _named(tensors, f"{layer}.weight")
        tensors[target.name] = replace(target, data=np.zeros_like(target.data))
    return join(tensors, metadata)


def join(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A `.pyrt` file of tensors, which `unpack` gave."""
    kept = [tensor for name, tensor in tensors.items() if not name.startswith("pyrt.pad.")]
    return b"".join(bytes(chunk) for chunk in pack(kept, metadata))


def _named(tensors: dict[str, Tensor], prefix: str) -> Tensor:
    for name, tensor in tensors.items():
        if name == prefix or name.startswith(prefix + "."):
            return tensor
    raise FormatError(f"the demo's network has no tensor {prefix}; run: pyruntime demo --rebuild")


def _unpacked(name: str) -> bytes:
    path = DATA / name
    try:
        return lzma.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise FormatError(
            f"{path} is missing; reinstall pyruntime, or in a clone run: pyruntime demo --rebuild"
        ) from error
    except lzma.LZMAError as error:
        raise FormatError(f"{path} is damaged ({error}); reinstall pyruntime") from error


def packed(data: bytes, *, elements: int) -> bytes:
    """What `load_network` and `load_images` read: xz for elements of so many bytes."""
    filters: list[dict[str, Any]] = [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 9 | lzma.PRESET_EXTREME,
            "lc": 0 if elements == 4 else 3,
            "lp": 2 if elements == 4 else 0,
            "pb": 2 if elements == 4 else 0,
        }
    ]
    return lzma.compress(data, format=lzma.FORMAT_XZ, filters=filters)

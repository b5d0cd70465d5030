"""Images made again from the sparse codes of a network without shortcuts, layer by layer, exactly as far as codes go.

Backwards, a sparse coding layer is its synthesis A z, the transposed convolution of the code with the atoms, and
BatchNorm is x = (y - b) / w * sqrt(var + eps) + mean. Nothing is optimised, and nothing of the input is used but the
sizes of its layers. The original (github.com/Delay-Xili/SDNet, sdnet_inverse.py) leaves eps out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..zoo.nets.control import check_chooses_none, check_evaluated, has_lambda
from ..zoo.nets.csc import SparseCoding
from ..zoo.nets.resnet import BasicBlock, SparseConvolution
from .way import check_depth, invert_features, network, stages

METHODS = ("inverse", "gradient")


@dataclass(frozen=True, eq=False)
class Inversion:
    """A depth of a network on a batch: the code (n, d, h', w') there, and the images (n, c, h, w) made of it."""

    depth: int
    code: Tensor
    images: Tensor


def reconstruct(model: nn.Module, images: Tensor, depth: int = 0, *, method: str = "inverse") -> Tensor:
    """Reconstruct images from what a network still holds of them at a depth.

    Args:
        model: in evaluation mode; `use_lambda` around the call decides lambda.
        images: (n, c, h, w) in [0, 1].
        depth: 0 is after the stem, k after block k: up to 8 for 18 layers, 9 for 20.
        method: "inverse" goes back through dictionaries and BatchNorm; it needs sparse coding layers and, beyond
            the stem, a network built with shortcut=False. "gradient" looks for images with the same features, in
            any classifier.

    Returns:
        (n, c, h, w) in [0, 1] pixel units, not clipped.

    Raises:
        InputError: no such depth or method, training mode, a network that cannot be inverted there, or a
            `lambdas.WithPolicy` by "inverse".
    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got '{method}'.")
    if method == "gradient":
        return invert_features(model, images, depth)
    return next(inversions(model, images, (depth,))).images


def codes(model: nn.Module, images: Tensor, depth: int = 0) -> Tensor:
    """The sparse code (n, d, h', w') of the last sparse coding layer at a depth, before its BatchNorm.

    Raises:
        InputError: as for `reconstruct`.
    """
    return next(inversions(model, images, (depth,))).code


def dictionary(model: nn.Module, depth: int = 0) -> Tensor:
    """The atoms (d, c, kernel, kernel) of unit norm of the last sparse coding layer at a depth; else an InputError."""
    layers = [
        layer for layer in _layers(model, depth, shortcuts=True) if isinstance(layer, SparseConvolution)
    ]
    return layers[-1].dn.atoms().detach()


def invertible(model: nn.Module) -> tuple[int, ...]:
    """The depths that `reconstruct` can go back from: all, the stem's alone, or none."""
    net = network(model)
    if net is None or not _is_sparse(net.layer0):
        return ()
    blocks = [part for part in net.modules() if isinstance(part, BasicBlock)]
    return (0,) if any(map(_stops, blocks)) else tuple(range(len(blocks) + 1))


def check_invertible(model: nn.Module, depth: int) -> None:
    """Refuse a depth that `reconstruct` cannot go back from with an InputError."""
    _layers(model, depth)


@torch.no_grad()
def inversions(model: nn.Module, images: Tensor, depths: Sequence[int]) -> Iterator[Inversion]:
    """The inversion at each of some depths, in order, after one pass; errors are those of `reconstruct`."""
    check_evaluated(model)
    check_chooses_none(model)
    wanted = [len(_layers(model, depth)) for depth in depths]
    layers, net = _layers(model, max(depths)), network(model)
    assert net is not None  # narrows the type: it has such layers
    x = net.normalise(images)
    steps = []  # each layer, its input and, of one that codes, its code
    for layer in layers:
        code = layer.dn(x) if isinstance(layer, SparseConvolution) else x
        steps.append((layer, x, code))
        x = layer.pooled(code) if isinstance(layer, SparseConvolution) else layer(x)
    for depth, length in zip(depths, wanted, strict=True):
        x = code = steps[length - 1][2]
        for layer, given, coded in reversed(steps[:length]):
            x = _synthesis(layer, x, coded, given) if isinstance(layer, SparseConvolution) else undo(layer, x)
        yield Inversion(depth, code, x * net.normalise.std + net.normalise.mean)


def undo(layer: nn.BatchNorm2d, y: Tensor) -> Tensor:
    """The input of a BatchNorm layer in evaluation mode; the mean where its weight is 0 and nothing came through."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = torch.sqrt(layer.running_var + layer.eps) / layer.weight
    scale = torch.where(layer.weight == 0, torch.zeros_like(scale), scale)
    bias, scale, mean = (part[:, None, None] for part in (layer.bias, scale, layer.running_mean))
    return (y - bias) * scale + mean


def _synthesis(layer: SparseConvolution, x: Tensor, code: Tensor, given: Tensor) -> Tensor:
    """The input that what left the layer, `x`, stands for; where it was pooled it is enlarged first to the size of the
    code, as the original does. The input that was given serves for its size alone."""
    dn: SparseCoding = layer.dn
    if x.shape != code.shape:
        x = F.interpolate(x, size=code.shape[2:], mode="bilinear", align_corners=False)
    made = dn.operator.synthesise(x, dn.atoms(), given)
    return torch.stack(made.chunk(dn.coding.n_dict, 1)).mean(0) if dn.coding.n_dict > 1 else made


def _layers(
    model: nn.Module, depth: int, *, shortcuts: bool = False
) -> list[SparseConvolution | nn.BatchNorm2d]:
    """The layers up to the code at a depth, in order; `shortcuts` allows what goes around them."""
    net = network(model)
    if net is None or not _is_sparse(net.layer0):
        if has_lambda(model):
            raise InputError(
                "This model has sparse coding layers, but is no sdnet that was built here, so its depths are unknown. "
                "Call a layer for its codes, layer.atoms() for its dictionary, or reconstruct with method='gradient'."
            )
        raise InputError(
            "This model has no sparse coding stem, so it has no codes. Take an sdnet, or reconstruct with "
            "method='gradient'."
        )
    check_depth(depth, len(stages(net)))
    blocks = [part for part in net.modules() if isinstance(part, BasicBlock)][:depth]
    if blocks and blocks[0].rectify:
        raise InputError(
            f"{net.arch} has sparse coding only in its stem, followed by blocks with shortcuts: take depth 0, "
            "an _all network built with shortcut=False, or method='gradient'."
        )
    if not shortcuts and any(map(_stops, blocks)):
        raise InputError(
            f"This {net.arch} has shortcuts, so that only its stem can be inverted: take depth 0, a network built with "
            "shortcut=False, or method='gradient'."
        )
    parts = [*net.layer0, *(part for b in blocks for part in (b.conv1, b.bn1, b.conv2, b.bn2))]
    kept = [part for part in parts if isinstance(part, SparseConvolution | nn.BatchNorm2d)]
    # A code stands before its BatchNorm, which the last layer of a sparse ImageNet stem does not have.
    return kept if isinstance(kept[-1], SparseConvolution) else kept[:-1]


def _is_sparse(stem: nn.Module) -> bool:
    return any(isinstance(part, SparseConvolution) for part in stem.modules())


def _stops(block: BasicBlock) -> bool:
    """Whether a block adds what went around it, which no code holds."""
    return block.shortcut is not None or block.rectify

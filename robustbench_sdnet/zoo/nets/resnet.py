"""Residual networks of 3x3 basic blocks (He et al. 2016, arXiv:1512.03385), plain or sparse throughout.

Submodules carry the names of the released SDNet checkpoints, so that importing one is a plain mapping.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError
from .architectures import Coding
from .csc import SparseCoding, csc2d
from .inputs import check_floats


class Normalise(nn.Module):
    """(images - mean) / std a channel, or alike: the first layer of every model, so that eps is in pixel units."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) in [0, 1] to zero mean and unit variance; InputError for bytes, or for other channels."""
        check_floats(images)
        if images.dim() != 4 or len(self.mean) not in (1, images.shape[-3]):
            shape = tuple(images.shape)
            raise InputError(
                f"images must be (n, {len(self.mean)}, h, w), as the model's mean is, got {shape}."
            )
        return (images - self.mean) / self.std


class SparseConvolution(nn.Module):
    """A sparse coding layer in place of a convolution, with its stride optionally replaced by max-pooling."""

    def __init__(self, dn: SparseCoding, pool: int = 1) -> None:
        super().__init__()
        self.dn = dn
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, d, h/stride, w/stride), rounded up as strides do."""
        return self.pooled(self.dn(x))

    def pooled(self, code: Tensor) -> Tensor:
        """What leaves the layer of its code."""
        return F.max_pool2d(code, self.pool, ceil_mode=True) if self.pool > 1 else code


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, a ReLU between where they do not code, and a shortcut around them."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, size: int, coding: Coding | None, *, pooling: bool
    ) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, outputs, stride, size, coding, pooling)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = convolution(outputs, outputs, 1, -(-size // stride), coding, pooling)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.rectify = coding is None
        self.shortcut: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, d, h/stride, w/stride)."""
        y = self.bn1(self.conv1(x))
        y = self.bn2(self.conv2(F.relu(y, inplace=True) if self.rectify else y))
        return y if self.shortcut is None else F.relu(y + self.shortcut(x), inplace=True)


def subsampled(x: Tensor, stride: int) -> Tensor:
    """Every `stride`-th pixel (n, c, h/stride, w/stride).

    Where a gradient is asked it is a mean over one pixel: that of a slice would leave channels-last, and the
    rectification before it would read two layouts at once.
    """
    return F.avg_pool2d(x, 1, stride) if x.requires_grad else x[:, :, ::stride, ::stride]


class Subsample(nn.Module):
    """The parameter-free shortcut of He et al. 2016: every second pixel, new channels zero (option A)."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c + extra, h/stride, w/stride)."""
        x = subsampled(x, self.stride)
        return F.pad(x, (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))


class Projection(nn.Sequential):
    """The shortcut of He et al. 2016 that learns (option B): every second pixel, a 1x1 convolution, BatchNorm.

    The same function as a 1x1 convolution of that stride, whose weight gradient with fewer than eight channels
    in channels-last is wrong, or crashes, on processors without AVX-512 (oneDNN in torch 2.15).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, d, h/stride, w/stride)."""
        x = subsampled(x, self.stride)
        for part in self:
            x = part(x)
        return x


def convolution(
    inputs: int, outputs: int, stride: int, size: int, coding: Coding | None = None, pooling: bool = False
) -> nn.Module:
    """A 3x3 convolution without bias on images of a size, or the sparse coding layer that takes its place."""
    if coding is None:
        return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    layer = csc2d(inputs, outputs, size=(size, size), stride=1 if pooling else stride, coding=coding)
    return SparseConvolution(layer, pool=stride if pooling else 1)


def shortcut_module(inputs: int, outputs: int, stride: int, project: bool) -> nn.Module:
    """The shortcut of a block: identity where shapes agree, else a 1x1 convolution or subsampling."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return Projection(inputs, outputs, stride) if project else Subsample(outputs - inputs, stride)

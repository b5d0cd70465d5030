"""SDNet and its plain baselines (Dai et al. 2022, arXiv:2210.12945): one builder for every architecture."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...errors import InputError
from .architectures import architecture, coding_of, resolve_options
from .control import refresh_step_sizes
from .csc import csc2d
from .inputs import extremes, got_range, readable
from .resnet import BasicBlock, Normalise, SparseConvolution, convolution, shortcut_module


class Classifier(nn.Module):
    """Normalisation, stem, stages, global average and one linear layer.

    Attributes:
        arch: the architecture's name.
        options: what `build_model` needs to build it again, every default resolved.
        num_classes: the number of logits.
    """

    _looked_at = False  # whether the first images that it was evaluated on were

    def __init__(self, arch: str, options: dict[str, Any]) -> None:
        super().__init__()
        self.arch, self.options = arch, options
        self.num_classes: int = options["num_classes"]
        self.normalise = Normalise(options["mean"], options["std"])
        plan, width = architecture(arch), options["width"]
        self.layer0, size = _stem(plan.sparse, options)
        coding = coding_of(options) if plan.sparse == "all" else None
        channels = width
        for index, count in enumerate(plan.blocks):
            blocks = nn.Sequential()
            for position in range(count):
                stride, outputs = 2 if index and position == 0 else 1, width * 2**index
                block = BasicBlock(channels, outputs, stride, size, coding, pooling=options["pooling"])
                if options["shortcut"]:
                    block.shortcut = shortcut_module(channels, outputs, stride, plan.projects)
                blocks.append(block)
                channels, size = outputs, -(-size // stride)
            # Released checkpoints hold blocks that code under `layers`.
            stage = blocks if coding is None else nn.Sequential(OrderedDict(layers=blocks))
            self.add_module(f"layer{index + 1}", stage)
        self._stages = tuple(f"layer{index + 1}" for index in range(len(plan.blocks)))
        self.linear = nn.Linear(channels, self.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, 3, h, w) in [0, 1].

        Raises:
            InputError: bytes, other channels, or, of the first images in evaluation mode, values of 0 to 255.
        """
        x: Tensor = self.normalise(images)
        if not (self.training or self._looked_at):
            self._look_at(images)
        x = self.layer0(x)
        for stage in self._stages:
            x = getattr(self, stage)(x)
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits

    def _look_at(self, images: Tensor) -> None:
        """Refuse images of 0 to 255 where values can be read; once, for on a GPU every look waits.

        Noise may leave [0, 1] on purpose, on both sides.
        """
        if not readable(images):
            return
        low, high = extremes(images)
        if low >= 0 and high > 2:
            raise InputError(f"images must lie in [0, 1], {got_range(low, high)}")
        self._looked_at = True


def build_model(
    arch: str,
    *,
    num_classes: int = 10,
    shortcut: bool = True,
    input_size: int = 32,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    width: int | None = None,
    stem: str | None = None,
    pooling: bool = False,
    **coding: Any,
) -> Classifier:
    """Build a model with random weights, in training mode.

    Args:
        arch: a name of `ARCHITECTURES`.
        num_classes: number of logits.
        shortcut: keep the shortcuts; only the sparse `_all` networks can do without.
        input_size: side of the images in pixels.
        mean: per-channel mean the model subtracts; None: CIFAR-10's, or ImageNet's with an ImageNet stem.
        std: per-channel deviation the model divides by.
        width: channels of the first stage; None: the architecture's own (64; 16 for small ones).
        stem: "cifar" (3x3), "imagenet" (7x7 stride 2 and pooling) or None: by `input_size`.
        pooling: replace the stride of sparse blocks by max-pooling.
        coding: fields of `Coding`: lam, mu, n_steps, non_negative, gradient_at, square_noise, ...

    Raises:
        InputError: unknown architecture or option, or a value outside its range.
    """
    given = {
        "num_classes": num_classes,
        "shortcut": shortcut,
        "input_size": input_size,
        "mean": mean,
        "std": std,
        "width": width,
        "stem": stem,
        "pooling": pooling,
    }
    model = rebuild(arch, {**given, **coding})
    # Close to L is enough to start from: training forwards go on, and `refresh_step_sizes` ends it.
    refresh_step_sizes(model, max_steps=10)
    return model


def rebuild(arch: str, options: Mapping[str, Any]) -> Classifier:
    """Build a model whose weights and step sizes are about to be overwritten, from `model.options`."""
    return Classifier(arch, resolve_options(arch, dict(options)))


def _stem(sparse: str, options: dict[str, Any]) -> tuple[nn.Sequential, int]:
    """The stem and the side of its output."""
    width, size = options["width"], options["input_size"]
    large = options["stem"] == "imagenet"
    kernel, stride = (7, 2) if large else (3, 1)
    size_after = -(-size // stride)
    layers: list[nn.Module]
    coding = coding_of(options)
    if sparse == "none":
        plain = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
        layers = [plain, nn.BatchNorm2d(width), nn.ReLU()]
    else:
        layer = csc2d(3, width, size=(size, size), kernel=kernel, stride=stride, coding=coding)
        layers = [SparseConvolution(layer), nn.BatchNorm2d(width)]
    if large:
        everywhere = sparse == "all"
        layers.append(
            convolution(width, width, 2, size_after, coding) if everywhere else nn.MaxPool2d(3, 2, 1)
        )
        size_after = -(-size_after // 2)
    return nn.Sequential(*layers), size_after

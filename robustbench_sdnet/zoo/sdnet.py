"""SDNet and its plain baselines (Dai et al. 2022, arXiv:2210.12945): one builder for every architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, unknown
from .architectures import CIFAR_MEAN, CIFAR_STD, IMAGENET_MEAN, IMAGENET_STD, architecture
from .coding import CODING_OPTIONS, Coding
from .control import refresh_step_sizes
from .csc import csc2d
from .resnet import (
    BasicBlock,
    Convolution,
    Normalise,
    SparseConvolution,
    Stage,
    plain_convolution,
    shortcut_module,
    sparse_convolution,
)

IMAGENET_STEM_FROM = 64  # pixels: smaller images keep their resolution through a 3x3 stem
OPTIONS = (
    *("num_classes", "shortcut", "input_size", "mean", "std", "width", "stem", "pooling"),
    *CODING_OPTIONS,
)


class Classifier(nn.Module):
    """Normalisation, stem, stages, global average and one linear layer.

    Attributes:
        arch: the architecture's name.
        options: what `build_model` needs to build it again, every default resolved.
        num_classes: the number of logits.
    """

    def __init__(self, arch: str, options: dict[str, Any]) -> None:
        super().__init__()
        self.arch, self.options = arch, options
        self.num_classes: int = options["num_classes"]
        self.normalise = Normalise(options["mean"], options["std"])
        plan, width = architecture(arch), options["width"]
        self.layer0, size = _stem(plan.sparse, options)
        everywhere = plan.sparse == "all"
        coding = _coding(options)
        convolution = sparse_convolution(coding, options["pooling"]) if everywhere else plain_convolution
        channels = width
        for index, count in enumerate(plan.blocks):
            blocks = []
            for position in range(count):
                stride, outputs = 2 if index and position == 0 else 1, width * 2**index
                block = BasicBlock(convolution, channels, outputs, stride, size, rectify=not everywhere)
                if options["shortcut"]:
                    block.shortcut = shortcut_module(channels, outputs, stride, plan.projects)
                blocks.append(block)
                channels, size = outputs, -(-size // stride)
            self.add_module(f"layer{index + 1}", Stage(blocks) if everywhere else nn.Sequential(*blocks))
        self._stages = tuple(f"layer{index + 1}" for index in range(len(plan.blocks)))
        self.linear = nn.Linear(channels, self.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, 3, h, w) in [0, 1]."""
        x: Tensor = self.layer0(self.normalise(images))
        for stage in self._stages:
            x = getattr(self, stage)(x)
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


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
        arch: a name of `registry.ARCHITECTURES`.
        num_classes: number of logits.
        shortcut: keep the shortcuts; only the sparse `_all` networks can do without.
        input_size: side of the images in pixels.
        mean: per-channel mean the model subtracts; None: CIFAR-10's, or ImageNet's with an ImageNet stem.
        std: per-channel deviation the model divides by.
        width: channels of the first stage; None: the architecture's own (64, or 16 for 20 layers).
        stem: "cifar" (3x3), "imagenet" (7x7 stride 2 and pooling) or None: by `input_size`.
        pooling: replace the stride of sparse blocks by max-pooling.
        coding: fields of `csc.Coding`: lam, mu, n_steps, non_negative, gradient_at, square_noise, ...

    Raises:
        InputError: unknown architecture or option, or a value outside its range.
    """
    for name in coding:
        if name not in CODING_OPTIONS:
            raise unknown("model option", name, OPTIONS)
    return _build(
        arch,
        resolve_options(
            arch,
            {
                "num_classes": num_classes,
                "shortcut": shortcut,
                "input_size": input_size,
                "mean": mean,
                "std": std,
                "width": width,
                "stem": stem,
                "pooling": pooling,
                **coding,
            },
        ),
        with_step_sizes=True,
    )


def _build(arch: str, options: dict[str, Any], *, with_step_sizes: bool) -> Classifier:
    model = Classifier(arch, options)
    if with_step_sizes:
        # Close to L is enough to start from: training forwards go on, and `refresh_step_sizes` ends it.
        refresh_step_sizes(model, max_steps=10)
    return model


def rebuild(arch: str, options: Mapping[str, Any]) -> Classifier:
    """Build a model whose weights and step sizes are about to be overwritten, from `model.options`."""
    return _build(arch, resolve_options(arch, dict(options)), with_step_sizes=False)


def resolve_options(arch: str, given: dict[str, Any]) -> dict[str, Any]:
    """Every option with its default filled in, checked.

    Raises:
        InputError: a value outside its range.
    """
    plan = architecture(arch)
    for name in given:
        if name not in OPTIONS:
            raise unknown("model option", name, OPTIONS)
    options: dict[str, Any] = {
        "num_classes": 10,
        "shortcut": True,
        "input_size": 32,
        "pooling": False,
    } | given
    for name, high in (("num_classes", 100_000), ("input_size", 4096), ("width", 4096)):
        value = options.get(name)
        if value is None:
            options[name] = plan.width
        elif isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
            raise InputError(f"{name} must be a whole number from 1 to {high}, got {value!r}.")
    for name in ("shortcut", "pooling"):
        if not isinstance(options[name], bool):
            raise InputError(f"{name} must be true or false, got {options[name]!r}.")
    if not options["shortcut"] and plan.sparse != "all":
        raise InputError(
            f"shortcut=False needs a network that is sparse throughout, such as {_nearest_all(arch)}."
        )
    if options.get("stem") is None:
        options["stem"] = "imagenet" if options["input_size"] >= IMAGENET_STEM_FROM else "cifar"
    elif options["stem"] not in ("cifar", "imagenet"):
        raise InputError(f"stem must be 'cifar' or 'imagenet', got '{options['stem']}'.")
    large = options["stem"] == "imagenet"
    options["mean"] = _channels("mean", options.get("mean"), IMAGENET_MEAN if large else CIFAR_MEAN)
    options["std"] = _channels("std", options.get("std"), IMAGENET_STD if large else CIFAR_STD)
    if min(options["std"]) <= 0:
        raise InputError(f"std must be above 0, got {options['std']}.")
    if plan.sparse == "none":
        return {name: value for name, value in options.items() if name not in CODING_OPTIONS}
    coding = _coding(options)
    return options | {name: getattr(coding, name) for name in CODING_OPTIONS}


def _nearest_all(arch: str) -> str:
    return "sdnet" + "".join(character for character in arch if character.isdigit()) + "_all"


def _channels(name: str, value: Sequence[float] | None, default: tuple[float, ...]) -> tuple[float, ...]:
    if value is None:
        return default
    numbers = tuple(float(item) for item in value)
    if len(numbers) != len(default) or not all(torch.isfinite(torch.tensor(numbers))):
        raise InputError(f"{name} must be {len(default)} finite numbers, one a channel, got {value!r}.")
    return numbers


def _coding(options: dict[str, Any]) -> Coding:
    return Coding(**{name: options[name] for name in CODING_OPTIONS if name in options})


def _stem(sparse: str, options: dict[str, Any]) -> tuple[nn.Sequential, int]:
    """The stem and the side of its output."""
    width, size = options["width"], options["input_size"]
    large = options["stem"] == "imagenet"
    kernel, stride = (7, 2) if large else (3, 1)
    size_after = -(-size // stride)
    layers: list[nn.Module]
    if sparse == "none":
        layers = [
            nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    else:
        coding = _coding(options)
        layer = csc2d(3, width, size=(size, size), kernel=kernel, stride=stride, coding=coding)
        layers = [SparseConvolution(layer), nn.BatchNorm2d(width)]
    if large:
        reduce: Convolution | None = sparse_convolution(_coding(options), False) if sparse == "all" else None
        layers.append(reduce(width, width, 2, size_after) if reduce else nn.MaxPool2d(3, 2, 1))
        size_after = -(-size_after // 2)
    return nn.Sequential(*layers), size_after

"""The options of a model, checked and with every default filled in, without importing torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...errors import InputError, unknown
from ...reading.options import FLAG, Rule, check, count
from .architectures import CIFAR_MEAN, CIFAR_STD, IMAGENET_MEAN, IMAGENET_STD, architecture
from .coding import CODING_OPTIONS, Coding

IMAGENET_STEM_FROM = 64  # pixels: smaller images keep their resolution through a 3x3 stem
OPTIONS = (
    *("num_classes", "shortcut", "input_size", "mean", "std", "width", "stem", "pooling"),
    *CODING_OPTIONS,
)
_RULES: Mapping[str, Rule | tuple[str, ...]] = {
    "num_classes": count(1, 100_000),
    "input_size": count(1, 4096),
    "width": count(1, 4096),
    "shortcut": FLAG,
    "pooling": FLAG,
    "stem": ("cifar", "imagenet"),
}


def resolve_options(arch: str, given: dict[str, Any]) -> dict[str, Any]:
    """Every option with its default filled in; InputError for an unknown one, or a value outside its range."""
    plan = architecture(arch)
    for name in given:
        if name not in OPTIONS:
            raise unknown("model option", name, OPTIONS)
    size = given.get("input_size", 32)
    options: dict[str, Any] = {
        "num_classes": 10,
        "shortcut": True,
        "input_size": size,
        "pooling": False,
    } | given
    options["width"] = plan.width if options.get("width") is None else options["width"]
    if options.get("stem") is None and isinstance(size, int):
        options["stem"] = "imagenet" if size >= IMAGENET_STEM_FROM else "cifar"
    check(options, _RULES)
    if not options["shortcut"] and plan.sparse != "all":
        depth = "".join(filter(str.isdigit, arch))
        raise InputError(
            f"shortcut=False needs a network that is sparse throughout, such as sdnet{depth}_all."
        )
    large = options["stem"] == "imagenet"
    options["mean"] = _channels("mean", options.get("mean"), IMAGENET_MEAN if large else CIFAR_MEAN)
    options["std"] = _channels("std", options.get("std"), IMAGENET_STD if large else CIFAR_STD)
    if min(options["std"]) <= 0:
        raise InputError(f"std must be above 0, got {options['std']}.")
    if plan.sparse == "none":
        return {name: value for name, value in options.items() if name not in CODING_OPTIONS}
    coding = coding_of(options)
    return options | {name: getattr(coding, name) for name in CODING_OPTIONS}


def _channels(name: str, value: Any, default: tuple[float, ...]) -> tuple[float, ...]:
    if value is None:
        return default
    try:
        numbers = tuple(float(item) for item in value)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) != len(default) or not all(math.isfinite(number) for number in numbers):
        raise InputError(f"{name} must be {len(default)} finite numbers, one a channel, got {value!r}.")
    return numbers


def coding_of(options: Mapping[str, Any]) -> Coding:
    """The part of the options that the sparse layers take."""
    return Coding(**{name: options[name] for name in CODING_OPTIONS if name in options})

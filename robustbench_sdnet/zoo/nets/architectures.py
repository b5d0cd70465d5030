"""The architectures by name, and their options, checked and with every default filled in; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Annotated, Any

from ...errors import InputError, unknown
from ...reading.options import FLAG, Rule, between, check, check_fields, count, rules_of

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture.

    Attributes:
        blocks: basic blocks (two 3x3 convolutions each) in each stage; channels double from stage to stage.
        width: channels of the stem and the first stage.
        sparse: which convolutions are sparse coding layers: "none", "stem" or "all".
        summary: one line for listings.
    """

    blocks: tuple[int, ...]
    width: int
    sparse: str
    summary: str

    @property
    def projects(self) -> bool:
        """Whether shortcuts that change shape are 1x1 convolutions (else: subsampled and zero-padded)."""
        return len(self.blocks) > 3


_DEPTHS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "18": ((2, 2, 2, 2), 64),
    "34": ((3, 4, 6, 3), 64),
    "20": ((3, 3, 3), 16),
}
_FAMILIES = (
    ("resnet{}", "none", "plain residual network"),
    ("sdnet{}", "stem", "sparse coding stem, plain residual blocks"),
    ("sdnet{}_all", "all", "sparse coding in the stem and in every block"),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        pattern.format(depth): Architecture(blocks, width, sparse, f"{summary}, {depth} layers")
        for pattern, sparse, summary in _FAMILIES
        for depth, (blocks, width) in _DEPTHS.items()
    }
)

SMALL = frozenset(name for name, plan in ARCHITECTURES.items() if not plan.projects)  # made for CPUs


def architecture(name: str) -> Architecture:
    """The architecture of that name; an InputError names the nearest."""
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise unknown("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name]


_MOST = 100_000
_WEIGHT = between(0, 1e18)  # a whole number beyond has no place in a tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """The hyper-parameters of a sparse coding layer.

    Attributes:
        lam: weight of |z|_1, the layer's lambda unless `use_lambda` overrides it.
        mu: weight of |z|_2^2 / 2.
        n_steps: FISTA iterations from z = 0.
        non_negative: restrict codes to z >= 0.
        gradient_at: where iterations after the second evaluate the gradient: at the "code" z, as the published
            checkpoints were trained, or at the "momentum" point, as Beck and Teboulle 2009 have it.
        square_noise: data term |x - A z|^2 / 2; without, |x - A z| / 2.
        rescale_lambda: multiply lambda by size(x) / size(z).
        n_dict: repeat the input that many times over as many sub-dictionaries.
        power_steps: power iterations at each training forward; 0 keeps the step size as it is.
    """

    lam: Annotated[float, _WEIGHT] = 0.1
    mu: Annotated[float, _WEIGHT] = 0.0
    n_steps: Annotated[int, count(1, _MOST)] = 2
    non_negative: Annotated[bool, FLAG] = True
    gradient_at: Annotated[str, ("code", "momentum")] = "code"
    square_noise: Annotated[bool, FLAG] = True
    rescale_lambda: Annotated[bool, FLAG] = False
    n_dict: Annotated[int, count(1, _MOST)] = 1
    power_steps: Annotated[int, count(0, _MOST)] = 1

    def __post_init__(self) -> None:
        check_fields(self)


CODING_OPTIONS = tuple(field.name for field in fields(Coding))
_DEFAULTS: Mapping[str, Any] = {"num_classes": 10, "shortcut": True, "input_size": 32, "pooling": False}
# Defaults of the options that every architecture has.
DEFAULTS: Mapping[str, Any] = MappingProxyType({**_DEFAULTS, **asdict(Coding())})
IMAGENET_STEM_FROM = 64  # pixels: smaller images keep their resolution through a 3x3 stem
OPTIONS = (
    *("num_classes", "shortcut", "input_size", "mean", "std", "width", "stem", "pooling"),
    *CODING_OPTIONS,
)
_RULES: Mapping[str, Rule | tuple[str, ...]] = {
    "num_classes": count(1, _MOST),
    "input_size": count(1, 4096),
    "width": count(1, 4096),
    "shortcut": FLAG,
    "pooling": FLAG,
    "stem": ("cifar", "imagenet"),
    **rules_of(Coding),
}


def resolve_options(arch: str, given: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every option with its default filled in; InputError for an unknown one, or a value outside its range.

    Errors say the name behind the prefix, as `model.` is where options are set in a recipe.
    """
    plan = architecture(arch)
    for name in given:
        if name not in OPTIONS:
            raise unknown("model option", name, OPTIONS)
    options = {**_DEFAULTS, **given}
    size = options["input_size"]
    options["width"] = plan.width if options.get("width") is None else options["width"]
    if options.get("stem") is None and isinstance(size, int):
        options["stem"] = "imagenet" if size >= IMAGENET_STEM_FROM else "cifar"
    check({**DEFAULTS, **options}, _RULES, prefix)
    if not options["shortcut"] and plan.sparse != "all":
        depth = "".join(filter(str.isdigit, arch))
        raise InputError(
            f"{prefix}shortcut=False needs a network that is sparse throughout, such as sdnet{depth}_all."
        )
    large = options["stem"] == "imagenet"
    options["mean"] = _channels(f"{prefix}mean", options.get("mean"), IMAGENET_MEAN if large else CIFAR_MEAN)
    options["std"] = _channels(f"{prefix}std", options.get("std"), IMAGENET_STD if large else CIFAR_STD)
    if min(options["std"]) <= 0:
        raise InputError(f"{prefix}std must be above 0, got {options['std']}.")
    if plan.sparse == "none":
        return {name: value for name, value in options.items() if name not in CODING_OPTIONS}
    coding = coding_of(options)
    return options | {name: getattr(coding, name) for name in CODING_OPTIONS}


_OF_DATA = ("num_classes", "input_size", "mean", "std")


def unusual(arch: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options in which a network is built otherwise than its architecture is, those of its data left out.

    Other people's models, whose architectures are none of these, have none.
    """
    if arch not in ARCHITECTURES:
        return {}
    usual = resolve_options(arch, {name: options[name] for name in _OF_DATA if name in options})
    own = usual.keys() - set(_OF_DATA)
    return {name: value for name, value in options.items() if name in own and value != usual[name]}


def check_settings(arch: str, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse options that make no network, and settings of sparse coding layers for one that has none; the options that
    a recipe itself gives serve networks with and without."""
    resolve_options(arch, dict(options), "model.")
    unheeded = [name for option in CODING_OPTIONS if (name := f"model.{option}") in settings]
    if unheeded and architecture(arch).sparse == "none":
        raise InputError(
            f"{unheeded[0]} does nothing in {arch}, which has no sparse coding layers. Leave it out, or take "
            f"{arch.replace('resnet', 'sdnet')}."
        )


def _channels(name: str, value: Any, default: tuple[float, ...]) -> tuple[float, ...]:
    if value is None:
        return default
    try:
        numbers = tuple(float(item) for item in value)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) != len(default) or not all(math.isfinite(number) for number in numbers):
        raise InputError(f"{name} must be {len(default)} finite numbers, one per channel, got {value!r}.")
    return numbers


def coding_of(options: Mapping[str, Any]) -> Coding:
    """The part of the options that the sparse layers take."""
    return Coding(**{name: options[name] for name in CODING_OPTIONS if name in options})

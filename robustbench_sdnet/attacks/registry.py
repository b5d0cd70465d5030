"""The attacks by name, without importing torch: what a command line needs before any work starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any

from ..errors import InputError, unknown
from ..reading.numbers import LARGEST, whole
from ..reading.options import Rule, as_default, check
from ..reading.structured import mapping
from ..specs import BUDGETED
from .libraries import LIBRARIES, check_options, library_row

Value = bool | int | float | str | None
_POSITIVE = Rule(lambda value: 0 < value < math.inf, "be above 0 and finite")
_RULES = {
    **dict.fromkeys(("steps", "step_size", "restarts", "draws", "eot", "targets"), _POSITIVE),
    "p_init": Rule(lambda value: 0 < value <= 1, "lie above 0, up to 1"),
}


@dataclass(frozen=True)
class AttackInfo:
    """What is known of an attack before it runs.

    Attributes:
        name: how the user writes it.
        function: "module:function" of this package that runs it.
        params: its own hyper-parameters with their defaults; None stands for a number chosen from eps.
        kind: "attack" or "noise".
        norms: the norms it works in.
        version: raised by hand when its answers change.
        raised: norms in which it is one higher.
        minimal_norm: it looks for the smallest perturbation, so that eps may be left out.
        full_precision: its search compares values so close that bfloat16 would mislead it, or is a library's.
        choices: the values that a text option may have.
        rules: what an option of it alone must be.
        starts: it can begin at given points.
        later: options that came after answers were stored: at their defaults no part of what identifies an attack.
        work: what it comes from, a key of the bibliography; empty for a chain, which cites its stages, and for noise.
    """

    name: str
    function: str
    params: Mapping[str, Value] = field(default_factory=dict)
    kind: str = "attack"
    norms: tuple[str, ...] = BUDGETED
    version: int = 1
    raised: tuple[str, ...] = ()
    minimal_norm: bool = False
    full_precision: bool = False
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=dict)
    starts: bool = False
    later: tuple[str, ...] = ()
    work: str = ""

    def load(self) -> Callable[..., Any]:
        """The function, its module imported."""
        found: Callable[..., Any] = resolve_name(f"{__package__}.{self.function}")
        return found

    def check_norm(self, norm: str) -> None:
        """Raise an InputError where the attack lacks a norm."""
        if norm not in self.norms:
            raise InputError(f"'{self.name}' has no norm '{norm}'. It knows: {', '.join(self.norms)}.")


def _row(name: str, module: str, params: Mapping[str, Value] | None = None, **facts: Any) -> AttackInfo:
    """A native attack: the function of its name in a file of `native/`."""
    function = name.replace("-", "_").replace("+", "_")
    return AttackInfo(name, f"native.{module}:{function}", params or {}, **facts)


SQUARE_NORMS = ("linf", "l2", "l1")

_LIST = (
    _row("fgsm", "pgd", work="fgsm"),
    _row(
        "pgd",
        "pgd",
        {"steps": 20, "step_size": None, "random_start": True, "restarts": 1, "eot": 1},
        starts=True,
        later=("eot",),
        work="pgd",
    ),
    _row("noise", "noise", {"draws": 1}, kind="noise", full_precision=True),
    _row("apgd-ce", "apgd", {"steps": 100, "restarts": 1, "eot": 1}, work="autoattack"),
    _row("apgd-dlr", "apgd", {"steps": 100, "restarts": 1, "eot": 1}, work="autoattack"),
    _row("apgd-t", "apgd", {"steps": 100, "targets": 9, "eot": 1}, later=("eot",), work="autoattack"),
    _row("fab-t", "fab", {"steps": 100, "targets": 9}, minimal_norm=True, full_precision=True, work="fab"),
    _row(
        "fmn",
        "fmn",
        {"steps": 100, "step_size": 1.0, "gamma": 0.05},
        norms=("linf", "l2", "l1", "l0"),
        version=2,
        minimal_norm=True,
        full_precision=True,
        rules={"gamma": Rule(lambda value: 0 < value < 1, "lie between 0 and 1")},
        work="fmn",
    ),
    _row(
        "sigma-zero",
        "sigma_zero",
        {"steps": 1000},
        norms=("l0",),
        minimal_norm=True,
        full_precision=True,
        work="sigmazero",
    ),
    _row(
        "square",
        "square",
        {"steps": 5000, "p_init": 0.8, "eot": 1},
        norms=SQUARE_NORMS,
        raised=("l2", "l1"),
        full_precision=True,
        later=("eot",),
        work="square",
    ),
    _row("pma", "pma", {"steps": 100, "restarts": 2}, work="pma"),
    _row(
        "autoattack",
        "chain",
        {"variant": "standard"},
        norms=SQUARE_NORMS,
        choices={"variant": ("standard", "rand")},
    ),
    _row("lean", "chain"),
    _row("lean+autoattack", "chain", norms=SQUARE_NORMS),
)

ATTACKS: Mapping[str, AttackInfo] = MappingProxyType({info.name: info for info in _LIST})

Stages = tuple[tuple[str, Mapping[str, Value]], ...]

_STANDARD: Stages = (
    ("apgd-ce", {"steps": 100}),
    ("apgd-t", {"steps": 100, "targets": 9}),
    ("fab-t", {"steps": 100, "targets": 9}),
    ("square", {"steps": 5000}),
)
_LEAN: Stages = (("pma", {"steps": 100, "restarts": 2}), ("apgd-t", {"steps": 20, "targets": 9}))

CHAINS: Mapping[str, Stages] = MappingProxyType(
    {
        "autoattack": _STANDARD,
        "autoattack-rand": (("apgd-ce", {"steps": 100, "eot": 20}), ("apgd-dlr", {"steps": 100, "eot": 20})),
        "lean": _LEAN,
        "lean+autoattack": (*_LEAN, *_STANDARD),
    }
)
"""Attacks that are several stages, each of which runs on the survivors of the one before."""

BY_NORM: Mapping[tuple[str, str], Mapping[str, Value]] = MappingProxyType(
    {("l1", "apgd-ce"): {"restarts": 5}, ("l1", "apgd-t"): {"targets": 5}}
)
"""What AutoAttack's standard stages do otherwise in a norm: (norm, stage) to the options that change."""


def chain(name: str, params: Mapping[str, Value], norm: str = "linf") -> Stages:
    """The stages (name, params) of an attack with its checked `params`; most attacks are their own chain."""
    found = f"{name}-rand" if params.get("variant") == "rand" else name
    if found not in CHAINS:
        return ((name, params),)
    return tuple(
        (stage, {**own, **BY_NORM.get((norm, stage), {})} if (stage, own) in _STANDARD else own)
        for stage, own in CHAINS[found]
    )


def last_stages(name: str) -> frozenset[str]:
    """The attacks that end a chain, in any of its variants; empty for what is no chain."""
    return frozenset(stages[-1][0] for found, stages in CHAINS.items() if found.removesuffix("-rand") == name)


def attack_info(name: str) -> AttackInfo:
    """Look an attack up: a native one, "torchattacks:NAME" or "foolbox:NAME"; an InputError names the nearest."""
    library, _, attack = name.partition(":")
    if not attack:
        if name not in ATTACKS:
            raise unknown("attack", name, [*ATTACKS, *(f"{library}:NAME" for library in LIBRARIES)])
        return ATTACKS[name]
    row = library_row(library, attack)
    return AttackInfo(name, "backends.library:attack", **row)


def check_params(info: AttackInfo, given: Mapping[str, object]) -> dict[str, Value]:
    """Every hyper-parameter of an attack: its default, or what was given, coerced to the default's type.

    Raises:
        InputError: an unknown name (the message has the nearest) or a value of the wrong kind.
    """
    params = dict(info.params)
    for name, value in mapping(given, "params").items():
        if name not in params:
            raise unknown(f"option of attack {info.name}", name, params or ["(none)"])
        params[name] = _coerced(_option(info, name), str(value).strip(), params[name])
        check_rule(info, name, params[name])
        if name in info.choices:
            kind = f"value of option '{name}'"
            check({kind: params[name]}, {kind: info.choices[name]})
    check_options(info.name, params)
    return params


def check_rule(info: AttackInfo, name: str, value: object) -> None:
    """Refuse a number that an option of an attack cannot be, and a text, with an InputError; None is its default."""
    rule = info.rules.get(name) or _RULES.get(name)
    if rule and isinstance(value, str):
        raise InputError(f"{_option(info, name)} must be a number, got the text '{value}'.")
    if rule and isinstance(value, int | float) and not isinstance(value, bool):
        check({_option(info, name): value}, {_option(info, name): rule})


def _option(info: AttackInfo, name: str) -> str:
    return f"Option '{name}' of attack {info.name}"


def _coerced(what: str, text: str, default: Value) -> Value:
    """A text in the type of the default; numbers may be fractions, options without a default any text."""
    if default is not None and not isinstance(default, float):
        found: Value = as_default(text, default, what)
        return found
    if default is None and text.lower() == "none":
        return None
    if default is None and text.lstrip("-").isdigit():
        return whole(text, f"{what} must be a whole number")
    top, slash, bottom = text.partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise InputError(f"{what} must be a number, got '{text}'.") from None
    # As "1" is above: equal values are one question.
    return int(value) if default is None and value.is_integer() and abs(value) <= LARGEST else value

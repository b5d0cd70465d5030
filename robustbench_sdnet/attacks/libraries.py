"""The attacks of torchattacks 3.5.1 and foolbox 3.3.4, as far as it takes neither of them, nor torch, to know them.

Their options stand in `libraries.json`, which a test compares with what is installed; what they cannot do, so that it
is refused before any work, was read in their sources, and the tests run every other attack.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import InputError, unknown

LIBRARIES = ("foolbox", "torchattacks")


@cache
def table() -> dict[str, dict[str, dict[str, Any]]]:
    """Library -> attack -> its row."""
    rows: dict[str, dict[str, dict[str, Any]]] = json.loads(
        Path(__file__).with_name("libraries.json").read_text(encoding="utf-8")
    )
    return rows


def library_row(library: str, name: str) -> dict[str, Any]:
    """What is known of a library's attack class, fields of `AttackInfo`; an InputError names the nearest."""
    if library not in LIBRARIES:
        raise unknown("attack library", library, LIBRARIES)
    found = table()[library]
    if name not in found:
        raise unknown(f"{library} attack", name, found)
    return {**found[name], "norms": tuple(found[name]["norms"]), "full_precision": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an attack needs beyond what its signature says.

    Attributes:
        classes: it fails on models with fewer.
        numbers: it fails on images of more numbers (channels times height times width).
        least: the smallest value of an option.
        required: an option without a default.
        package: that it imports and its library does not require.
        instead: what does where this attack does not.
    """

    classes: int = 2
    numbers: int | None = None
    least: Mapping[str, int] = field(default_factory=dict)
    required: str = ""
    package: str = ""
    instead: str = ""


LIMITS: Mapping[str, Limits] = MappingProxyType(
    {
        # Its loss divides by the gap between the third and the fourth largest logit.
        "torchattacks:APGDT": Limits(classes=4, instead="apgd-t does with fewer"),
        "torchattacks:AutoAttack": Limits(classes=4, instead="autoattack does with fewer"),
        # It seeks class (label + 1) modulo 10, and holds matrices of all pairs of numbers.
        "torchattacks:JSMA": Limits(classes=10, numbers=3 * 64 * 64, instead="torchattacks:SparseFool does"),
        # They stop early at every tenth of their iterations.
        "torchattacks:EADEN": Limits(least={"max_iterations": 10}),
        "torchattacks:EADL1": Limits(least={"max_iterations": 10}),
        "foolbox:VirtualAdversarialAttack": Limits(required="steps"),
        **{
            f"foolbox:{norm}BrendelBethgeAttack": Limits(package="numba")
            for norm in ("L0", "L1", "L2", "Linfinity")
        },
    }
)


def limits(name: str) -> Limits:
    """The limits of an attack; none for most."""
    return LIMITS.get(name, Limits())


def check_options(name: str, options: Mapping[str, object]) -> None:
    """Refuse, with an InputError, options that are missing or too small, or an attack whose package is."""
    known = limits(name)
    if known.package and importlib.util.find_spec(known.package) is None:
        raise InputError(f"Attack {name} needs the package {known.package}: pip install {known.package}.")
    if known.required and options.get(known.required) is None:
        raise InputError(f"Attack {name} needs --set {known.required}=..., which has no default.")
    for option, least in known.least.items():
        value = options.get(option)
        if isinstance(value, int | float) and value < least:
            raise InputError(f"Option '{option}' of attack {name} must be at least {least}, got {value}.")


def check_problem(name: str, classes: int, numbers: int) -> None:
    """Refuse, with an InputError, a model of too few classes, or images of too many numbers (c h w), for an attack."""
    known = limits(name)
    instead = f" ({known.instead})" if known.instead else ""
    if classes < known.classes:
        raise InputError(
            f"Attack {name} needs {known.classes} classes, but the model has {classes}{instead}."
        )
    if known.numbers is not None and numbers > known.numbers:
        raise InputError(
            f"Attack {name} takes images of at most {known.numbers} numbers, got {numbers}{instead}."
        )

"""Every norm's ball by its name: a row of `specs.NORMS`, and the file of that name in `norms/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from types import MappingProxyType

from ...errors import unknown
from ...specs import NORMS
from .ball import Ball

BALLS: Mapping[str, Ball] = MappingProxyType(
    {name: import_module(f".norms.{name}", __package__).BALL for name in NORMS}
)


def ball(norm: str, known: Iterable[str] = BALLS) -> Ball:
    """A norm's ball; InputError for one that is not among those `known`, which are named."""
    if norm not in known:
        raise unknown("norm", norm, known)
    return BALLS[norm]

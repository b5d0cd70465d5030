"""What is done to the images: a corruption, an attack, or nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InputError
from .budgets import NORMS, Eps
from .models import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionSpec:
    """A corruption at a severity (1 to 5) or, for noises, at a free level; or "clean", the images as they are."""

    name: str
    severity: int | None = None
    level: str | None = None
    seed: int = 0
    version: int = 1
    source: str = "generated"

    @property
    def label(self) -> str:
        """The corruption as tables name it, without its severity."""
        level = f"@{self.level}" if self.level else ""
        return f"{self.name}{level}(seed={self.seed})" if self.seed else f"{self.name}{level}"

    def identity(self) -> dict[str, Any]:
        """What can change an answer."""
        return {"corruption": asdict(self)}


CLEAN = CorruptionSpec(name="clean")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackSpec:
    """What identifies an attack: equal specs give equal results.

    Attributes:
        eps: the budget; None for minimal-norm attacks that take none.
        params: the attack's own hyper-parameters, all of them, defaults included.
        kind: "attack", or "noise" for random points of the same ball.
        chain: the attack this is a stage of ("autoattack"), or empty; for readers, the parents identify a stage.
        shown: hyper-parameters that differ from the defaults, as tables show them ("steps=40"); for readers.
    """

    name: str
    eps: Eps | None
    norm: str = "linf"
    params: Params = ()
    seed: int = 0
    version: int = 1
    kind: str = "attack"
    chain: str = ""
    shown: str = ""

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise InputError(f"norm must be one of {', '.join(NORMS)}, got '{self.norm}'.")

    @property
    def label(self) -> str:
        """The attack as tables name it."""
        name = f"{self.chain}/{self.name}" if self.chain else self.name
        return f"{name}({self.shown})" if self.shown else name

    def identity(self) -> dict[str, Any]:
        """What can change an answer."""
        eps = None if self.eps is None else str(self.eps.fraction)
        kept = {"name": self.name, "norm": self.norm, "seed": self.seed, "version": self.version}
        return {"attack": {**kept, "eps": eps, "params": dict(self.params)}}

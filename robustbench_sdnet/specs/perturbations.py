"""What is done to the images: a corruption, an attack, or nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InputError
from .budgets import NORMS, Eps
from .models import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionSpec:
    """A corruption at a severity (1 to 5) or, for noises, at a free level; or "clean", the images as they are.

    Attributes:
        source: "generated" or "published".
        table: the parameter set behind a severity (`corruptions.TABLES`).
        size: of the images ("96x96"), where the set was made for another; for readers.
    """

    name: str
    severity: int | None = None
    level: str | None = None
    seed: int = 0
    version: int = 1
    source: str = "generated"
    table: str = "cifar"
    size: str = ""

    @property
    def origin(self) -> str:
        """Where the images come from, with the parameter set unless it is CIFAR's own: never mixed in one mean."""
        return f"{self.source}, table {self.parameters}" if self.parameters else self.source

    @property
    def parameters(self) -> str | None:
        """The parameter set, with the size that it was not made for; None for CIFAR's at its own."""
        if not self.size:
            return None if self.table == "cifar" else self.table
        return f"{self.table} at {self.size}"

    @property
    def label(self) -> str:
        """The corruption as tables name it, without its severity."""
        level = f"@{self.level}" if self.level else ""
        return f"{self.name}{level}(seed={self.seed})" if self.seed else f"{self.name}{level}"

    def identity(self) -> dict[str, Any]:
        """What can change an answer."""
        kept = asdict(self)
        del kept["size"]
        if self.table == "cifar":  # as before there were others
            del kept["table"]
        return {"corruption": kept}


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

"""What is done to the images: a corruption, an attack, or nothing."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
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
        stored: how corrupted images were stored and read back before they are shown ("jpeg85"); empty for not at all.
    """

    name: str
    severity: int | None = None
    level: str | None = None
    seed: int = 0
    version: int = 1
    source: str = "generated"
    table: str = "cifar"
    size: str = ""
    stored: str = ""

    @property
    def origin(self) -> str:
        """Where the images come from, with the parameter set unless it is CIFAR's own, and how they were stored: never
        mixed in one mean."""
        table = f", table {self.parameters}" if self.parameters else ""
        return f"{self.source}{table}{f', stored as {self.stored}' if self.stored else ''}"

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
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        del kept["size"]
        if self.table == "cifar":  # as before there were others
            del kept["table"]
        if not self.stored:  # as before it could be
            del kept["stored"]
        return {"corruption": kept}


CLEAN = CorruptionSpec(name="clean")


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceSpec:
    """An image slowly changed, frame after frame: does the prediction stay?

    Attributes:
        difficulty: 1 to 3, the strength of a noise, or else how far apart the frames are that are compared.
        frames: how many, the first included.
        first: compared with the clean first frame (noises), not with the one before; for readers.
    """

    name: str
    difficulty: int = 1
    frames: int
    first: bool = False
    seed: int = 0
    version: int = 1

    @property
    def label(self) -> str:
        """The sequence as tables name it."""
        shown = [f"difficulty {self.difficulty}"] if self.difficulty != 1 else []
        shown += [f"seed={self.seed}"] if self.seed else []
        return f"{self.name}({', '.join(shown)})" if shown else self.name

    @property
    def pairs(self) -> int:
        """How many pairs of frames are compared."""
        return self.frames - (1 if self.first else self.difficulty)

    def identity(self) -> dict[str, Any]:
        """What can change an answer."""
        kept = asdict(self)
        del kept["first"]
        return {"sequence": kept}


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


Perturbation = CorruptionSpec | SequenceSpec | AttackSpec


def without_seed(label: str) -> str:
    """The label of a corruption or a sequence without the seed that it may say."""
    return re.sub(r"\(seed=\d+\)$|, seed=\d+(?=\)$)", "", label)

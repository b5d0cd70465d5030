"""One question and its id, the hash of everything that can change the answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

from .budgets import Eps
from .lambdas import LambdaSpec
from .models import DataSpec, ModelSpec, canonical, params
from .perturbations import AttackSpec, CorruptionSpec, Perturbation, SequenceSpec

DEFAULT_STORE = "sqlite:///runs/results.db"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One question: this model, at this lambda, under this perturbation, on these images.

    Attributes:
        lam: lambda while the prediction is made; None for a model without CSC layers.
        lam_attack: lambda while the attack takes its gradients; differs from `lam` in transfer cells.
        precision: of the search; predictions are confirmed in float32.
        parents: ids of the cells this one starts from: survivors of a chain's stage before, or the attack whose
            images a transfer cell evaluates or a warm start begins at.
        warm: the attack begins at the parent's perturbed images.
    """

    model: ModelSpec
    data: DataSpec
    perturbation: Perturbation
    lam: LambdaSpec | None = None
    lam_attack: LambdaSpec | None = None
    precision: str = "float32"
    parents: tuple[str, ...] = ()
    warm: bool = False

    @property
    def kind(self) -> str:
        """clean, corruption, sequence, attack, noise or transfer, as in the result record."""
        if isinstance(self.perturbation, SequenceSpec):
            return "sequence"
        if isinstance(self.perturbation, CorruptionSpec):
            return "clean" if self.perturbation.name == "clean" else "corruption"
        return "transfer" if self.lam_attack != self.lam else self.perturbation.kind

    @property
    def strength(self) -> str:
        """The perturbation in words, with its severity or budget."""
        severity, eps = (getattr(self.perturbation, name, None) for name in ("severity", "eps"))
        return self.perturbation.label + (f" {severity}" if severity else f", eps {eps}" if eps else "")

    @property
    def words(self) -> str:
        """The question in words."""
        return f"{self.model.name}, {self.strength}{f', lambda {self.lam.text}' if self.lam else ''}"

    @property
    def needs_images(self) -> bool:
        """Whether the parent's perturbed images are needed, and not only which samples it left right.

        Of a randomised model the better of two images is counted anew.
        """
        return self.kind == "transfer" or self.warm or (bool(self.parents) and self.model.repeats is not None)

    @cached_property
    def id(self) -> str:
        """The hash of everything that can change the answer; made once, and taken along to workers."""
        identity = {
            "model": self.model.identity(),
            "data": self.data.identity(),
            **self.perturbation.identity(),
            "lambda": self.lam,
            "lambda_attack": self.lam_attack,
            "precision": self.precision,
            "parents": self.parents,
            **({"warm": True} if self.warm else {}),
        }
        return hashlib.sha256(canonical(identity).encode()).hexdigest()[:24]

    def to_json(self) -> str:
        """The whole cell as JSON, readable back by `from_json`."""
        return canonical(self)

    @classmethod
    def from_json(cls, text: str) -> Cell:
        """The cell that `to_json` wrote."""
        raw = json.loads(text)
        lams = {key: raw[key] and _lambda(**raw[key]) for key in ("lam", "lam_attack")}
        return cls(
            model=_model(json.dumps(raw["model"])),
            data=_data(**raw["data"]),
            perturbation=_perturbation(raw["perturbation"]),
            precision=raw["precision"],
            parents=tuple(raw["parents"]),
            warm=raw.get("warm", False),
            **lams,
        )


# A store repeats a few of each in all its cells: equal ones are made once.
_once = lru_cache(maxsize=4096, typed=True)
_lambda, _data, _corruption = _once(LambdaSpec), _once(DataSpec), _once(CorruptionSpec)


@lru_cache(maxsize=4096)
def _model(text: str) -> ModelSpec:
    raw = json.loads(text)
    tuples = {key: tuple(raw.get(key, ())) for key in ("mean", "std", "fingerprint")}
    return ModelSpec(**{**raw, **tuples, "options": params(raw["options"])})


def _perturbation(raw: dict[str, Any]) -> Perturbation:
    if "frames" in raw:
        return SequenceSpec(**raw)
    if "eps" not in raw:
        return _corruption(**raw)
    eps = raw["eps"] and Eps(Fraction(raw["eps"]["fraction"]))
    return AttackSpec(**{**raw, "eps": eps, "params": params(raw["params"])})

"""How a sparse coding layer codes its input: the hyper-parameters, checked, without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ...reading.options import FLAG, Rule, between, check, count

MAX_COUNT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """The hyper-parameters of a layer.

    Attributes:
        lam: weight of |z|_1, the layer's lambda unless `use_lambda` overrides it.
        mu: weight of |z|_2^2 / 2.
        n_steps: FISTA iterations from z = 0.
        non_negative: restrict codes to z >= 0.
        gradient_at: where iterations after the second take the gradient: at the "code" z, as the published
            checkpoints were trained, or at the "momentum" point, as Beck and Teboulle 2009 have it.
        square_noise: data term |x - A z|^2 / 2; without, |x - A z| / 2.
        rescale_lambda: multiply lambda by size(x) / size(z).
        n_dict: repeat the input that many times over as many sub-dictionaries.
        power_steps: power iterations at each training forward; 0 keeps the step size as it is.
    """

    lam: float = 0.1
    mu: float = 0.0
    n_steps: int = 2
    non_negative: bool = True
    gradient_at: str = "code"
    square_noise: bool = True
    rescale_lambda: bool = False
    n_dict: int = 1
    power_steps: int = 1

    def __post_init__(self) -> None:
        check({name: getattr(self, name) for name in _RULES}, _RULES)


_WEIGHT = between(0, 1e300, "be a finite number, not negative")
_RULES: Mapping[str, Rule | tuple[str, ...]] = {
    "lam": _WEIGHT,
    "mu": _WEIGHT,
    "n_steps": count(1, MAX_COUNT),
    "n_dict": count(1, MAX_COUNT),
    "power_steps": count(0, MAX_COUNT),
    "non_negative": FLAG,
    "square_noise": FLAG,
    "rescale_lambda": FLAG,
    "gradient_at": ("code", "momentum"),
}
CODING_OPTIONS = tuple(field.name for field in fields(Coding))

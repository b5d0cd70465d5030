"""How a sparse coding layer codes its input: the hyper-parameters, checked, without importing torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ...errors import InputError

GRADIENTS = ("code", "momentum")
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
        for name in ("lam", "mu"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e300:
                raise InputError(f"{name} must be a finite number, not negative, got {value!r}.")
        for name, low in (("n_steps", 1), ("n_dict", 1), ("power_steps", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MAX_COUNT:
                raise InputError(f"{name} must be a whole number from {low} to {MAX_COUNT}, got {value!r}.")
        for name in ("non_negative", "square_noise", "rescale_lambda"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, got {getattr(self, name)!r}.")
        if self.gradient_at not in GRADIENTS:
            raise InputError(f"gradient_at must be one of {', '.join(GRADIENTS)}, got '{self.gradient_at}'.")


CODING_OPTIONS = tuple(field.name for field in fields(Coding))

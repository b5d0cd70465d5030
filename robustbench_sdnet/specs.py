"""What identifies a question: frozen records of model, data, perturbation and lambda, and the cell they form.

Equal cells give equal answers, so a cell's id is the hash of everything that can change its answer and of nothing
else: names and texts that only a reader sees (`name`, the spelling of eps) stay out of it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from .errors import InputError
from .lambdas.registry import parse_policy

Params = tuple[tuple[str, Any], ...]
SEVERITIES = (1, 2, 3, 4, 5)
NORMS = ("linf", "l2", "l1", "l0")
DEFAULT_STORE = "sqlite:///runs/results.db"
MAX_LAMBDAS = 1000


@dataclass(frozen=True, slots=True)
class Eps:
    """A perturbation budget in [0, 1] pixel units: an exact fraction, kept with the text it was written as."""

    fraction: Fraction
    text: str

    @classmethod
    def parse(cls, text: str | float | Fraction | Eps, norm: str = "linf") -> Eps:
        """Read "8/255", "0.031" or a number.

        Args:
            text: a fraction, a decimal, or a float (8/255 computed in Python is recognised as a multiple of 1/255).
            norm: "linf" budgets lie in [0, 1]; "l2" budgets may be larger.

        Raises:
            InputError: not a number, negative, or above 1 for Linf.
        """
        if isinstance(text, Eps):
            return text
        if isinstance(text, float):
            return cls.parse(_fraction_of_float(text), norm)
        written = str(text).strip()
        try:
            value = Fraction(written)
        except (ValueError, ZeroDivisionError):
            raise InputError(
                f"eps must be a fraction or a decimal such as 8/255 or 0.03, got '{written}'."
            ) from None
        if value < 0:
            raise InputError(f"eps must not be negative, got '{written}'.")
        if norm == "linf" and value > 1:
            remedy = (
                f" Write {written}/255 for pixel levels." if value.denominator == 1 and value <= 255 else ""
            )
            raise InputError(f"Linf eps must be at most 1 (images lie in [0, 1]), got '{written}'.{remedy}")
        return cls(value, written)

    def __float__(self) -> float:
        return self.fraction.numerator / self.fraction.denominator

    def __str__(self) -> str:
        return self.text


def _fraction_of_float(value: float) -> str:
    if not math.isfinite(value):
        raise InputError(f"eps must be a finite number, got {value}.")
    level = round(value * 255)
    return f"{level}/255" if value == level / 255 else repr(value)


def parse_eps_list(text: str, norm: str = "linf") -> tuple[Eps, ...]:
    """Read a comma list of budgets, each once, in growing order."""
    found = {eps.fraction: eps for eps in (Eps.parse(part, norm) for part in _parts(text, "eps"))}
    return tuple(found[value] for value in sorted(found))


def distance_text(distance: float | None, norm: str | None) -> str:
    """A distance as tables print it: Linf in pixel levels, as budgets are written; "-" where there is none."""
    if distance is None:
        return "-"
    return f"{255 * distance:.2f}/255" if norm == "linf" else f"{distance:.3g}"


def parse_severities(text: str) -> tuple[int, ...]:
    """Read "3", "1,3,5" or "1-5"; severities are 1 to 5.

    Raises:
        InputError: anything else.
    """
    found: set[int] = set()
    for part in _parts(text, "severity"):
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last) if dash else int(first)
        except ValueError:
            raise InputError(
                f"severity must be 1 to 5, a list or a range such as 1-5, got '{text}'."
            ) from None
        if low not in SEVERITIES or high not in SEVERITIES or low > high:
            raise InputError(f"severity must lie in 1 to 5, got '{part}'. Write one to five, or 1-5 for all.")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def parse_numbers(text: str, what: str) -> tuple[Decimal, ...]:
    """Read a number, a comma list, or ranges `first:last:step` (both ends included), each value once, in order.

    Args:
        text: what the user wrote.
        what: the option, for messages.

    Raises:
        InputError: not numbers, negative, a range that runs backwards, or more than `MAX_LAMBDAS` values.
    """
    values: dict[Decimal, None] = {}
    for part in _parts(text, what):
        pieces = [_decimal(piece, what) for piece in part.split(":")]
        if len(pieces) == 1:
            values[pieces[0]] = None
            continue
        if len(pieces) != 3:
            raise InputError(f"{what}: a range is first:last:step, such as 0.1:1.4:0.1, got '{part}'.")
        first, last, step = pieces
        if step <= 0 or last < first:
            raise InputError(f"{what}: a range needs first <= last and a step above 0, got '{part}'.")
        if (last - first) / step >= MAX_LAMBDAS:
            raise InputError(f"{what}: '{part}' holds more than {MAX_LAMBDAS} values. Take a larger step.")
        values.update((first + step * index, None) for index in range(int((last - first) / step) + 1))
    return tuple(Decimal(decimal_text(value)) for value in values)


def _parts(text: str, what: str) -> list[str]:
    parts = [part.strip() for part in str(text).split(",")]
    if not all(parts):
        raise InputError(f"{what} must not be empty, got '{text}'.")
    return parts


def _decimal(text: str, what: str) -> Decimal:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise InputError(
            f"{what} must be a number, a list or a range such as 0.1:1.4:0.1, got '{text}'."
        ) from None
    if not value.is_finite() or value < 0:
        raise InputError(f"{what} must be finite and not negative, got '{text}'.")
    return value


def decimal_text(value: Decimal | float | str) -> str:
    """The shortest plain text of a decimal: 0.10 and 1e-1 are 0.1."""
    text = format(Decimal(str(value)).normalize(), "f")
    return "0" if Decimal(text) == 0 else text


@dataclass(frozen=True, slots=True)
class LambdaSpec:
    """How lambda is chosen at test time: a fixed number, or a policy that looks at the input.

    Attributes:
        text: a decimal ("0.3") or a policy ("calibrated", "label-free:entropy").
        scope: "stem" (the first CSC layer, the published protocol) or "all".
        fit: the hash of a policy's fitted parameters, where it has any.
    """

    text: str
    scope: str = "stem"
    fit: str = ""

    def __post_init__(self) -> None:
        if self.scope not in ("stem", "all"):
            raise InputError(f"lambda scope must be 'stem' or 'all', got '{self.scope}'.")

    @property
    def fixed(self) -> float | None:
        """The number, or None for a policy."""
        return None if self.text[:1].isalpha() else float(self.text)


def parse_lambdas(text: str, scope: str = "stem") -> tuple[LambdaSpec, ...]:
    """Read "0.1", "0.1,0.4", "0.1:1.4:0.1", a policy ("calibrated", "label-free:entropy", "oracle"), or a list.

    Raises:
        InputError: a number out of range, or an unknown policy, with the nearest name.
    """
    found: dict[LambdaSpec, None] = {}
    for part in _parts(text, "lambda"):
        if part[:1].isalpha():
            found[LambdaSpec(parse_policy(part).text, scope)] = None
        else:
            for value in parse_numbers(part, "lambda"):
                found[LambdaSpec(decimal_text(value), scope)] = None
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model by its weights. `name` is for readers, `source` is what `load_model` takes; neither identifies it."""

    name: str
    source: str
    arch: str
    weights: str
    options: Params = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    training_lambda: float | None = None

    @property
    def has_lambda(self) -> bool:
        """Whether the model has CSC layers, and so a lambda to choose."""
        return self.training_lambda is not None

    @property
    def key(self) -> str:
        """The identity as one text: equal for equal models, whatever they are called."""
        return canonical(self.identity())

    def identity(self) -> dict[str, Any]:
        """What can change an answer."""
        return {
            "arch": self.arch,
            "weights": self.weights,
            "options": dict(self.options),
            "mean": self.mean,
            "std": self.std,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """A split of a data set by its content. `source` is what `data.load` takes."""

    name: str
    source: str
    split: str
    content: str

    def identity(self) -> dict[str, Any]:
        """What can change an answer."""
        return {"split": self.split, "content": self.content}


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


@dataclass(frozen=True, slots=True, kw_only=True)
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
    perturbation: CorruptionSpec | AttackSpec
    lam: LambdaSpec | None = None
    lam_attack: LambdaSpec | None = None
    precision: str = "float32"
    parents: tuple[str, ...] = field(default=())
    warm: bool = False

    @property
    def kind(self) -> str:
        """clean, corruption, attack, noise or transfer, as in the result record."""
        if isinstance(self.perturbation, CorruptionSpec):
            return "clean" if self.perturbation.name == "clean" else "corruption"
        return "transfer" if self.lam_attack != self.lam else self.perturbation.kind

    @property
    def needs_images(self) -> bool:
        """Whether the parent's perturbed images are needed, and not only which samples it left right."""
        return self.kind == "transfer" or self.warm

    @property
    def id(self) -> str:
        """The hash of everything that can change the answer."""
        identity = {
            "model": self.model.identity(),
            "data": self.data.identity(),
            **self.perturbation.identity(),
            "lambda": self.lam and asdict(self.lam),
            "lambda_attack": self.lam_attack and asdict(self.lam_attack),
            "precision": self.precision,
            "parents": self.parents,
            **({"warm": True} if self.warm else {}),
        }
        return hashlib.sha256(canonical(identity).encode()).hexdigest()[:24]

    def asked_in(self, precision: str) -> str:
        """The id that this question has at another precision."""
        return replace(self, precision=precision).id

    def to_json(self) -> str:
        """The whole cell as JSON, readable back by `from_json`."""
        return canonical(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Cell:
        """The cell that `to_json` wrote."""
        raw = json.loads(text)
        model = {**raw["model"], "options": params(raw["model"]["options"])}
        model.update(mean=tuple(model["mean"]), std=tuple(model["std"]))
        lams = {key: raw[key] and LambdaSpec(**raw[key]) for key in ("lam", "lam_attack")}
        return cls(
            model=ModelSpec(**model),
            data=DataSpec(**raw["data"]),
            perturbation=_perturbation(raw["perturbation"]),
            precision=raw["precision"],
            parents=tuple(raw["parents"]),
            warm=raw.get("warm", False),
            **lams,
        )


def _perturbation(raw: dict[str, Any]) -> CorruptionSpec | AttackSpec:
    if "eps" not in raw:
        return CorruptionSpec(**raw)
    eps = raw["eps"] and Eps(Fraction(raw["eps"]["fraction"]), raw["eps"]["text"])
    return AttackSpec(**{**raw, "eps": eps, "params": params(raw["params"])})


def params(pairs: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Params:
    """Hyper-parameters as a sorted, hashable tuple of pairs; lists become tuples."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return tuple(sorted((str(key), _frozen(value)) for key, value in items))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)

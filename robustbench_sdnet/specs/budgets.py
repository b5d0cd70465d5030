"""Perturbation budgets: exact fractions, each with one spelling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from numbers import Rational, Real
from types import MappingProxyType

from ..errors import InputError
from ..reading.numbers import fraction
from ..reading.options import several
from .ranges import decimal_text, parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """What is known of a norm without any tensor; its geometry stands in `attacks.engine.balls`.

    Attributes:
        eps: the field's usual budget, taken where none is given; None where there is none.
        curve: the budgets of --eps-curve.
        growth: the farthest two images of d values in [0, 1] lie d ** growth apart.
        largest: budgets above it make no sense in [0, 1]; None for no bound.
        version: raised by hand when the geometry, and with it answers of attacks, changes.
        scale, unit: a distance is shown as `scale` times itself with `unit` behind it.
    """

    eps: str | None
    curve: tuple[str, ...] = ()
    growth: float = 1
    largest: int | None = None
    version: int = 0
    scale: int = 1
    unit: str = ""

    def shown(self, distance: float) -> str:
        """A distance as tables print it: Linf in pixel levels, as budgets are written."""
        return f"{self.scale * distance:.2f}{self.unit}" if self.unit else f"{distance:.3g}"

    def reach(self, values: int) -> float:
        """How far two images of so many values lie apart at most."""
        return float(values**self.growth)

    def full_curve(self, values: int) -> tuple[str, ...]:
        """The budgets of --eps-curve full: on by doubling, until every image of so many values is within reach."""
        budgets = list(self.curve)
        while Fraction(budgets[-1]) < self.reach(values):
            numerator, slash, denominator = budgets[-1].partition("/")
            doubled = f"{2 * int(numerator)}{slash}{denominator}"
            too_large = self.largest is not None and Fraction(doubled) > self.largest
            budgets.append(str(self.largest) if too_large else doubled)
        return tuple(budgets)


NORMS: Mapping[str, Norm] = MappingProxyType(
    {
        "linf": Norm(
            eps="8/255",
            curve=("1/255", "2/255", "4/255", "8/255", "16/255"),
            growth=0,
            largest=1,
            scale=255,
            unit="/255",
        ),
        "l2": Norm(eps="0.5", curve=("0.0625", "0.125", "0.25", "0.5", "1"), growth=0.5, version=1),
        "l1": Norm(eps="12", curve=("1.5", "3", "6", "12", "24"), version=1),
        "l0": Norm(eps=None, version=1),
    }
)

ROUNDED = 0.95  # 0.06 in l2 is the smallest usual budget, rounded


def norm_facts(norm: str | None) -> Norm:
    """What is known of a norm; of one that is not known, or of none, that its numbers are written as they are."""
    return NORMS.get(norm or "", Norm(eps=None))


def check_largest(eps: Fraction | float, norm: str, written: str) -> None:
    """Refuse a budget, as it was written, that makes no sense in [0, 1], with an InputError."""
    largest = norm_facts(norm).largest
    if largest is not None and eps > largest:
        remedy = f" Write {written}/255 for pixel levels." if eps == int(eps) <= 255 else ""
        raise InputError(
            f"{norm.capitalize()} eps must be at most {largest} (images lie in [0, 1]), got '{written}'.{remedy}"
        )


def check_reach(eps: Eps, norm: str, height: int, width: int) -> None:
    """Refuse, with an InputError, a budget at least twice as large as any two images of this size lie apart."""
    reach = norm_facts(norm).reach(3 * height * width)
    if norm in BUDGETED and float(eps) >= 2 * reach:
        raise InputError(
            f"{norm} eps {eps} is more than any attack needs: pixels lie in [0, 1], and images of {height}x{width} at "
            f"most {reach:.4g} apart. Write {eps}/255 for pixel levels."
        )


def budget_doubts(budgets: Iterable[tuple[str, Eps | None]], height: int, width: int) -> Iterator[str]:
    """A line for every norm whose budgets are all smaller than usual, as those of linf would be in any other norm, or
    all so large that they end in plain grey.

    Args:
        budgets: norms, each with a budget or None.
        height, width: of the images.
    """
    by_norm: dict[str, list[Eps]] = {}
    for norm, eps in budgets:
        if eps is not None and NORMS[norm].curve:
            by_norm.setdefault(norm, []).append(eps)
    for norm, given in by_norm.items():
        facts = NORMS[norm]
        curve, grey = facts.curve, facts.reach(3 * height * width) / 2
        smallest, largest = min(given, key=float), max(given, key=float)
        if facts.growth and 0 < float(largest) < ROUNDED * float(Fraction(curve[0])):
            yield (
                f"{norm} eps {largest} is less than budgets in {norm} usually are, {curve[0]} to {curve[-1]}: "
                "it may be meant in another norm."
            )
        if float(smallest) >= grey:
            yield (
                f"{norm} eps {smallest} makes plain grey of any image of {height}x{width}, which no model withstands: "
                f"budgets in {norm} usually are {curve[0]} to {curve[-1]}."
            )


BUDGETED = tuple(norm for norm, facts in NORMS.items() if facts.eps)
"""The norms whose balls have a usual budget: those that attacks on a budget work in."""


@dataclass(frozen=True, slots=True)
class Eps:
    """A perturbation budget in [0, 1] pixel units: an exact fraction.

    Attributes:
        text: its one spelling, however it was typed: a decimal that ends ("0.5"), else pixel levels ("8/255").
    """

    fraction: Fraction
    text: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _spelled(self.fraction))

    @classmethod
    def parse(cls, text: str | float | Fraction | Eps, norm: str = "linf") -> Eps:
        """Read "8/255", "0.031" or a number.

        Args:
            text: a fraction, a decimal, or a number (8/255 computed in Python, or its nearest float32, is recognised as
                a multiple of 1/255; other floats are read as they print).
            norm: "linf" budgets lie in [0, 1]; "l2" budgets may be larger.

        Raises:
            InputError: not a number, negative, or above 1 for linf.
        """
        if isinstance(text, Real) and not isinstance(text, Rational):
            return cls.parse(_fraction_of_float(text), norm)
        written = str(text).strip()
        value = fraction(written, "eps must be a fraction or a decimal such as 8/255 or 0.03")
        if value < 0:
            raise InputError(f"eps must not be negative, got '{written}'.")
        check_largest(value, norm, written)
        return cls(value)

    def __float__(self) -> float:
        return self.fraction.numerator / self.fraction.denominator

    def __str__(self) -> str:
        return self.text


def _spelled(value: Fraction) -> str:
    """A decimal that ends, else pixel levels that do, else the fraction itself."""
    for scale, unit in ((1, ""), (255, "/255")):
        scaled = value * scale
        decimal = Decimal(scaled.numerator) / Decimal(scaled.denominator)
        if Fraction(decimal) == scaled:  # else it does not end
            return decimal_text(decimal) + unit
    return str(value)


def _fraction_of_float(value: float) -> str:
    """The text of a float of Python or NumPy, whose type says how it was rounded."""
    if not math.isfinite(value):
        raise InputError(f"eps must be a finite number, got {value}.")
    level = round(float(value) * 255)
    return f"{level}/255" if value == type(value)(level / 255) else str(value)


def parse_eps_list(
    text: str | float | Eps | Sequence[str | float | Eps], norm: str = "linf"
) -> tuple[Eps, ...]:
    """Read a comma list of budgets, or one or several, each once, in growing order."""
    listed = parts(text, "eps") if isinstance(text, str) else several(text)
    budgets = {Eps.parse(part, norm) for part in listed}
    return tuple(sorted(budgets, key=lambda eps: eps.fraction))

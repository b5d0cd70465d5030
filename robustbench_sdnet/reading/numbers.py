"""Numbers from outside, with bounds that are looked at before anything of the size they name is built."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, cast

from ..errors import InputError
from ..wording import shown

DIGITS = 60  # of a number as it is written, and of its exponent: far more than any quantity here has
LARGEST = 10**9  # of counts
_WHOLE = re.compile(r"[+-]?[0-9](?:_?[0-9])*")


def decimal(text: str, rule: str) -> Decimal:
    """A finite decimal that is no longer than `DIGITS` when written out; anything else is an InputError.

    The message begins with the rule, such as "lambda must be a number".
    """
    text = str(text).strip()
    try:
        value = Decimal(text) if len(text) <= 2 * DIGITS else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or (value and abs(value.adjusted()) > DIGITS):
        raise InputError(f"{rule}, got '{shown(text)}'.")
    return value


def fraction(text: str, rule: str) -> Fraction:
    """A fraction of two decimals, or a decimal, exactly, within `decimal`'s bounds; else an InputError."""
    top, slash, bottom = str(text).strip().partition("/")
    try:
        return Fraction(decimal(top, rule)) / (Fraction(decimal(bottom, rule)) if slash else 1)
    except (InputError, ZeroDivisionError):
        raise InputError(f"{rule}, got '{shown(text)}'.") from None


def whole(text: object, rule: str, low: int = -LARGEST, high: int = LARGEST) -> int:
    """A whole number from `low` to `high`, of a text or of what YAML and JSON hold; anything else is an InputError."""
    if isinstance(text, str):
        written = text.strip()
        value = int(written) if len(written) <= 1000 and _WHOLE.fullmatch(written) else None
    elif isinstance(text, bool):
        value = None
    elif isinstance(text, float):
        value = int(text) if math.isfinite(text) and text.is_integer() else None
    else:
        value = int(text) if isinstance(text, Integral) else None  # NumPy's too
    if value is None:
        raise InputError(f"{rule}, got '{shown(text)}'.")
    if not low <= value <= high:
        raise InputError(f"{rule} from {low:,} to {high:,}, got '{shown(text)}'.")
    return value


def seed_of(value: object, low: int = 0) -> int:
    """A seed, a whole number that commands take too unless `low` is below 0; an InputError for anything else."""
    return whole(value, "seed must be a whole number", low, 2**63 - 1)


def number(value: object, rule: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number from `low` to `high`, of a text, of what YAML and JSON hold, or of an array or a tensor of one;
    anything else is an InputError."""
    if getattr(value, "ndim", None) == 0:
        value = cast(Any, value).item()
    try:
        found = float(value) if isinstance(value, str | Real) else math.nan  # NumPy's too
    except (ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not math.isfinite(found) or not low <= found <= high:
        raise InputError(f"{rule}, got '{shown(value)}'.")
    return found

"""Lists and ranges of numbers as users write them."""

from __future__ import annotations

from decimal import Decimal

from ..errors import InputError
from ..reading.numbers import decimal, whole
from ..wording import shown

SEVERITIES = (1, 2, 3, 4, 5)
MAX_LAMBDAS = 1000


def parse_severities(text: str) -> tuple[int, ...]:
    """Read "3", "1,3,5" or "1-5"; severities are 1 to 5, and anything else is an InputError."""
    return _whole_numbers(text, "severity", 1, 5, "Write one to five, or 1-5 for all.")


def parse_difficulties(text: str) -> tuple[int, ...]:
    """The same of sequences' difficulties, 1 to 3."""
    return _whole_numbers(text, "difficulty", 1, 3, "Write one to three, or 1-3 for all.")


def parse_depths(text: str) -> tuple[int, ...]:
    """The same of depths of a network, from 0."""
    return _whole_numbers(text, "depth", 0, 1000, "Leave it out for all.")


def _whole_numbers(text: str, name: str, least: int, most: int, remedy: str) -> tuple[int, ...]:
    """The numbers of a list and of ranges `first-last`, each once, in order; an InputError outside least to most."""
    numbers: set[int] = set()
    for part in parts(text, name):
        first, dash, last = part.partition("-")
        rule = f"{name} must be {least} to {most}, a list or a range such as {least}-{most}"
        try:
            low = whole(first, rule)
            high = whole(last, rule) if dash else low
        except InputError:
            raise InputError(f"{rule}, got '{shown(part)}'.") from None
        if not (least <= low <= most and least <= high <= most):
            raise InputError(f"{name} must lie in {least} to {most}, got '{part}'. {remedy}")
        if high < low:
            raise InputError(f"{name} must run upwards in a range, got '{part}'. Write {high}-{low}.")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


def parse_numbers(text: str, name: str) -> tuple[Decimal, ...]:
    """Read a number, a comma list, or ranges `first:last:step` (both ends included), each value once, in order.

    Raises:
        InputError: not numbers, negative, or a range that runs backwards or holds more than `MAX_LAMBDAS` values.
    """
    values: dict[Decimal, None] = {}
    for part in parts(text, name):
        pieces = [_decimal(piece, name) for piece in part.split(":")]
        if len(pieces) == 1:
            values[pieces[0]] = None
            continue
        if len(pieces) != 3:
            raise InputError(f"{name}: a range is first:last:step, such as 0.1:1.4:0.1, got '{part}'.")
        first, last, step = pieces
        if step <= 0 or last < first:
            raise InputError(f"{name}: a range needs first <= last and a step above 0, got '{part}'.")
        if (last - first) / step >= MAX_LAMBDAS:
            raise InputError(f"{name}: '{part}' holds more than {MAX_LAMBDAS} values. Take a larger step.")
        values.update((first + step * index, None) for index in range(int((last - first) / step) + 1))
    return tuple(Decimal(decimal_text(value)) for value in values)


def parts(text: str, name: str) -> list[str]:
    """The members of a comma list, stripped; an InputError with the option's name where one is empty."""
    members = [member.strip() for member in str(text).split(",")]
    if not all(members):
        raise InputError(f"{name} must not be empty, got '{text}'.")
    return members


def _decimal(text: str, name: str) -> Decimal:
    value = decimal(text, f"{name} must be a number, a list or a range such as 0.1:1.4:0.1")
    if value < 0:
        raise InputError(f"{name} must be finite and not negative, got '{text}'.")
    return value


def decimal_text(value: Decimal | float | str) -> str:
    """The shortest plain text of a decimal: 0.10 and 1e-1 are 0.1."""
    text = format(Decimal(str(value)).normalize(), "f")
    return "0" if Decimal(text) == 0 else text

"""Numbers and names in sentences."""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST_NAME = 200
LONGEST_LINE = 4000


def counted(n: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is one: "1 image", "1,000 images"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def visible(text: str, keep: str = "") -> str:
    """A text without the characters that steer a terminal or break a line, but those to keep: ESC stands as \\x1b."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode()
        for char in text
    )


def brief(value: object) -> str:
    """A value as tables print it: a number without needless digits, nothing for None."""
    return "" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def share_text(share: float, decimals: int = 1) -> str:
    """A share in per cent, without its sign: with as many decimals as tell it from none and from all."""
    text = f"{100 * share:.{decimals}f}"
    return (
        share_text(share, decimals + 1)
        if 0 < share < 1 and float(text) in (0, 100) and decimals < 9
        else text
    )


def percent(share: float, decimals: int = 1) -> str:
    """A share as sentences say it."""
    return f"{share_text(share, decimals)} %"


@lru_cache(maxsize=4096)
def natural(text: str) -> tuple[str | float, ...]:
    """The place of a name among others, the numbers in it by value: "steps=2" before "steps=10"."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple(float(part) if place % 2 else part for place, part in enumerate(parts))


def shown(value: object) -> str:
    """What came from outside, as an error line quotes it: visible, and cut where it is long."""
    text = str(value)
    return visible(text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}...")


def one_line(text: str) -> str:
    """A message on one line: visible, each word cut where it is long, and the whole as well."""
    if len(text) > LONGEST_NAME:
        text = " ".join(shown(word) for word in text.split(" "))
    return visible(" ".join(text.splitlines()) if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}...")


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"

"""Numbers in sentences."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is one: "1 image", "1,000 images"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"

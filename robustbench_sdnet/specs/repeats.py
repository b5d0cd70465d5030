"""How the answers of a model that draws random numbers count: several fresh draws an image, and a way to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InputError, unknown

PROTOCOLS = ("mean", "majority", "any")
DRAWS = 11
MOST_DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Repeats:
    """Answers are counted over fresh draws on the final image, which no search has seen; the count alone decides.

    An attack goes on while any draw is right, however the count is read.

    Arrays of counts, NumPy's or torch's, hold how many of the draws were right.

    Attributes:
        draws: fresh answers an image.
        protocol: "mean": an image counts by the share of draws that are right; "majority": it is right where more than
            half are; "any": it is broken by any wrong draw.
    """

    draws: int = DRAWS
    protocol: str = "mean"

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise unknown("protocol", self.protocol, PROTOCOLS)
        if type(self.draws) is not int or not 1 <= self.draws <= MOST_DRAWS:
            raise InputError(f"draws must be a whole number from 1 to {MOST_DRAWS:,}, got {self.draws!r}.")

    def __str__(self) -> str:
        return f"{self.protocol} of {self.draws} draws"

    def right(self, hits: Any) -> Any:
        """(n,) bool: right as a whole; in the mean of draws, by more than half of them."""
        return hits == self.draws if self.protocol == "any" else 2 * hits > self.draws

    def credit(self, hits: Any) -> Any:
        """(n,) what each image counts in an accuracy: a share in the mean of draws, else 0 or 1."""
        return hits / self.draws if self.protocol == "mean" else self.right(hits)

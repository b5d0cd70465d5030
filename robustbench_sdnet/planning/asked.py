"""What `corrupt` asks of images: corruptions at severities or levels, or sequences at difficulties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from ..corruptions.member import STORED
from ..corruptions.parameters import check_table
from ..corruptions.registry import expand
from ..corruptions.sequences.members import expand_sequences
from ..errors import InputError, unknown
from ..specs import SEVERITIES, CorruptionSpec, SequenceSpec
from .questions import corruptions_of, sequence_specs

if TYPE_CHECKING:
    from ..data import ImageData


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A choice that makes sense, whatever the images are.

    Attributes:
        corruptions: names and groups, of sequences where those are asked for.
        severities: 1 to 5; None for all.
        levels: free noise levels, instead of severities.
        table: parameter set; None takes that of the images' size.
        stored: "jpeg85": corrupted images pass through a JPEG of that quality, as ImageNet-C's did.
        sequences: CIFAR-10-P's, in place of corruptions.
        difficulties: of sequences, 1 to 3; None for 1.
        seed: of all draws.

    Raises:
        InputError: an unknown name, or options that do not go together.
    """

    corruptions: str = "all"
    severities: Sequence[int] | None = None
    levels: Sequence[Decimal] | None = None
    table: str | None = None
    stored: str | None = None
    sequences: bool = False
    difficulties: Sequence[int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not set(self.severities or ()) <= set(SEVERITIES):
            raise InputError(f"severities must lie in 1 to 5, got {list(self.severities or ())}.")
        if not self.sequences:
            if self.difficulties is not None:
                raise InputError("--difficulty is of sequences. Give --sequences with it, or --severity.")
            expand(self.corruptions)
            if self.table is not None:
                check_table(self.table)
            if self.stored is not None and self.stored not in STORED:
                raise unknown("storage", self.stored, STORED)
            return
        expand_sequences(self.corruptions)
        given = {
            "severity": self.severities,
            "level": self.levels,
            "table": self.table,
            "stored-as": self.stored,
        }
        for option, value in given.items():
            if value is not None:
                raise InputError(f"Sequences have no --{option}. They take --difficulty 1, 2 or 3.")

    def of(self, data: ImageData) -> list[CorruptionSpec | SequenceSpec]:
        """The specs for a data set.

        Raises:
            InputError: it does not hold what is asked, or its images have another size than sequences are made for.
        """
        if self.sequences:
            return [*sequence_specs(data, self.corruptions, self.difficulties or (1,), self.seed)]
        severities = SEVERITIES if self.severities is None else self.severities
        how = self.levels or (), self.seed, self.table, self.stored or ""
        return [*corruptions_of(data, self.corruptions, severities, *how)]

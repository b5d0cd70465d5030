"""What `corrupt` asks of images: corruptions at severities or levels, or sequences at difficulties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from ..corruptions.members import STORED
from ..corruptions.registry import (
    CORRUPTIONS,
    check_table,
    corruption_info,
    expand,
    foreign_size,
    setting,
    table_for,
)
from ..corruptions.sequences.members import check_sequence_size, expand_sequences, sequence_info
from ..errors import InputError, unknown
from ..reading.numbers import seed_of, whole
from ..reading.options import several
from ..specs import SEVERITIES, CorruptionSpec, SequenceSpec, parse_difficulties, parse_severities
from .questions import corruption_specs

if TYPE_CHECKING:
    from ..data import ImageData
    from ..data.picture_folders import PictureFolders
    from ..data.published_folder import Published


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A choice that makes sense, whatever the images are.

    Attributes:
        corruptions: names and groups, of sequences where those are asked for.
        severities: 1 to 5, from a text such as "1-5" too; None for all.
        levels: free noise levels, instead of severities and of the parameter sets behind them.
        table: parameter set; None takes that of the images' size.
        stored: "jpeg85": corrupted images pass through a JPEG of that quality, as ImageNet-C's did.
        sequences: CIFAR-10-P's, in place of corruptions.
        difficulties: of sequences, 1 to 3; None for 1.
        seed: of all draws.

    Raises:
        InputError: an unknown name, a level that a corruption does not take, or options that do not go together.
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
        object.__setattr__(self, "seed", seed_of(self.seed))
        for name, most, parse in (
            ("severities", 5, parse_severities),
            ("difficulties", 3, parse_difficulties),
        ):
            if (given := getattr(self, name)) is not None:
                listed = parse(given) if isinstance(given, str) else several(given)
                numbers = tuple(whole(value, f"{name} must be whole numbers", 1, most) for value in listed)
                if not numbers:
                    raise InputError(f"{name} is empty. Give one or more numbers from 1 to {most}.")
                object.__setattr__(self, name, numbers)
        if self.sequences:
            self._check_sequences()
        else:
            self._check_corruptions()

    def _check_corruptions(self) -> None:
        if self.difficulties is not None:
            raise InputError("--difficulty is for sequences. Add --sequences, or give --severity instead.")
        for name in expand(self.corruptions):
            for level in self.levels or ():
                setting(name, level=float(level))
        if self.table is not None:
            check_table(self.table)
        if self.stored is not None and self.stored not in STORED:
            raise unknown("storage", self.stored, STORED)
        for option, value in (("severity", self.severities), ("table", self.table)):
            if self.levels is not None and value is not None:
                raise InputError(f"--level sets the parameter itself. Leave out --{option}.")

    def _check_sequences(self) -> None:
        expand_sequences(self.corruptions)
        given = {
            "severity": self.severities,
            "level": self.levels,
            "table": self.table,
            "stored-as": self.stored,
        }
        for option, value in given.items():
            if value is not None:
                raise InputError(f"Sequences take no --{option}. They take --difficulty 1, 2 or 3.")

    def of(self, data: ImageData) -> list[CorruptionSpec | SequenceSpec]:
        """The specs for a data set: what a folder of corrupted images holds, else what is drawn here.

        Raises:
            InputError: it does not hold what is asked, or its images have another size than sequences are made for.
        """
        from ..data.published import PublishedPixels

        shape = data.image_shape
        if self.sequences:
            check_sequence_size(*shape)
            return [
                SequenceSpec(
                    name=name,
                    difficulty=difficulty,
                    frames=info.frames,
                    first=info.noise,
                    seed=self.seed if info.random else 0,
                    version=info.version,
                )
                for difficulty in self.difficulties or (1,)
                for name in expand_sequences(self.corruptions)
                for info in (sequence_info(name, difficulty),)
            ]
        severities = SEVERITIES if self.severities is None else self.severities
        if isinstance(data.pixels, PublishedPixels):
            return [*self._held(data.name, data.pixels.published, severities, shape)]
        chosen = self.table or table_for(*shape)
        table, stored = (chosen, foreign_size(chosen, *shape)), self.stored or ""
        levels = self.levels or ()
        return [
            *corruption_specs(self.corruptions, severities, levels, self.seed, table=table, stored=stored)
        ]

    def _held(
        self, name: str, folder: Published | PictureFolders, severities: Sequence[int], shape: tuple[int, int]
    ) -> Iterator[CorruptionSpec]:
        """Of a folder: one that `data generate` wrote names its seed, versions and table; others count as published."""
        made = folder.generated
        for given, why in (
            (self.seed not in (0, made.seed if made else 0), "is already drawn. Leave out --seed"),
            (self.table, "already fixes its parameters. Leave out --table"),
            (self.stored, "is already stored. Leave out --stored-as"),
            (self.levels, "has severities, not levels. Leave out --level"),
        ):
            if given:
                raise InputError(f"A folder of corrupted images {why}.")
        named = {part.strip() for part in self.corruptions.split(",")}
        found = [one for one in expand(self.corruptions) if one in folder.corruptions or one in named]
        if self.corruptions == "all" and not found:  # a folder of other corruptions, such as C-bar's
            found = [one for one in folder.corruptions if one in CORRUPTIONS]
        lacking = [one for one in found if one not in folder.corruptions]
        if lacking or not found:
            missing = ", ".join(lacking) or self.corruptions
            raise InputError(f"{name} holds {', '.join(folder.corruptions)}, not {missing}.")
        _check_severities(name, {one: folder.severities(one) for one in found}, severities)
        for spec in corruption_specs(found, severities, source="published"):
            if made and spec.name in made.versions:
                yield replace(
                    spec,
                    source="generated",
                    version=made.versions[spec.name],
                    table=made.table,
                    size=foreign_size(made.table, *shape),
                    seed=made.seed if corruption_info(spec.name).random else 0,
                )
            else:
                yield spec


def _check_severities(name: str, held: Mapping[str, Sequence[int]], severities: Sequence[int]) -> None:
    """Refuse, with an InputError, a severity that a folder does not hold of a corruption, as of a part of a set."""
    in_all = set.intersection(*map(set, held.values()))
    remaining = sorted(in_all.intersection(severities) or in_all)
    for corruption, own in held.items():
        for severity in severities:
            if severity not in own:
                fewer = f"Write --severity {','.join(map(str, remaining))}."
                raise InputError(
                    f"{name} holds {corruption} at severity {', '.join(map(str, own))}, not {severity}. "
                    + (fewer if remaining else f"Leave {corruption} out.")
                )

"""A report before it has a format: headings, text, tables and figures. Writers turn it into a file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .numbers import Estimate, ImageSet, Missing, images_text, usual_image_set

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Item = str | int | Estimate | Missing


@dataclass(frozen=True)
class Table:
    """Rows of texts and numbers under named columns.

    Attributes:
        rows: each as long as `columns`.
        left: positions of the columns that are set flush left; all others are numbers and set flush right.
        notes: printed below, one line each.
        stacked: print intervals under their numbers instead of beside them; for tables with many columns.
        filters: positions of the columns that a page offers to filter by.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Item, ...], ...]
    title: str = ""
    left: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()
    stacked: bool = False
    filters: tuple[int, ...] = ()

    @cached_property
    def usual_image_set(self) -> ImageSet | None:
        """How many images, and which, most estimates are of: said once, and beside those that differ from it."""
        return usual_image_set(item for row in self.rows for item in row if isinstance(item, Estimate))

    @property
    def images(self) -> str:
        """The usual images in words; empty where there are none."""
        return "" if self.usual_image_set is None else images_text(self.usual_image_set)

    @property
    def footnotes(self) -> tuple[str, ...]:
        """The notes, the usual number of images before them."""
        return (*([f"n = {self.images}."] if self.images else []), *self.notes)


@dataclass(frozen=True)
class Code:
    """Lines to copy, printed as they are."""

    text: str


@dataclass(frozen=True)
class Figure:
    """A drawing made when a writer asks for it.

    Attributes:
        name: of its file, unique in a document.
        alt: what it shows, for those who cannot see it.
        draw: makes the matplotlib figure anew at each call.
        tables: the numbers that it shows.
    """

    name: str
    title: str
    alt: str
    draw: Callable[[], Drawing]
    tables: tuple[Table, ...] = ()


Block = str | Code | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it.

    Attributes:
        level: 2 for chapters, 3 and 4 below.
        folded: secondary matter that a page may keep closed until it is asked for.
    """

    title: str
    blocks: tuple[Block, ...] = ()
    level: int = 2
    folded: bool = False

    @property
    def tables(self) -> Iterator[Table]:
        """Every table, in order: those that stand alone, and the numbers of figures."""
        for block in self.blocks:
            if isinstance(block, Table):
                yield block
            elif isinstance(block, Figure):
                yield from block.tables


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        lead: what it all comes to, in a sentence or two.
        everything: one row a model, lambda and threat, for formats that can sort and filter.
    """

    title: str
    sections: tuple[Section, ...]
    lead: tuple[str, ...] = ()
    everything: Table | None = None

    @property
    def chapters(self) -> tuple[tuple[Section, ...], ...]:
        """Every section of level 2 with those below it."""
        found = list[list[Section]]()
        for section in self.sections:
            if section.level == 2 or not found:
                found.append([])
            found[-1].append(section)
        return tuple(map(tuple, found))

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure, in order."""
        return tuple(b for section in self.sections for b in section.blocks if isinstance(b, Figure))


def filled(
    title: str, blocks: Iterable[Block | None], *, level: int = 2, folded: bool = False
) -> Iterator[Section]:
    """The section of those blocks that are there and no table without rows; nothing where none is."""
    kept = tuple(block for block in blocks if block and not (isinstance(block, Table) and not block.rows))
    if kept:
        yield Section(title, kept, level, folded)


def plain(name: str) -> str:
    """A name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.") or "unnamed"


def slug(name: str) -> str:
    """A name as a part of a figure's."""
    short = plain(name)[:60]
    # Two names that differ must not share a file.
    return short if short == name else f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"

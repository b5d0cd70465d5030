"""Report formats, one row each: what stores become in a file or a folder.

What draws and writes is imported when a report is written: names of formats, and data, need none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..answers.records import Record, records
from ..answers.snapshot import Snapshot, file_of
from ..errors import InputError
from ..files import write_whole
from .document import Document, Figure
from .writers.records import OUTCOMES_ENDING, outcome_table, to_csv, to_json

if TYPE_CHECKING:
    from ..store.store import Store


@dataclass(frozen=True)
class Sources:
    """What a report is of: open stores, their URLs, or snapshots, and of these some models alone, or one data set."""

    stores: Sequence[str | Store | Snapshot]
    models: Sequence[str] = ()
    data: str | None = None

    @cached_property
    def snapshot(self) -> Snapshot:
        """All stores as one, and of that what is asked for, read when it is first asked for."""
        return Snapshot.read(self.stores).about(self.models, self.data)

    @property
    def files(self) -> list[Path]:
        """Those of the stores that are files."""
        given = (store for store in self.stores if not isinstance(store, Snapshot))
        found = (file_of(store) if isinstance(store, str) else store.path for store in given)
        return [path for path in found if path is not None]

    @property
    def urls(self) -> list[str]:
        """The stores' URLs; an InputError where one is open or a snapshot, or models or a data set are chosen."""
        if self.models or self.data is not None:
            raise InputError("A leaderboard and a bundle are of whole stores. Leave out --model and --data.")
        urls = [store for store in self.stores if isinstance(store, str)]
        if len(urls) < len(self.stores):
            raise InputError("Name the stores of this report by their URLs.")
        return urls


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may ask of a report.

    Attributes:
        target: the file it will be; pictures lie in a folder beside it.
        baseline, with_cost, pictures: as `report` takes them.
    """

    target: Path
    baseline: str | None
    with_cost: bool
    pictures: Path | None


@dataclass(frozen=True, slots=True)
class Format:
    """A row of `FORMATS`.

    Attributes:
        ending: of its file.
        render: what stands in it, or the path where it lies already.
        is_document: for readers: it takes a baseline and pictures of `visualize`.
        is_data: for other programs: it goes to the terminal unless a file is named.
        is_rows: without a sentence, so that what must be known beside them is said on standard error.
        stem: of what lies in the working directory unless another place is named; without one it is `report` beside
            the store.
        is_folder: what it makes is a folder.
        beside: the endings of other files that it writes under the same name.
    """

    ending: str
    render: Callable[[Sources, Options], str | bytes | Path]
    is_document: bool = False
    is_data: bool = False
    is_rows: bool = False
    stem: str = ""
    is_folder: bool = False
    beside: tuple[str, ...] = ()


def _lazy(place: str) -> Callable[..., Any]:
    """A function of this room by its "module:name", imported when it is called."""
    return lambda *given, **named: resolve_name(f"{__package__}.{place}")(*given, **named)


def _document(writer: str, picture: Callable[[Figure, Path], str]) -> Callable[[Sources, Options], str]:
    """A format for readers: the document as the text of a writer, and each figure as what `picture` makes of it."""
    build, render = _lazy("content:build"), _lazy(f"writers.{writer}:render")

    def rendered(sources: Sources, options: Options) -> str:
        document: Document = build(
            sources.snapshot,
            baseline=options.baseline,
            with_cost=options.with_cost,
            pictures=options.pictures,
        )
        text: str = render(document, lambda figure: picture(figure, options.target))
        return text

    return rendered


def _data(render: Callable[[Sequence[Record]], str]) -> Callable[[Sources, Options], str]:
    """A format for programs: the records as text."""
    return lambda sources, options: render(records(sources.snapshot, with_cost=options.with_cost))


def _beside(kind: str) -> Callable[[Figure, Path], str]:
    """A figure as a png or pdf in a folder beside the text; the text gets its relative address."""
    drawn = _lazy(f"plots.style:to_{kind}")

    def save(figure: Figure, target: Path) -> str:
        folder = target.with_name(f"{target.stem}-files")
        path = write_whole(folder / f"{figure.name}.{kind}", drawn(figure.draw()))
        return f"{folder.name}/{path.name}"

    return save


def _inline(figure: Figure, _: Path) -> str:
    """A figure as a part of the page."""
    text: str = _lazy("plots.style:to_svg")(figure.draw(), figure.name)
    return text


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "markdown": Format(".md", _document("markdown", _beside("png")), is_document=True),
        "html": Format(".html", _document("html", _inline), is_document=True),
        "latex": Format(".tex", _document("latex", _beside("pdf")), is_document=True),
        "csv": Format(".csv", _data(to_csv), is_data=True, is_rows=True),
        "json": Format(".json", _data(to_json), is_data=True, is_rows=True),
        "outcomes": Format(
            OUTCOMES_ENDING,
            lambda sources, options: outcome_table(sources.snapshot, options.target),
            is_rows=True,
        ),
        "leaderboard": Format(
            ".html",
            lambda sources, options: _lazy("leaderboard:leaderboard")(sources.urls, options.target),
            stem="leaderboard",
            beside=(".json",),
        ),
        "bundle": Format(
            "",
            lambda sources, options: _lazy("bundle:bundle")(sources.urls, options.target),
            stem="bundle",
            is_folder=True,
        ),
        "tensorboard": Format(
            ".tfevents", lambda sources, options: _lazy("writers.tensorboard:render")(sources.snapshot)
        ),
        "wandb": Format(
            "-wandb",
            lambda sources, options: _lazy("writers.wandb:log")(sources.snapshot, options.target),
            is_folder=True,
        ),
    }
)

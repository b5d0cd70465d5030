"""Report formats, one row each: what a snapshot becomes in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..answers.records import Record, records
from ..answers.snapshot import Snapshot
from ..files import write_whole
from .content import build
from .document import Document, Figure
from .plots import style
from .writers import csv, html, json, latex, markdown, outcomes

Pictures = Callable[[Figure], str]


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may ask of a report.

    Attributes:
        target: the file it will be; pictures lie in a folder beside it.
        baseline: a model, or "MODEL@LAMBDA", whose errors mean corruption errors are divided by.
        with_cost: add seconds, memory, device and versions.
        pictures: a folder of `visualize` whose pictures of the report's models are taken in.
    """

    target: Path
    baseline: str | None = None
    with_cost: bool = False
    pictures: Path | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """A row of `FORMATS`.

    Attributes:
        ending: of its file.
        render: what stands in it.
        is_data: for other programs: it goes to the terminal unless a file is named, and takes no baseline.
    """

    ending: str
    render: Callable[[Snapshot, Options], str | bytes]
    is_data: bool = False


def _document(
    render: Callable[[Document, Pictures], str], picture: Callable[[Figure, Path], str]
) -> Callable[[Snapshot, Options], str]:
    """A format for readers: the document as text, and each figure as what `picture` makes of it."""

    def rendered(snapshot: Snapshot, options: Options) -> str:
        document = build(
            snapshot, baseline=options.baseline, with_cost=options.with_cost, pictures=options.pictures
        )
        return render(document, lambda figure: picture(figure, options.target))

    return rendered


def _data(render: Callable[[Sequence[Record]], str]) -> Callable[[Snapshot, Options], str]:
    """A format for programs: the records as text."""
    return lambda snapshot, options: render(records(snapshot, with_cost=options.with_cost))


def _inline(figure: Figure, _: Path) -> str:
    return style.to_svg(figure.draw(), figure.name)


def _beside(ending: str, draw: Callable[[Figure], bytes]) -> Callable[[Figure, Path], str]:
    """A figure as a file in a folder beside the text; the text gets its relative address."""

    def save(figure: Figure, target: Path) -> str:
        folder = target.with_name(f"{target.stem}-files")
        path = write_whole(folder / f"{figure.name}{ending}", draw(figure))
        return f"{folder.name}/{path.name}"

    return save


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "markdown": Format(
            ".md", _document(markdown.render, _beside(".png", lambda figure: style.to_png(figure.draw())))
        ),
        "html": Format(".html", _document(html.render, _inline)),
        "latex": Format(
            ".tex", _document(latex.render, _beside(".pdf", lambda figure: style.to_pdf(figure.draw())))
        ),
        "csv": Format(".csv", _data(csv.render), is_data=True),
        "json": Format(".json", _data(json.render), is_data=True),
        "outcomes": Format(
            outcomes.ENDING, lambda snapshot, options: outcomes.render(snapshot, options.target)
        ),
    }
)

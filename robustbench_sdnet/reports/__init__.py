"""Reports: the records of a store as Markdown, a web page, LaTeX, CSV or JSON. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, unknown
from ..files import write_whole
from ..specs import DEFAULT_STORE

if TYPE_CHECKING:
    from ..answers.snapshot import Snapshot
    from ..store.store import Store
    from .document import Document, Figure

# Format -> the ending of its file. The last two are data for other programs.
FORMATS = {"markdown": ".md", "html": ".html", "latex": ".tex", "csv": ".csv", "json": ".json"}
DATA_FORMATS = ("csv", "json")


def report(
    store: str | Store | Snapshot = DEFAULT_STORE,
    to: str = "markdown",
    *,
    output: str | Path | None = None,
    baseline: str | None = None,
    with_cost: bool = False,
) -> Path | str:
    """Write the report of a store. Two reports of the same answers are equal, byte for byte.

    Args:
        store: an open result store, its URL, or a snapshot of it.
        to: one of `FORMATS`.
        output: the file to write. Without it markdown, html and latex go to `report.*` beside the store,
            pictures into a folder `report-files` beside that; csv and json are returned as text.
        baseline: a model, or "MODEL@LAMBDA", whose errors mean corruption errors are divided by.
        with_cost: add seconds, memory, device and versions. They differ from run to run.

    Returns:
        The path of the file, or the text where no file was written.

    Raises:
        InputError: an unknown format or baseline.
        StoreError: the store does not exist, is damaged or empty.
        WriteError: the file cannot be written.
    """
    if to not in FORMATS:
        raise unknown("report format", to, FORMATS)
    if baseline is not None and to in DATA_FORMATS:
        raise InputError(f"A baseline changes nothing in {to}, which holds accuracies alone. Leave it out.")
    text: str | bytes
    if to in DATA_FORMATS:
        text = _data(store, to, with_cost)
        if output is None:
            return text
        return write_whole(Path(output), text)
    from ..answers.snapshot import Snapshot
    from .content import build

    snapshot = Snapshot.read(store)
    target = Path(output) if output is not None else snapshot.folder / f"report{FORMATS[to]}"
    document = build(snapshot, baseline=baseline, with_cost=with_cost)
    return write_whole(target, _render(document, to, target))


def _data(store: str | Store | Snapshot, to: str, with_cost: bool) -> str:
    from ..answers.records import records
    from .writers import csv, json

    rows = records(store, with_cost=with_cost)
    return (csv.render if to == "csv" else json.render)(rows, tuple(rows[0]))


def _render(document: Document, to: str, target: Path) -> str:
    from .plots import style
    from .writers import html, latex, markdown

    if to == "html":
        return html.render(document, lambda figure: style.to_svg(figure.draw(), figure.name))
    folder = target.with_name(f"{target.stem}-files")
    if to == "latex":
        return latex.render(document, _picture(folder, ".pdf", lambda figure: style.to_pdf(figure.draw())))
    return markdown.render(document, _picture(folder, ".png", lambda figure: style.to_png(figure.draw())))


def _picture(folder: Path, ending: str, draw: Callable[[Figure], bytes]) -> Callable[[Figure], str]:
    def save(figure: Figure) -> str:
        path = write_whole(folder / f"{figure.name}{ending}", draw(figure))
        return f"{folder.name}/{path.name}"

    return save

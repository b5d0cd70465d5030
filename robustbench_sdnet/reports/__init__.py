"""Reports: the records of a store as Markdown, a web page, LaTeX, CSV or JSON. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, unknown
from ..files import write_whole
from ..specs import DEFAULT_STORE

if TYPE_CHECKING:
    from ..store.store import Store
    from .document import Document, Figure

# Format -> the ending of its file. The last two are data for other programs.
FORMATS = {"markdown": ".md", "html": ".html", "latex": ".tex", "csv": ".csv", "json": ".json"}
DATA_FORMATS = ("csv", "json")


def report(
    store: str | Store = DEFAULT_STORE,
    to: str = "markdown",
    *,
    output: str | Path | None = None,
    baseline: str | None = None,
    with_cost: bool = False,
) -> Path | str:
    """Write the report of a store. Two reports of the same answers are equal, byte for byte.

    Args:
        store: an open result store or its URL.
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
    target = Path(output) if output is not None else beside(store) / f"report{FORMATS[to]}"
    document = _document(store, baseline, with_cost)
    return write_whole(target, _render(document, to, target))


def _data(store: str | Store, to: str, with_cost: bool) -> str:
    from ..answers.records import COST_FIELDS, DISTANCE_FIELDS, FIELDS, records
    from .writers import csv, json

    rows = records(store, with_cost=with_cost)
    distances = DISTANCE_FIELDS if any(key in row for row in rows for key in DISTANCE_FIELDS) else ()
    fields = (*FIELDS, *distances, *(COST_FIELDS if with_cost else ()))
    render = csv.render if to == "csv" else json.render
    return render(rows, fields)


def _document(store: str | Store, baseline: str | None, with_cost: bool) -> Document:
    from ..answers.comparisons import comparisons
    from ..answers.distances import distances
    from ..answers.records import provenance, records
    from ..answers.rivals import rivals
    from ..store.store import Store
    from .content import build

    if isinstance(store, str):
        with Store(store, must_exist=True) as opened:
            return _document(opened, baseline, with_cost)
    found = records(store, with_cost=with_cost)
    return build(
        found,
        provenance(store),
        checks=store.verdicts(),
        compared=comparisons(store),
        rivals=rivals(store),
        distances=distances(store),
        baseline=baseline,
        with_cost=with_cost,
    )


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


def beside(store: str | Store) -> Path:
    """The folder of a store, where its reports go unless told otherwise."""
    if isinstance(store, str):
        from sqlalchemy.engine import make_url

        url = make_url(store)
        return (
            Path(url.database).parent if url.get_backend_name() == "sqlite" and url.database else Path("runs")
        )
    return store.path.parent if store.path else Path("runs")

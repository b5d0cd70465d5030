"""A report as a run of Weights & Biases: parameters, a chart for each curve, tables, figures, and the records."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ...answers.records import records
from ...answers.snapshot import Snapshot
from ...tracking import start_wandb
from ...wording import visible
from ..numbers import Estimate, Missing
from ..plots import style
from ..tracked import tag, tracked

MOST_ROWS = 10_000  # of a table, more than which Weights & Biases does not show


def log(snapshot: Snapshot, target: Path) -> Path:
    """Log the report, end the run and return its own folder, which lies in `target`.

    Raises:
        InputError: wandb is not installed, or cannot be logged in to.
        WriteError: the folder cannot be made.
    """
    found, flat = tracked(snapshot), records(snapshot)
    with start_wandb(target, found.document.title, found.parameters, kind="report") as run:
        import wandb

        folder = Path(run.settings.sync_dir)
        lead = [[sentence] for sentence in found.document.lead]
        run.log({"what it comes to": wandb.Table(**_cells(["sentence"], lead))})
        for curve in found.curves:
            axis, name = curve.along(curve.unit), curve.tag(curve.unit)
            run.define_metric(axis)
            run.define_metric(name, step_metric=axis)
            for position, accuracy in curve.points:
                run.log({axis: curve.unit * position, name: accuracy})
        for name, table in found.tables:
            cells = _cells(table.columns, table.rows)
            run.log({f"tables/{_called(name, len(table.rows))}": wandb.Table(**cells)})
        cells = _cells(list(flat[0]), [list(row.values()) for row in flat])
        run.log({_called("records", len(flat)): wandb.Table(**cells)})
        for figure in found.document.figures:
            picture = Image.open(io.BytesIO(style.to_png(figure.draw())))
            run.log({f"figures/{tag(figure.name)}": wandb.Image(picture, caption=visible(figure.alt))})
    return folder


def _called(name: str, rows: int) -> str:
    """A table's name, which says what of so many rows is left out."""
    return name if rows <= MOST_ROWS else tag(f"{name}: the first {MOST_ROWS:,} of {rows:,} rows")


def _cells(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """What a table of Weights & Biases is made of; two columns of one name are numbered."""
    names = [visible(column) for column in columns]
    unique = [name if name not in names[:i] else f"{name} ({i + 1})" for i, name in enumerate(names)]
    data = [[_shown(value) for value in row] for row in rows[:MOST_ROWS]]
    return {"columns": unique, "data": data, "allow_mixed_types": True}


def _shown(value: Any) -> Any:
    """A cell: an accuracy with its marks, interval and images, nothing where it is missing or NaN."""
    if isinstance(value, Estimate):
        return f"{value.text} [{value.interval()}]{value.count_beside(None)}"
    if isinstance(value, str):
        return visible(value)
    return None if isinstance(value, Missing) or value != value else value

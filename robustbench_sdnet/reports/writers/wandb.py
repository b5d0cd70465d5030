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
from ..document import Item
from ..numbers import Estimate, Missing
from ..plots import style
from ..tracked import tag, tracked

MOST_ROWS = 10_000  # of a table, more than which Weights & Biases does not show


def log(snapshot: Snapshot, target: Path) -> Path:
    """Log the report and end the run.

    Args:
        target: the folder that the run's own lies in.

    Returns:
        The run's own folder.

    Raises:
        InputError: wandb is not installed, or cannot be logged in to.
        WriteError: the folder cannot be made.
    """
    found = tracked(snapshot)
    with start_wandb(target, found.document.title, found.parameters, kind="report") as run:
        folder = Path(run.settings.sync_dir)
        for curve in found.curves:
            run.define_metric(curve.axis)
            run.define_metric(curve.tag, step_metric=curve.axis)
            for position, accuracy in curve.points:
                run.log({curve.axis: position, curve.tag: accuracy})
        for name, table in found.tables:
            run.log({f"tables/{name}": _table(table.columns, [_texts(row) for row in table.rows])})
        flat = records(snapshot)
        run.log(
            {"records": _table(list(flat[0]), [[_plain(value) for value in row.values()] for row in flat])}
        )
        for figure in found.document.figures:
            picture = Image.open(io.BytesIO(style.to_png(figure.draw())))
            run.log({f"figures/{tag(figure.name)}": _image(picture, visible(figure.alt))})
    return folder


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    import wandb

    names = [visible(column) for column in columns]
    unique: list[str | int] = [
        name if name not in names[:i] else f"{name} ({i + 1})" for i, name in enumerate(names)
    ]
    return wandb.Table(columns=unique, data=[list(row) for row in rows[:MOST_ROWS]], allow_mixed_types=True)


def _image(picture: Image.Image, caption: str) -> Any:
    import wandb

    return wandb.Image(picture, caption=caption)


def _texts(row: Sequence[Item]) -> list[str | int | None]:
    return [_shown(item) for item in row]


def _shown(item: Item) -> str | int | None:
    """A cell as a table prints it: an accuracy with its interval and marks, nothing where it is missing."""
    if isinstance(item, Missing):
        return None
    if isinstance(item, Estimate):
        number = f"({item.percent})" if item.transfer else item.percent
        return f"{number} [{item.interval()}]" + (" untrusted" if item.untrusted else "")
    return visible(item) if isinstance(item, str) else item


def _plain(value: Any) -> Any:
    """A record's value as a table holds it; NaN as nothing."""
    if isinstance(value, str):
        return visible(value)
    return None if isinstance(value, float) and value != value else value

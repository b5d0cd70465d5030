"""What `corrupt` and `attack` share: run a plan with progress, then print its records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .progress import shown_progress

if TYPE_CHECKING:
    from ..evaluation.api import Ready, Setting
    from ..specs import Cell, LambdaSpec, ModelSpec


@dataclass(frozen=True)
class Asked:
    """The options that say where and on what to run."""

    models: Sequence[str]
    data: str | None
    data_root: str | None
    split: str
    limit: int | None
    store: str
    runs: Path
    device: str
    batch_size: int | None
    precision: str = "auto"

    def setting(self) -> Setting:
        """The same for the evaluation."""
        from ..evaluation.api import Setting

        return Setting(**asdict(self))


def finish(
    ready: Ready, cells: Sequence[Cell], asked: Asked, verb: str, as_json: bool, verdicts: str | None = None
) -> None:
    """Answer the cells, check the attacks where asked to, then print the records as a table or as JSON."""
    from ..evaluation import api
    from ..evaluation.records import records

    with shown_progress(verb, quiet=as_json) as update:
        progress = api.answer(ready, cells, asked.setting(), on_progress=update)
    failures = _check(ready, cells, asked, cheap=verdicts == "cheap") if verdicts else []
    wanted = {cell.id for cell in cells}
    rows = [row for row in records(asked.store) if wanted.issuperset(row["cell"].split("+"))]
    if as_json:
        click.echo(json.dumps(rows, indent=2, allow_nan=False, default=str))
        return
    click.echo(table(rows))
    for line in failures:
        click.echo(line)
    click.echo(
        f"{progress.shards} shards computed, {progress.stored} were stored already, in {asked.store}. "
        "Draw the report: sdnet-bench report to markdown"
    )


def _check(ready: Ready, cells: Sequence[Cell], asked: Asked, *, cheap: bool) -> list[str]:
    """Diagnose the attacks; a line for every warning and failure."""
    from ..evaluation.checks import check
    from ..evaluation.store import Store

    names = {cell.id: f"{cell.model.name}, {cell.perturbation.label}" for cell in cells}
    with Store(asked.store) as store:
        found = check(
            cells,
            store=store,
            worker=ready.worker,
            cheap=cheap,
            on_check=lambda cell: click.echo(f"Checking {names[cell.id]}.", err=True),
        )
    return [
        f"{verdict.verdict}: {names[cell_id]}: {verdict.check}: {verdict.sentence}"
        for cell_id, verdicts in found.items()
        for verdict in verdicts
        if verdict.verdict in ("warn", "fail")
    ]


def say_fit(model: ModelSpec, lam: LambdaSpec) -> None:
    """Say that a policy is being fitted, which takes a while once a model."""
    click.echo(f"Fitting lambda policy {lam.text} for {model.name} on training images.", err=True)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Records as a table that fits a terminal: one line an answer, accuracy with its 95 % interval."""
    from tabulate import tabulate

    lines = [
        (
            row["model"],
            row["kind"],
            row["perturbation"],
            _budget(row),
            _text(row["lambda"]),
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['low']:.1f}-{100 * row['high']:.1f}",
            row["n"],
            "untrusted" if row["verdict"] == "untrusted" else "",
        )
        for row in rows
    ]
    headers = ["model", "kind", "perturbation", "level", "lambda", "acc. %", "95 %", "n", ""]
    aligned = ("left", "left", "left", "right", "right", "right", "right", "right", "left")
    return (
        tabulate(lines, headers=headers, colalign=aligned, disable_numparse=True)
        if lines
        else "Nothing was asked."
    )


def _budget(row: dict[str, Any]) -> str:
    if row["eps"] is not None:
        return f"{row['eps']}" if row["norm"] == "linf" else f"{row['eps']} {row['norm']}"
    return _text(row["severity"])


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

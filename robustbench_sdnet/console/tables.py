"""What `corrupt` and `attack` share: run a plan with progress, then print its records."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..corruptions.member import TABLES
from ..specs import DEFAULT_STORE, CorruptionSpec, distance_text
from . import findings
from .output import say, say_json, warn
from .progress import shown_progress

if TYPE_CHECKING:
    from ..answers.snapshot import Snapshot
    from ..running.ready import Ready
    from ..specs import Cell


Record = dict[str, Any]
SCREEN = 60  # lines
MEDIAN = "median dist.: within it half of the images break; 'report' draws accuracy at every eps from all distances."


@dataclass(frozen=True)
class Saving:
    """Where perturbed images go, and whether they are also rounded to 8 bits."""

    folder: Path
    eight_bit: bool


def finish(
    ready: Ready,
    cells: Sequence[Cell],
    verb: str,
    as_json: bool,
    verdicts: str | None = None,
    saving: Saving | None = None,
) -> None:
    """Answer the cells, check and save the attacks where asked to, then print the records as tables or as JSON."""
    from ..answers.records import records
    from ..answers.snapshot import Snapshot
    from ..running.ready import answer
    from ..running.runner import ModelsFailed
    from ..store.database import shown

    say_doubts(ready)
    say_table(cells)
    failure = None
    try:
        with shown_progress(verb, quiet=as_json) as update:
            progress = answer(ready, cells, ready.setting, keep_images=saving is not None, on_progress=update)
    except ModelsFailed as error:  # what the others answered is shown all the same
        failure, progress = error, error.progress
        cells = [cell for cell in cells if cell.model.name not in progress.failed]
        if not cells:
            raise
    failures = _check(ready, cells, cheap=verdicts == "cheap") if verdicts else []
    if saving:
        _save(ready, cells, saving)
    snapshot = Snapshot.read(ready.setting.store, only={cell.id for cell in cells}, limit=ready.count)
    say_silence(snapshot)
    rows = records(snapshot)
    if as_json:
        say_json(rows)
        if failure:
            raise failure
        return
    say(table(rows))
    if any(_distance(row) for row in rows):
        say(MEDIAN)
    for line in failures:
        say(line)
    say(
        f"{progress.shards} shards computed, {progress.stored} were stored already, in {shown(ready.setting.store)}. "
        f"Draw the report: sdnet-bench report to markdown{_store_option(ready.setting.store)}"
    )
    if failure:
        raise failure


def say_doubts(ready: Ready) -> None:
    """Warn of models that were trained on other data, or expect images of another convention."""
    from ..diagnostics.doubts import input_doubts, training_doubts

    for doubt in (*ready.notes, *training_doubts(ready.models, ready.data, ready.setting.data_root)):
        warn(doubt)
    for doubt in input_doubts(ready.models, ready.worker):
        warn(doubt)


def say_table(cells: Sequence[Cell]) -> None:
    """Note corruptions whose parameters were made for images of another size."""
    specs = [cell.perturbation for cell in cells if isinstance(cell.perturbation, CorruptionSpec)]
    for size, name in sorted({(spec.size, spec.table) for spec in specs if spec.size}):
        side = TABLES[name]
        say(f"Note: images of {size} are corrupted with the {name} table, made for {side}x{side}.", err=True)


def say_silence(snapshot: Snapshot) -> None:
    """Warn of attacks whose first gradients were zero or not finite: there they stand still."""
    from ..attacks.signs import stands_still

    for answered in snapshot.answered:
        found = stands_still(answered.cost.gradients, answered.cost.silent)
        if found and answered.cell.kind == "attack":
            warn(f"{_name(answered.cell)}: {found} Its accuracy is untrusted.")


def _check(ready: Ready, cells: Sequence[Cell], *, cheap: bool) -> list[str]:
    """Diagnose the attacks; a line for every warning and failure, and one that sums up."""
    from ..diagnostics.of_cells import diagnose_cells
    from ..store.store import Store

    names = {cell.id: _name(cell) for cell in cells}
    with Store(ready.setting.store) as store:
        found = diagnose_cells(
            cells,
            store=store,
            worker=ready.worker,
            cheap=cheap,
            on_check=lambda cell: say(f"Checking {names[cell.id]}.", err=True),
        )
    lines = [
        f"{verdict.verdict}: {names[cell_id]}: {verdict.check}: {verdict.sentence}"
        for cell_id, verdicts in found.items()
        for verdict in verdicts
        if verdict.verdict in ("warn", "fail")
    ]
    return [*lines, findings.of_attacks(list(found.values()))]


def _name(cell: Cell) -> str:
    """An attack among others of one command: its eps and lambda too."""
    eps, lam = getattr(cell.perturbation, "eps", None), cell.lam
    parts = [cell.perturbation.label, f"eps {eps}" if eps else "", f"lambda {lam.text}" if lam else ""]
    return f"{cell.model.name}, {', '.join(part for part in parts if part)}"


def _save(ready: Ready, cells: Sequence[Cell], saving: Saving) -> None:
    """Write the perturbed images and say how accurate the model is on what was written."""
    from ..running.adversarials import save_cells
    from ..store.store import Store

    with Store(ready.setting.store) as store:
        for _, saved in save_cells(
            cells,
            store=store,
            worker=ready.worker,
            count=ready.count,
            folder=saving.folder,
            eight_bit=saving.eight_bit,
        ):
            rounded = "" if saved.accuracy_8bit is None else f", rounded to 8 bits {saved.accuracy_8bit:.1%}"
            say(f"Saved {saved.path}: accuracy {saved.accuracy:.1%}{rounded}", err=True)


def table(rows: Sequence[Record]) -> str:
    """Records as tables that fit a terminal: corruptions by severity, everything else one line an answer."""
    corruptions = [row for row in rows if row["kind"] == "corruption"]
    parts = [_answers([row for row in rows if row["kind"] != "corruption"]), _severities(corruptions)]
    return "\n\n".join(part for part in parts if part) or "Nothing was asked."


def _answers(rows: Sequence[Record]) -> str:
    from tabulate import tabulate

    lines = [
        (
            row["model"],
            row["kind"].replace("_", " "),
            row["perturbation"],
            _budget(row),
            _text(row["lambda"]),
            _text(row["lambda_attack"]) if row["kind"] == "transfer" else "",
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['low']:.1f}-{100 * row['high']:.1f}",
            _distance(row),
            row["n"],
            "untrusted" if row["verdict"] == "untrusted" else "",
        )
        for row in rows
    ]
    headers = ["model", "kind", "perturbation", "eps", "lambda", "made at", "acc. %", "95 %"]
    headers += ["median dist.", "n", ""]
    aligned = ("left", "left", "left", *("right",) * 7, "left")
    kept = [
        i
        for i, name in enumerate(headers)
        if name in ("model", "n", "95 %") or any(line[i] for line in lines)
    ]
    return (
        tabulate(
            [[line[i] for i in kept] for line in lines],
            headers=[headers[i] for i in kept],
            colalign=[aligned[i] for i in kept],
            disable_numparse=True,
        )
        if lines
        else ""
    )


def _severities(rows: Sequence[Record]) -> str:
    """Accuracy in % by severity; where that is too long for a screen, the mean over the corruptions alone."""
    from tabulate import tabulate

    names = list(dict.fromkeys(row["perturbation"] for row in rows))
    severities = sorted({row["severity"] or 0 for row in rows})
    questions = dict.fromkeys((row["model"], _text(row["lambda"]), row["n"]) for row in rows)
    found = {
        (row["model"], _text(row["lambda"]), row["n"], row["perturbation"], row["severity"] or 0): row[
            "accuracy"
        ]
        for row in rows
    }
    whole = len(names) * len(questions) <= SCREEN
    lines = []
    for question in questions:
        for chosen in [[name] for name in names] if whole else [names]:
            means = [
                _mean([found.get((*question, name, severity)) for name in chosen]) for severity in severities
            ]
            label = chosen[0] if whole else f"mean of {len(names)}"
            cells = [*means, _mean(means)] if len(severities) > 1 else means
            lines.append([*question[:2], label, *(_percent(value) for value in cells), question[2]])
    columns = [str(severity) if severity else "acc. %" for severity in severities]
    headers = ["model", "lambda", "corruption", *columns, *(["mean"] if len(columns) > 1 else []), "n"]
    aligned = ["left", "right", "left", *["right"] * (len(headers) - 3)]
    return tabulate(lines, headers=headers, colalign=aligned, disable_numparse=True) if lines else ""


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of what was all run, or None."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _store_option(store: str) -> str:
    """What to add to a command so that it reads the same store."""
    from ..store.database import shown

    return "" if store == DEFAULT_STORE else f" --store {shlex.quote(shown(store))}"


def _budget(row: Record) -> str:
    if row["eps"] is not None:
        return f"{row['eps']}" if row["norm"] == "linf" else f"{row['eps']} {row['norm']}"
    return _text(row["severity"])


def _distance(row: Record) -> str:
    """The median distance of a minimal-norm attack, Linf in pixel levels."""
    if row["kind"] != "attack" or row["eps"] is not None or "median_distance" not in row:
        return ""
    text = distance_text(row["median_distance"], row["norm"])
    return text if text == "-" else f"{text} {row['norm']}"


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

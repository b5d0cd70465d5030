"""What `corrupt` and `attack` share: run a plan with progress, then print its records."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..corruptions.members import TABLES
from ..errors import SdnetBenchError, StoreError, WriteError
from ..specs import DEFAULT_STORE, AttackSpec, CorruptionSpec
from ..wording import counted, share_text
from . import findings
from .output import say, say_json, warn
from .progress import shown, shown_progress
from .tables import distance, table

if TYPE_CHECKING:
    from ..answers.snapshot import Snapshot
    from ..running.ready import Ready
    from ..specs import Cell, Eps, LambdaSpec


MEDIAN = (
    "median dist.: half of the images break within it (-: fewer do); 'report' draws accuracy at every eps."
)


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
    lambdas: Sequence[LambdaSpec] = (),
) -> None:
    """Answer the cells, check and save the attacks where asked to, then print the records as tables or as JSON."""
    from ..answers.records import records
    from ..answers.snapshot import Snapshot
    from ..running.ready import answer
    from ..running.runner import ModelsFailed
    from ..store.database import shown_url

    attacks = [cell.perturbation for cell in cells if isinstance(cell.perturbation, AttackSpec)]
    say_doubts(ready, lambdas, [(attack.norm, attack.eps) for attack in attacks])
    say_table(cells)
    failure: SdnetBenchError | None = None
    failures: list[str] = []
    with closing(ready.engine):
        try:
            with shown_progress(verb, quiet=as_json) as update:
                progress = answer(ready, cells, keep_images=saving is not None, on_progress=update)
        except ModelsFailed as error:  # what the others answered is shown all the same
            failure, progress = error, error.progress
            cells = [cell for cell in cells if cell.model.name not in progress.failed]
            if not cells:
                raise
        if verdicts:
            failures, failed = _check(ready, cells, verb, cheap=verdicts == "cheap", quiet=as_json)
            progress.failed |= failed
            failure = ModelsFailed(progress) if progress.failed else None
    try:
        if saving:
            _save(ready, cells, saving)
    except (StoreError, WriteError) as error:
        if failure:
            warn(str(error))  # the failure says why
        failure = failure or error
    snapshot = Snapshot.read(ready.setting.store, only={cell.id for cell in cells}, limit=ready.count)
    say_silence(snapshot)
    rows = records(snapshot)
    if as_json:
        say_json(rows)
    else:
        say(table(rows))
        for line in (*([MEDIAN] if any(map(distance, rows)) else []), *failures):
            say(line)
        store = ready.setting.store
        named = "" if store == DEFAULT_STORE else f" --store {shlex.quote(shown_url(store))}"
        computed = counted(progress.done_shards, "shard")
        were = "was" if progress.stored == 1 else "were"
        say(
            f"{computed} computed, {progress.stored:,} {were} stored already, in {shown_url(store)}. "
            f"To write the report, {snapshot.folder / 'report.md'}: sdnet-bench report to markdown{named}"
        )
    if failure:
        raise failure


def say_doubts(
    ready: Ready,
    lambdas: Sequence[LambdaSpec] = (),
    budgets: Iterable[tuple[str, Eps | None]] = (),
    *,
    pairs: bool = False,
) -> None:
    """Warn of models that were trained on other data, or expect images of another convention, and the like."""
    from ..diagnostics.doubts import doubts

    for doubt in doubts(ready, lambdas, budgets, pairs=pairs):
        warn(doubt)


def say_table(cells: Sequence[Cell]) -> None:
    """Note corruptions whose parameters were made for images of another size."""
    specs = [cell.perturbation for cell in cells if isinstance(cell.perturbation, CorruptionSpec)]
    for size, name in sorted({(spec.size, spec.table) for spec in specs if spec.size}):
        side = TABLES[name]
        say(f"Note: images of {size} are corrupted with the {name} table, made for {side}x{side}.", err=True)


def say_silence(snapshot: Snapshot) -> None:
    """Warn of attacks whose first gradients were zero or not finite: there they stall."""
    from ..attacks.engine.result import stands_still

    for answered in snapshot.answered:
        found = stands_still(answered.cost.gradients, answered.cost.silent)
        if found and answered.cell.kind == "attack":
            warn(f"{answered.cell.words}: {found} Its accuracy is untrusted.")


def _check(
    ready: Ready, cells: Sequence[Cell], verb: str, *, cheap: bool, quiet: bool
) -> tuple[list[str], dict[str, str]]:
    """Diagnose the attacks: a line for every warning and failure, and one that sums up; and why models failed in it."""
    from ..diagnostics.of_cells import diagnose_cells
    from ..store.store import Store

    names = {cell.id: cell.words for cell in cells}
    with Store(ready.setting.store) as store, shown(f"{verb}, diagnostics", quiet=quiet) as display:
        found, failed = diagnose_cells(
            cells,
            store=store,
            worker=ready.worker,
            engine=ready.engine,
            cheap=cheap,
            on_check=display.update,
        )
    lines = [
        f"{verdict.verdict}: {names[cell_id]}: {verdict.check}: {verdict.sentence}"
        for cell_id, verdicts in found.items()
        for verdict in verdicts
        if verdict.verdict in ("warn", "fail")
    ]
    if found or not failed:
        lines.append(findings.of_attacks(list(found.values())))
    return lines, failed


def _save(ready: Ready, cells: Sequence[Cell], saving: Saving) -> None:
    """Write the perturbed images and say how accurate the model is on what was written."""
    from ..running.adversarials import save_cells
    from ..store.store import Store

    with Store(ready.setting.store) as store:
        for saved in save_cells(
            cells,
            store=store,
            worker=ready.worker,
            count=ready.count,
            folder=saving.folder,
            eight_bit=saving.eight_bit,
        ):
            low = saved.accuracy_8bit
            rounded = "" if low is None else f", rounded to 8 bits {share_text(low)} %"
            say(f"Saved {saved.path}: accuracy {share_text(saved.accuracy)} %{rounded}", err=True)

"""A study from its first question to its last diagnostic: everything goes through the store, so it resumes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from ..answers.trust import NOT_RUN
from ..errors import level_of_the_caller
from ..planning import questions
from ..planning.asked import Asked
from ..planning.setting import Setting
from ..planning.study import NOISES, Budget, lambdas
from ..running import policies
from ..running.cells import attack_plan, corruption_plan
from ..running.ready import Ready, answer_some, prepare
from ..running.runner import Progress
from ..specs import AttackSpec, Cell, Eps, LambdaSpec
from ..store.store import Store
from .of_cells import IMAGES, OnCheck, diagnose_cells

OnProgress = Callable[[Progress], None]


def _unseen(_: str) -> AbstractContextManager[OnProgress]:
    """Without a display the notes alone are told, as Python's warnings."""
    warned: set[str] = set()

    def update(progress: Progress) -> None:
        for note in progress.notes:
            if note not in warned:
                warned.add(note)
                warnings.warn(note, stacklevel=level_of_the_caller())

    return nullcontext(update)


@dataclass(frozen=True)
class Watching:
    """Who is told of a study's progress.

    Attributes:
        stage: from what a stage is called to a context that takes its progress.
        fit, check: told of policies that are fitted, and of attacks that are diagnosed.
        ready: told of models and data before any work.
    """

    stage: Callable[[str], AbstractContextManager[OnProgress]] = _unseen
    fit: policies.OnFit = lambda progress: None
    check: OnCheck = lambda done, total, words: None
    ready: Callable[[Ready], None] = lambda ready: None


def answer_study(
    setting: Setting,
    budget: Budget,
    eps: Sequence[Eps],
    *,
    norm: str,
    seed: int,
    scope: str,
    watching: Watching,
) -> tuple[list[Cell], Mapping[str, str]]:
    """Ask everything, store every answer, and diagnose the attacks; what is stored already is not done again.

    Args:
        setting: its `limit`, where given, takes the place of both numbers of images of the budget.
        eps: the attacks' budgets.
        scope: the layers that lambda is set on, "stem" or "all".

    Returns:
        Every cell of the study (without attacks where the budget has none), and by name why models failed; the others'
        answers are stored.
    """
    setting = replace(setting, calibration_images=budget.calibration)
    ready = prepare(setting)
    watching.ready(ready)
    count = min(setting.limit or budget.images, len(ready.data))
    numbers = lambdas(ready.models, budget.numbers, budget.policies, scope)
    noises = Asked(corruptions=NOISES, severities=budget.severities, seed=seed).of(ready.data)
    for noise, levels in budget.levels.items():
        decimals = [Decimal(str(level)) for level in levels]
        noises += Asked(corruptions=noise, levels=decimals, seed=seed).of(ready.data)
    with closing(ready.engine):
        cells = corruption_plan(ready, noises, numbers, setting.precision, watching.fit)
        with watching.stage("noise") as update:
            answer_some(replace(ready, count=count), cells, update)
        if not budget.attacked:
            return cells, ready.failed
        attack_numbers = lambdas(ready.sound, budget.attack_numbers, budget.policies, scope)
        attacks = attack_cells(ready, budget, eps, attack_numbers, norm, seed)
        ready = replace(ready, count=min(setting.limit or budget.attacked, len(ready.data)))
        with watching.stage("attacks") as update:
            answer_some(ready, attacks, update)
        _diagnose(ready, attacks, budget, watching.check)
    return list(dict.fromkeys([*cells, *attacks])), ready.failed


def attack_cells(
    ready: Ready,
    budget: Budget,
    eps: Sequence[Eps],
    chosen: Sequence[LambdaSpec],
    norm: str,
    seed: int,
) -> list[Cell]:
    """PGD at every lambda evaluated at every lambda, then Square, with random noise beside them."""

    def specs(name: str, steps: int) -> list[AttackSpec]:
        return questions.attack_specs(name, eps, norm, {"steps": str(steps)}, seed)

    pgd = specs("pgd", budget.steps)
    cells = attack_plan(ready, pgd, chosen, chosen)
    if budget.warm_start:
        cells += attack_plan(ready, pgd, chosen, warm_start=True)
    cells += attack_plan(ready, specs("square", budget.queries), chosen, eps_curve=False)
    return list(dict.fromkeys(cells))


def _diagnose(ready: Ready, cells: Sequence[Cell], budget: Budget, on_check: OnCheck) -> None:
    """Diagnose every ordinary PGD that was not diagnosed so far as asked, on as many images as it answered."""
    with Store(ready.setting.store) as store:
        ranges, verdicts = store.ranges(), store.verdicts()
        todo = []
        for cell in cells:
            spec = cell.perturbation
            is_pgd = isinstance(spec, AttackSpec) and spec.name == "pgd" and not cell.warm
            if is_pgd and cell.model in ready.sound:
                answered = max((stop for _, stop in ranges.get(cell.id, ())), default=0)
                if not _is_diagnosed(verdicts.get(cell.id, []), answered, cheap=budget.cheap):
                    todo.append(cell)
        _, failed = diagnose_cells(
            todo, store=store, worker=ready.worker, engine=ready.engine, cheap=budget.cheap, on_check=on_check
        )
    ready.failed.update(failed)


def _is_diagnosed(stored: Sequence[Mapping[str, Any]], answered: int, *, cheap: bool) -> bool:
    """Whether the stored findings of an attack are all that is asked for, on the first of its `answered` images."""
    findings = {finding["check"]: finding for finding in stored}
    looked_at = max((finding.get("images") or 0 for finding in stored), default=0)
    return looked_at >= min(IMAGES, answered) and (cheap or _is_complete(findings))


def _is_complete(findings: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether findings, by their check, are of all diagnostics, also on the images that cheap ones looked at later.

    Square is not among the cheap ones, and is asked of the right images, as the gradient is. Where random noise, a
    cheap one, was not run either, nothing could be asked of Square.
    """
    square, noise, gradient = (
        findings.get(check, {}) for check in ("gradient_free_wins", "noise_wins", "zero_gradient")
    )
    refused = noise.get("verdict") == NOT_RUN
    return refused or (square.get("images") or 0) >= max(gradient.get("images") or 0, 1)

"""Accuracy under attack: with random noise of the same budget beside it, against eps, transfer apart, and diagnostics.

Transfer (perturbations made at another lambda than the one that is deployed) is in parentheses, in its
own table, and never as robust accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from ...answers.rows import eps_order, grouped, lambda_order, lambda_text
from ...answers.trust import FAIL, NOT_RUN, PASS, WARN, Finding
from ...planning.chains import stage_order
from ...specs import Eps
from ...wording import counted, natural
from ..document import Item, Table
from ..numbers import ABSENT, Estimate, Missing
from ..results import DIRECT, Lambda, Result, Results, Subject, distinct
from .distances import accuracy_at


def attack_table(results: Results, data: str, model: str) -> Table:
    """Every attack on a model, one row for each eps and lambda, the worst case last at each."""
    found = sorted(results.of(DIRECT, data=data, model=model), key=_order)
    rows: list[tuple[Item, ...]] = []
    for r in found:
        noises = [one.estimate for one in results.of("noise", r.subject, norm=r.norm, eps=r.eps)]
        least = min(noises, key=lambda one: one.accuracy, default=Missing("no noise of this eps was run"))
        numbers = r.estimate, least
        lam = lambda_text(r.subject.lam)
        rows.append((display_name(r), lam, r.budget, *numbers, passes_text(r), r.verdict))
    notes = [
        "noise: accuracy under random noise of the same norm and eps, the lowest of all that was run; an attack that "
        "leaves more is too weak.",
        "passes/image: forward + backward passes through the model; for an attack that began with the survivors of a "
        "smaller eps, only those that it added.",
    ]
    if any(result.is_stage for result in found):
        notes.append(
            "chain/stage: each stage attacks the survivors of the one before; a chain has the passes of all its stages."
        )
    if any(result.eps is None for result in found):
        notes.append(
            "eps -: the smallest perturbation of each image was sought; accuracy is the share for which none was found."
        )
    if any(result.kind == "worst_case" for result in found):
        notes.append(
            "worst case: images that survive every perturbation of that attack, at whatever lambda it was made."
        )
    columns = ("attack", "lambda", "eps", "accuracy", "noise", "passes/image", "verdict")
    return Table(columns, tuple(rows), left=(0, 6), notes=tuple(notes), stacked=True)


def eps_table(results: Results, data: str, norm: str | None, subjects: Iterable[Subject]) -> Table:
    """Accuracy against eps in one norm: clean accuracy, then a column an eps; attacks, then random noise."""
    found, noises = (tuple(results.of(kind, data=data, norm=norm)) for kind in ("attack", "noise"))
    budgets = sorted(distinct(r.eps for r in (*found, *noises) if r.eps), key=eps_order)
    names = [("attack", name) for name, found in results.attacks(data) if found == norm]
    names += [("noise", name) for name in distinct(r.name for r in noises)]
    rows: list[tuple[Item, ...]] = []
    for subject in subjects:
        clean = results.estimate("clean", subject=subject) or ABSENT
        for kind, label in names:
            cells = [
                results.estimate(kind, subject=subject, name=label, norm=norm, eps=eps) for eps in budgets
            ]
            if any(cells):
                rows.append((subject.label, label, clean, *(cell or ABSENT for cell in cells)))
        for sought in (r for r in found if r.subject == subject and len(r.distances) and budgets):
            whole = (accuracy_at(sought, float(eps)) for eps in budgets)
            rows.append((subject.label, f"{sought.name}, by distance", clean, *whole))
    columns = ("model", "perturbation", "clean", *map(str, budgets))
    title = f"Accuracy against eps, {norm}" if norm else ""
    note = "by distance: the share of images whose smallest perturbation found is larger than eps."
    notes = (note,) if any(len(r.distances) for r in found) else ()
    return Table(columns, tuple(rows), title, left=(0, 1), notes=notes, stacked=len(budgets) > 3)


def transfer_tables(results: Results, data: str, model: str) -> list[Table]:
    """For every attack and eps: rows are the lambda it was made at, columns the lambda that is deployed."""
    made = grouped(
        results.of((*DIRECT, "transfer"), data=data, model=model), attrgetter("name", "norm", "eps")
    )
    asked = [one for one, found in made.items() if any(result.kind == "transfer" for result in found)]
    asked.sort(key=lambda one: (natural(one[0]), one[1] or "", eps_order(one[2])))
    return [_matrix(*one, made[one]) for one in asked]


def _matrix(name: str, norm: str | None, eps: Eps | None, made: Sequence[Result]) -> Table:
    found: dict[Lambda, dict[Lambda, Estimate]] = {}
    attacked = [r for r in made if r.kind != "worst_case"]
    for r in sorted(attacked, key=lambda r: lambda_order(r.lam_attack)):
        found.setdefault(r.lam_attack, {})[r.subject.lam] = r.estimate
    lines = [(lambda_text(made_at), row) for made_at, row in found.items()]
    worst = {r.subject.lam: r.estimate for r in made if r.kind == "worst_case"}
    lines += [("worst case", worst)] if worst else []
    deployed = sorted({r.subject.lam for r in attacked}, key=lambda_order)
    rows = [(label, *(row.get(lam, ABSENT) for lam in deployed)) for label, row in lines]
    return Table(
        ("made at \\ deployed", *map(lambda_text, deployed)),
        tuple(rows),
        title=f"{name}, {norm or '-'} {eps or ''}".rstrip(),
        notes=(
            "(in parentheses): transfer, made at another lambda than the deployed one; not robust accuracy.",
            "Not in parentheses: the attack took its gradients at the deployed lambda.",
        ),
        stacked=len(deployed) > 4,
    )


def at_budget(results: Results, subject: Subject, norm: str | None, eps: Eps | None) -> list[Result]:
    """The direct attacks and worst cases of a subject at a budget, of those on the most images: the same attack on the
    first few says something else."""
    found = list(results.of(DIRECT, subject=subject, norm=norm, eps=eps))
    largest = max((result.estimate.n for result in found), default=0)
    return [result for result in found if result.estimate.n == largest]


def strongest(results: Results, subject: Subject, norm: str | None, eps: Eps | None) -> Result | None:
    """Of `at_budget`, what leaves the subject the least accuracy."""
    found = at_budget(results, subject, norm, eps)
    return min(
        found, key=lambda r: (r.estimate.accuracy, r.kind != "worst_case", r.is_stage, r.name), default=None
    )


def display_name(result: Result) -> str:
    """How a table names an attack; the worst case says what it is."""
    return f"worst case of {result.name}" if result.kind == "worst_case" else result.name


def _order(result: Result) -> tuple[Any, ...]:
    """By budget and lambda, attacks before their worst case; a chain's stages in a row, the whole chain after them."""
    where = result.norm or "", eps_order(result.eps), lambda_order(result.subject.lam), result.kind
    return *where, *stage_order(result.perturbation), natural(result.name)


def passes_text(result: Result) -> str:
    """Forward and backward passes through the model for one image."""
    forward, backward = result.passes
    return f"{forward:.1f} + {backward:.1f}" if forward or backward else "-"


def diagnostics_table(results: Results, data: str) -> Table:
    """One row a finding, one for an attack without any."""
    rows: list[tuple[Item, ...]] = []
    for result in results.of("attack", data=data):
        start = result.subject.model, result.name, result.budget, lambda_text(result.subject.lam)
        rows += ((*start, *cells) for cells in _findings(result.findings))
    columns = ("model", "attack", "eps", "lambda", "verdict", "check", "value", "images", "finding")
    notes = ("A fail marks the accuracy untrusted; a warning does not.",)
    return Table(columns, tuple(rows), left=(0, 1, 4, 5, 8), notes=notes)


def _findings(checks: Sequence[Finding]) -> Iterator[tuple[Item, ...]]:
    counts = Counter(check.verdict for check in checks)
    for check in checks:
        if check.verdict in (FAIL, WARN):
            value = "-" if check.value is None else f"{check.value:.3g}"
            yield check.verdict, check.check, value, _images([check]), check.sentence
    if checks and not counts[FAIL] + counts[WARN]:
        yield PASS, counted(counts[PASS], "check"), "-", _images(checks), f"{counts[NOT_RUN]} not run"


def _images(checks: Sequence[Finding]) -> str:
    """How many images the checks looked at, the most of them; unknown where a store does not say."""
    found = [check.images for check in checks if check.images is not None]
    return str(max(found)) if found else "-"

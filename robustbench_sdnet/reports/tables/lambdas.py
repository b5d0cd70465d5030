"""Accuracy against lambda: over all corruptions, for each of them, and under attack."""

from __future__ import annotations

from ..document import Item, Table
from ..numbers import Missing
from ..results import Results, Subject, distinct, eps_order, lambda_text
from .corruptions import Grid, grid, levels_run, over_corruptions, over_severities


def corruption_table(results: Results, data: str, model: str, source: str) -> Table:
    """One row a lambda: clean accuracy, the mean over every corruption run at each severity, and over all."""
    grids = lambda_grids(results, data, model, source)
    names = distinct(name for found in grids.values() for name in found)
    rows, notes, levels = [], [], levels_run(grids.values())
    for subject, found in grids.items():
        total = over_corruptions(found, names, levels=levels)
        if isinstance(total, Missing):
            notes.append(f"lambda {lambda_text(subject.lam)}: {total.reason}.")
        clean = results.one("clean", subject=subject) or Missing("not run")
        by_severity = (over_corruptions(found, names, level) for level in levels)
        rows.append((lambda_text(subject.lam), clean, *by_severity, total))
    return Table(
        ("lambda", "clean", *map(str, levels), "mean"),
        tuple(rows),
        title=f"{model}: mean over {len(names)} corruptions, by severity",
        left=(),
        notes=(f"corruptions: {', '.join(names)}.", *notes),
        stacked=True,
    )


def single_corruption_tables(results: Results, data: str, model: str, source: str) -> list[Table]:
    """For each corruption, one row a lambda and one column a severity."""
    grids = lambda_grids(results, data, model, source)
    names = distinct(name for found in grids.values() for name in found)
    levels = levels_run(grids.values())
    return [
        Table(
            ("lambda", *map(str, levels), "mean"),
            tuple(
                (
                    lambda_text(subject.lam),
                    *(found[name].get(level, Missing("not run")) for level in levels),
                    over_severities(found[name], levels),
                )
                for subject, found in grids.items()
                if name in found
            ),
            title=name,
            left=(),
            stacked=True,
        )
        for name in names
    ]


def attack_tables(results: Results, data: str, model: str) -> list[Table]:
    """For each attack, one row a lambda (the attack's gradients taken at it) and one column an eps."""
    tables = []
    for name, norm in results.attacks(data, model=model):
        found = tuple(r for r in results.of("attack", data=data, model=model, name=name, norm=norm) if r.eps)
        budgets = sorted(distinct(r.eps for r in found), key=eps_order)
        lambdas = [lam for lam in results.lambdas(data, model) if any(r.subject.lam == lam for r in found)]
        if len(lambdas) < 2:
            continue
        rows: list[tuple[Item, ...]] = []
        for lam in lambdas:
            subject = Subject(data, model, lam)
            clean = results.one("clean", subject=subject) or Missing("not run")
            cells = (results.one("attack", subject=subject, name=name, norm=norm, eps=eps) for eps in budgets)
            rows.append((lambda_text(lam), clean, *(cell or Missing("not run") for cell in cells)))
        columns = ("lambda", "clean", *map(str, budgets))
        title = f"{name}, {norm or '-'}: gradients at the deployed lambda"
        tables.append(Table(columns, tuple(rows), title=title, left=(), stacked=len(budgets) > 3))
    return tables


def lambda_grids(results: Results, data: str, model: str, source: str) -> dict[Subject, Grid]:
    """The corruption grid of a model at each lambda that has one."""
    subjects = (Subject(data, model, lam) for lam in results.lambdas(data, model))
    grids = {subject: grid(results, subject, source) for subject in subjects}
    return {subject: found for subject, found in grids.items() if found}

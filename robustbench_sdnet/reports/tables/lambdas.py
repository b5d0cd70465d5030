"""Accuracy against lambda: over all corruptions, for each of them, and under attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from ...answers.rows import eps_order, lambda_order, lambda_text
from ..document import Item, Table
from ..numbers import ABSENT, Estimate, reasons
from ..results import Lambda, Results, Subject, distinct
from .corruptions import Grid, by_severity, grid, kinds_text, levels_run, means_by_severity


@dataclass(frozen=True)
class Sweep:
    """The corruptions of a model, of one source, that were run along lambda: the grid and the clean accuracy there.

    Attributes:
        names: those run at two lambdas or more, or at one that does not stand for the model elsewhere.
        grids: each lambda at which one of these was run.
    """

    model: str
    source: str
    names: tuple[str, ...]
    grids: Mapping[Lambda, Grid]
    clean: Mapping[Lambda, Estimate | None]

    @property
    def label(self) -> str:
        """The model, and the source where its images were not generated in the usual way."""
        return self.model if self.source == "generated" else f"{self.model} ({self.source})"

    @property
    def sets(self) -> list[tuple[str, ...]]:
        """What means are over: all that one lambda was asked of these, first what most lambdas were asked."""
        asked = distinct(tuple(n for n in self.names if n in found) for found in self.grids.values())
        return sorted(asked, key=lambda names: -len(self.of(names)))

    def of(self, names: Sequence[str]) -> dict[Lambda, Grid]:
        """Some corruptions alone, at the lambdas that were asked all of them."""
        asked = {lam: found for lam, found in self.grids.items() if found.keys() >= set(names)}
        return {lam: {name: found[name] for name in names} for lam, found in asked.items()}


def sweeps(results: Results, data: str) -> list[Sweep]:
    """What was run of every model along lambda, by where its images come from."""
    found, main = [], set(results.main_subjects(data))
    for model, source in product(results.models(data), results.sources(data)):
        subjects = {lam: Subject(data, model, lam) for lam in results.lambdas(data, model)}
        every = {lam: grid(results, subject, source) for lam, subject in subjects.items()}
        asked: dict[str, list[Lambda]] = {}
        for lam, name in ((lam, name) for lam, own in every.items() for name in own):
            asked.setdefault(name, []).append(lam)
        names = tuple(n for n, lams in asked.items() if len(lams) > 1 or subjects[lams[0]] not in main)
        grids = {lam: kept for lam, own in every.items() if (kept := {n: own[n] for n in names if n in own})}
        clean = {lam: results.estimate("clean", subject=subjects[lam]) for lam in grids}
        found += [Sweep(model, source, names, grids, clean)] if names else []
    return found


def corruption_table(swept: Sweep, names: Sequence[str]) -> Table:
    """One row a lambda: clean accuracy, the mean over these corruptions at each severity, and over all."""
    grids = swept.of(names)
    levels = levels_run(grids.values())
    means = {lam: means_by_severity(found, names, levels) for lam, found in grids.items()}
    rows = ((lambda_text(lam), swept.clean[lam] or ABSENT, *row) for lam, row in means.items())
    gaps = reasons(((lambda_text(lam), row[-1:]) for lam, row in means.items()), "lambda ")
    return Table(
        ("lambda", "clean", *map(str, levels), "mean"),
        tuple(rows),
        title=f"{swept.label}: {f'mean over {kinds_text(names)}' if len(names) > 1 else names[0]}, by severity",
        left=(),
        notes=(*([f"corruptions: {', '.join(names)}."] if len(names) > 1 else []), *gaps),
        stacked=True,
    )


def single_corruption_tables(swept: Sweep) -> list[Table]:
    """For each corruption, one row a lambda and one column a severity."""
    tables = []
    for name in swept.names:
        asked = swept.of([name])
        levels = levels_run(asked.values())
        rows = tuple((lambda_text(lam), *by_severity(found[name], levels)) for lam, found in asked.items())
        columns = ("lambda", *map(str, levels), "mean")
        tables.append(Table(columns, rows, title=f"{swept.label}: {name}", left=(), stacked=True))
    return tables


def attack_tables(results: Results, data: str, model: str) -> list[Table]:
    """For each attack, one row a lambda (the attack's gradients taken at it) and one column an eps."""
    tables = []
    for name, norm in results.attacks(data, model=model):
        found = tuple(r for r in results.of("attack", data=data, model=model, name=name, norm=norm) if r.eps)
        budgets = sorted(distinct(r.eps for r in found), key=eps_order)
        subjects = sorted(distinct(r.subject for r in found), key=lambda one: lambda_order(one.lam))
        if len(subjects) < 2:
            continue
        rows: list[tuple[Item, ...]] = []
        for subject in subjects:
            clean = results.estimate("clean", subject=subject) or ABSENT
            cells = (
                results.estimate("attack", subject=subject, name=name, norm=norm, eps=eps) for eps in budgets
            )
            rows.append((lambda_text(subject.lam), clean, *(cell or ABSENT for cell in cells)))
        columns = ("lambda", "clean", *map(str, budgets))
        title = f"{model}: {name}, {norm or '-'}: gradients at the deployed lambda"
        tables.append(Table(columns, tuple(rows), title=title, left=(), stacked=len(budgets) > 3))
    return tables

"""The chapters on one data set: overview, corruptions, attacks and lambda, with figures and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from matplotlib.figure import Figure as Drawing

from ..answers.comparisons import Comparison
from ..answers.searches import Convergence, Optimality
from ..corruptions.registry import CORRUPTIONS
from ..specs import CorruptionSpec
from ..wording import counted
from .document import Figure, Section, Table, slug
from .numbers import Estimate, Missing
from .plots import curves, heatmap, panels
from .results import Results, distinct, lambda_text
from .stability import stability
from .tables import attacks, comparisons as tests, corruptions, distances, errors, lambdas
from .tables.diagnostics import diagnostics_table
from .tables.overview import overview
from .tables.searches import optimality_table

Blocks = list[Table | Figure | str]
FIGURES = 6  # models that get a figure of their own in a chapter


def of_data(results: Results, data: str, *, baseline: str | None, prefix: str) -> Iterator[Section]:
    """Every chapter that the results of a data set fill.

    Args:
        baseline: a model, or MODEL@LAMBDA, whose errors corruption errors are divided by.
        prefix: of every heading.
    """
    sources = distinct(r.source for r in results.of("corruption", data=data))
    models = ", ".join(results.models(data))
    table = overview(results, data, sources[0] if sources else None)
    images = f", {counted(table.usual_n, 'image')}" if table.usual_n else ""
    yield Section(f"{prefix}Overview", (f"{models} on {data}{images}.", table))
    yield from _lambda_sections(results, data, sources, prefix)
    for source in sources:
        yield from _corruption_sections(results, data, source, baseline, prefix)
    yield from stability(results, data, baseline=baseline, prefix=prefix)
    yield from _attack_sections(results, data, prefix)
    diagnosed = diagnostics_table(results, data)
    if diagnosed:
        yield Section(f"{prefix}Diagnostics of the attacks", (diagnosed,), level=3, folded=True)


def comparisons(rows: Sequence[Comparison]) -> Iterator[Section]:
    """Which differences are significant: the families, then each with its own, folded."""
    if not rows:
        return
    yield Section("Comparisons", (tests.TESTS, tests.family_table(rows)), folded=True)
    for family in distinct(row.family for row in rows):
        found = tests.significant_table([row for row in rows if row.family == family])
        if found:
            yield Section(f"Significant differences: {family}", (found,), level=3, folded=True)


def searches(nearness: Sequence[Optimality], courses: Sequence[Convergence]) -> Iterator[Section]:
    """How good the attacks were themselves: how near the best known, and how many steps they needed."""
    table = optimality_table(nearness)
    blocks: Blocks = [table] if table else []
    if courses:
        title = "Accuracy against the number of steps"
        names = ", ".join(distinct(course.attack for course in courses))
        alt = f"{title}: {names}."
        blocks.append(Figure("steps", title, alt, lambda: curves.draw(panels.step_panels(courses))))
    if blocks:
        yield Section("How good the attacks were", tuple(blocks), folded=True)


def _corruption_sections(
    results: Results, data: str, source: str, baseline: str | None, prefix: str
) -> Iterator[Section]:
    subjects = results.main_subjects(data)
    grids = {subject: corruptions.grid(results, subject, source) for subject in subjects}
    grids = {subject: found for subject, found in grids.items() if found}
    origin = f" ({source}{' files' if source == 'published' else ''})"
    title = f"{prefix}Corruptions" + (origin if source != "generated" else "")
    blocks: Blocks = []
    if grids:
        labelled = {subject.label: found for subject, found in grids.items()}
        heat = Figure(
            f"corruptions-{slug(data)}-{slug(source)}",
            "Accuracy by corruption and severity, %",
            f"Heat map of accuracy under corruptions: {', '.join(labelled)}. Its numbers are in the tables.",
            lambda: _heat_map(labelled),
            tuple(_compared(labelled)),
        )
        blocks.append(heat)
        clean = {subject: results.one("clean", subject=subject) for subject in results.subjects(data)}
        base = results.subject_named(data, baseline) if baseline else None
        with_base = {base: corruptions.grid(results, base, source), **grids} if base else grids
        published = (
            errors.ALEXNET if base is None and of_imagenet_c(results, baseline, data, source) else None
        )
        blocks.append(errors.error_table(with_base, clean, base, published))
    yield Section(title, tuple(blocks))
    for subject, found in grids.items():
        tables = (corruptions.severity_table(found), corruptions.category_table(found))
        yield Section(f"{prefix}{subject.label}: corruptions by severity", tables, level=3, folded=True)
    levels = _level_table(results, data, source)
    if levels:
        yield Section(f"{prefix}Noise at free levels", (levels,), level=3, folded=True)


def _heat_map(grids: Mapping[str, corruptions.Grid]) -> Drawing:
    """A panel a subject with a column a severity; of many subjects one panel, a column each."""
    group = {name: info.category if info.main else "extra" for name, info in CORRUPTIONS.items()}
    if len(grids) <= FIGURES:
        return heatmap.draw(grids, group)
    levels = corruptions.levels_run(grids.values())
    means: dict[str, dict[str, Estimate]] = {}
    for label, found in grids.items():
        for name, row in found.items():
            mean = corruptions.over_severities(row, levels)
            if isinstance(mean, Estimate):
                means.setdefault(name, {})[label] = mean
    title = f"mean over {corruptions.levels_text(levels)}"
    return heatmap.draw({title: means}, group, tuple(grids), "")


def of_imagenet_c(results: Results, baseline: str | None, data: str, source: str | None = None) -> bool:
    """Whether AlexNet's errors are asked for where they are known: corruptions by ImageNet-C's own parameters."""
    asked = [r for r in results.of("corruption", data=data) if source in (None, r.source)]
    specs = [r.perturbation for r in asked if isinstance(r.perturbation, CorruptionSpec)]
    own = any(spec.table == "imagenet" and not spec.size for spec in specs)
    return baseline == "alexnet" and bool(specs) and (own or data.startswith("imagenetc:"))


def _compared(grids: Mapping[str, corruptions.Grid]) -> list[Table]:
    if len(grids) < 2:
        return []
    levels = corruptions.levels_run(grids.values())
    missing, highest = Missing("not run"), levels[-1]
    strongest = corruptions.side_by_side(grids, lambda row: row.get(highest, missing), f"Severity {highest}")
    if len(levels) == 1:
        return strongest
    title = f"Mean over {corruptions.levels_text(levels)}"
    means = corruptions.side_by_side(grids, lambda row: corruptions.over_severities(row, levels), title)
    return [*means, *strongest]


def _level_table(results: Results, data: str, source: str) -> Table | None:
    found = [r for r in results.of("corruption", data=data, source=source) if r.severity is None]
    rows = tuple((r.subject.model, r.name, lambda_text(r.subject.lam), r.estimate) for r in found)
    return Table(("model", "corruption@level", "lambda", "accuracy"), rows, left=(0, 1)) if rows else None


def _attack_sections(results: Results, data: str, prefix: str) -> Iterator[Section]:
    pairs = results.attacks(data)
    if not pairs:
        return
    subjects = results.main_subjects(data)
    blocks: Blocks = []
    tables = [
        attacks.eps_table(results, data, norm, subjects) for norm in distinct(norm for _, norm in pairs)
    ]
    tables = [table for table in tables if table.rows]
    if any(r.eps or len(r.distances) for r in results.of("attack", data=data)):
        alt = f"Accuracy against eps: {', '.join(name for name, _ in pairs)}. Its numbers are in the tables."
        blocks.append(
            Figure(
                f"attacks-{slug(data)}",
                "Accuracy against eps",
                alt,
                lambda: curves.draw(panels.eps_panels(results, data), columns=2),
                tuple(tables),
            )
        )
    else:
        blocks += tables
    sought = distances.distance_table(results, data)
    blocks += [sought] if sought else []
    yield Section(f"{prefix}Attacks", tuple(blocks))
    for model in results.models(data):
        table = attacks.attack_table(results, data, model)
        if table.rows:
            yield Section(f"{prefix}{model}: attacks", (table,), level=3, folded=True)
        transfer = attacks.transfer_tables(results, data, model)
        if transfer:
            yield Section(f"{prefix}{model}: transfer between lambdas", tuple(transfer), level=3, folded=True)


def _lambda_sections(results: Results, data: str, sources: Sequence[str], prefix: str) -> Iterator[Section]:
    swept = [
        (model, source)
        for model in results.models(data)
        for source in sources
        if len(lambdas.lambda_grids(results, data, model, source)) > 1
    ]
    blocks: Blocks = []
    if len(swept) > FIGURES:
        blocks.append(_mean_curves(results, data, swept))
    else:
        blocks += [_corruption_curves(results, data, *one) for one in swept]
    blocks += [lambdas.corruption_table(results, data, *one) for one in swept]
    tables = [
        replace(table, title=f"{model}: {table.title}")
        for model in results.models(data)
        for table in lambdas.attack_tables(results, data, model)
    ]
    if tables:
        alt = "Accuracy under attack against lambda, gradients at the deployed lambda; numbers in the tables."
        title = "Accuracy under attack against lambda"
        blocks.append(
            Figure(
                f"lambda-attacks-{slug(data)}",
                title,
                alt,
                lambda: curves.draw(panels.lambda_attack_panels(results, data), columns=2),
                tuple(tables),
            )
        )
    if blocks:
        yield Section(f"{prefix}Lambda at test time", tuple(blocks))


def _corruption_curves(results: Results, data: str, model: str, source: str) -> Figure:
    grids = lambdas.lambda_grids(results, data, model, source)
    names = distinct(name for found in grids.values() for name in found)
    clean = {subject.lam: results.one("clean", subject=subject) for subject in grids}
    by_lambda = {subject.lam: found for subject, found in grids.items()}
    return Figure(
        f"lambda-{slug(data)}-{slug(model)}-{slug(source)}",
        f"{model}: accuracy under corruptions against lambda",
        f"Accuracy of {model} against lambda, one panel a corruption, one line a severity.",
        lambda: curves.draw(panels.lambda_corruption_panels(by_lambda, clean, names)),
        tuple(lambdas.single_corruption_tables(results, data, model, source)),
    )


def _mean_curves(results: Results, data: str, swept: Sequence[tuple[str, str]]) -> Figure:
    """One panel a model: of so many models nobody could read a panel for each corruption."""
    title = "Mean accuracy over corruptions against lambda"
    alt = f"{title}: {', '.join(model for model, _ in swept)}. Its numbers are in the tables."
    tables = tuple(
        replace(table, title=f"{model}: {table.title}")
        for (model, source) in swept
        for table in lambdas.single_corruption_tables(results, data, model, source)
    )
    return Figure(
        f"lambda-means-{slug(data)}",
        title,
        alt,
        lambda: curves.draw([panels.mean_panel(results, data, *one) for one in swept]),
        tables,
    )

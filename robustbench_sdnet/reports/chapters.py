"""The chapters on one data set: overview, corruptions, attacks and lambda, with figures and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure as Drawing

from ..answers.comparisons import Comparison
from ..answers.rows import grouped, lambda_text
from ..answers.searches import Convergence, Optimality
from ..specs import CorruptionSpec
from .document import Block, Figure, Section, Table, filled, slug
from .numbers import ABSENT, Estimate
from .plots import curves, dots, heatmap, panels
from .results import Results, distinct
from .tables import attacks, comparisons as tests, corruptions, distances, errors, lambdas, stability
from .tables.overview import overview

FIGURES = 6  # models that get a figure of their own in a chapter


def of_data(results: Results, data: str, baseline: str | None) -> Iterator[Section]:
    """Every chapter that the results of a data set fill."""
    models = ", ".join(results.models(data))
    table = overview(results, data)
    images = f", {table.images}" if table.images else ""
    yield Section("Overview", (f"{models} on {data}{images}.", table))
    yield from _lambda_sections(results, data)
    for source in results.sources(data):
        yield from _corruption_sections(results, data, source, baseline)
    yield from _stability_sections(results, data, baseline)
    yield from _attack_sections(results, data)
    diagnosed = attacks.diagnostics_table(results, data)
    yield from filled("Diagnostics of the attacks", [diagnosed], level=3, folded=True)


def comparisons(rows: Sequence[Comparison]) -> Iterator[Section]:
    """Which differences are significant: the families, then each with its own, folded."""
    if not rows:
        return
    yield Section("Comparisons", (tests.TESTS, tests.family_table(rows)), folded=True)
    for family, same in grouped(rows, lambda row: row.family).items():
        found = tests.significant_table(same)
        yield from filled(f"Significant differences: {family}", [found], level=3, folded=True)


def searches(nearness: Sequence[Optimality], courses: Sequence[Convergence]) -> Iterator[Section]:
    """How good the attacks were themselves: how near the best known, and how many steps they needed."""
    blocks: list[Block] = [distances.optimality_table(nearness)]
    if courses:
        title = "Accuracy against the number of steps" + panels.step_cut(courses)
        names = "; ".join(panel.title for panel in panels.step_panels(courses))
        alt = f"{title}: {names}."
        blocks.append(Figure("steps", title, alt, lambda: curves.draw(panels.step_panels(courses))))
    yield from filled("How good the attacks were", blocks, folded=True)


def _corruption_sections(results: Results, data: str, source: str, baseline: str | None) -> Iterator[Section]:
    subjects = results.main_subjects(data)
    grids = {one: found for one in subjects if (found := corruptions.grid(results, one, source))}
    origin = f" ({source}{' files' if source == 'published' else ''})"
    title = "Corruptions" + (origin if source != "generated" else "")
    blocks: list[Block] = []
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
        clean = {subject: results.estimate("clean", subject=subject) for subject in results.subjects(data)}
        base = results.subject_named(data, baseline) if baseline else None
        with_base = {base: corruptions.grid(results, base, source), **grids} if base else grids
        published = (
            errors.ALEXNET if base is None and of_imagenet_c(results, baseline, data, source) else None
        )
        blocks.append(errors.error_table(with_base, clean, base, published))
    levels = _level_table(results, data, source)
    if blocks or levels.rows:
        yield Section(title, tuple(blocks))
    for subject, found in grids.items():
        tables = (corruptions.severity_table(found), corruptions.category_table(found))
        yield Section(f"{subject.label}: corruptions by severity", tables, level=3, folded=True)
    yield from filled("Noise at arbitrary levels", [levels], level=3, folded=True)


def _heat_map(grids: Mapping[str, corruptions.Grid]) -> Drawing:
    """A panel a subject with a column a severity; of many subjects one panel, a row each."""
    if len(grids) <= FIGURES:
        return heatmap.draw(grids)
    levels = corruptions.levels_run(grids.values())
    means: dict[str, dict[str, Estimate]] = {label: {} for label in grids}
    for label, found in grids.items():
        for name, row in found.items():
            mean = corruptions.over_severities(row, levels)
            if isinstance(mean, Estimate):
                means[label][name] = mean
    over = "mean over " if len(levels) > 1 else ""
    names = corruptions.in_order(name for found in means.values() for name in found)
    return heatmap.draw({f"{over}{corruptions.levels_text(levels)}": means}, names, "")


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
    highest = levels[-1]
    strongest = corruptions.side_by_side(grids, lambda row: row.get(highest, ABSENT), f"Severity {highest}")
    if len(levels) == 1:
        return strongest
    title = f"Mean over {corruptions.levels_text(levels)}"
    means = corruptions.side_by_side(grids, lambda row: corruptions.over_severities(row, levels), title)
    return [*means, *strongest]


def _level_table(results: Results, data: str, source: str) -> Table:
    found = [r for r in results.of("corruption", data=data, source=source) if r.severity is None]
    # By level, not by its letters.
    found.sort(
        key=lambda r: (r.subject.model, r.perturbation.name, float(getattr(r.perturbation, "level", 0)))
    )
    rows = tuple((r.subject.model, r.name, lambda_text(r.subject.lam), r.estimate) for r in found)
    return Table(("model", "corruption@level", "lambda", "accuracy"), rows, left=(0, 1))


def _stability_sections(results: Results, data: str, baseline: str | None) -> Iterator[Section]:
    """A section a difficulty of sequences that was run; mFR and mT5D are relative to the baseline."""
    base = results.subject_named(data, baseline) if baseline else None
    for difficulty in stability.difficulties(results, data):
        found = stability.steady(results, data, difficulty)
        shares = {
            subject.label: {name: stability.flips(result) for name, result in own.items()}
            for subject, own in list(found.items())[: panels.MANY]
        }
        left_out = panels.cut(panels.MANY, len(found))
        figure = Figure(
            f"stability-{slug(data)}-{difficulty}",
            f"Predictions that flip along a sequence, %{left_out}",
            f"Flip probability along each sequence{left_out}: {', '.join(shares)}. Its numbers are in the tables.",
            partial(dots.draw, shares, "frames whose prediction flips, %"),
            tuple(stability.flip_tables(found)),
        )
        harder = "" if difficulty == 1 else f" (difficulty {difficulty})"
        yield Section(f"Prediction stability{harder}", (stability.summary_table(found, base), figure))


def _attack_sections(results: Results, data: str) -> Iterator[Section]:
    norms = distinct(one.norm for kind in ("attack", "noise") for one in results.of(kind, data=data))
    if not norms:
        return
    subjects = results.main_subjects(data)
    blocks: list[Block] = []
    every = (attacks.eps_table(results, data, norm, subjects) for norm in norms)
    tables = [table for table in every if table.rows]
    if drawn := panels.eps_panels(results, data):
        title = "Accuracy against eps" + panels.cut(panels.MANY, len(panels.attacked(results, data)))
        blocks.append(
            Figure(
                f"attacks-{slug(data)}",
                title,
                f"{title}: {'; '.join(one.title for one in drawn)}. Its numbers are in the tables.",
                lambda: curves.draw(drawn, columns=2),
                tuple(tables),
            )
        )
    else:
        blocks += tables
    sought = distances.distance_table(results, data)
    blocks += [sought] if sought.rows else []
    yield Section("Attacks", tuple(blocks))
    for model in results.models(data):
        made = attacks.attack_table(results, data, model)
        yield from filled(f"{model}: attacks", [made], level=3, folded=True)
        transfer = attacks.transfer_tables(results, data, model)
        yield from filled(f"{model}: transfer between lambdas", transfer, level=3, folded=True)


def _lambda_sections(results: Results, data: str) -> Iterator[Section]:
    swept = lambdas.sweeps(results, data)
    blocks: list[Block] = []
    if len(swept) > FIGURES:
        blocks.append(_mean_curves(data, swept))
    else:
        blocks += [_corruption_curves(data, one) for one in swept]
    blocks += (lambdas.corruption_table(one, names) for one in swept for names in one.sets)
    tables = [
        table for model in results.models(data) for table in lambdas.attack_tables(results, data, model)
    ]
    if tables:
        drawn = panels.lambda_attack_panels(results, data)
        left_out = panels.cut(panels.MANY_SWEPT, len(drawn), "models and attacks")
        title = f"Accuracy under attack against lambda{left_out}"
        blocks.append(
            Figure(
                f"lambda-attacks-{slug(data)}",
                title,
                f"{title}, gradients at the deployed lambda; numbers in the tables.",
                lambda: curves.draw(drawn[: panels.MANY_SWEPT], columns=2),
                tuple(tables),
            )
        )
    yield from filled("Lambda at test time", blocks)


def _corruption_curves(data: str, swept: lambdas.Sweep) -> Figure:
    return Figure(
        f"lambda-{slug(data)}-{slug(swept.model)}-{slug(swept.source)}",
        f"{swept.label}: accuracy under corruptions against lambda",
        f"Accuracy of {swept.label} against lambda, one panel per corruption, one line per severity.",
        lambda: curves.draw(panels.lambda_corruption_panels(swept)),
        tuple(lambdas.single_corruption_tables(swept)),
    )


def _mean_curves(data: str, swept: Sequence[lambdas.Sweep]) -> Figure:
    """One panel a model: of so many models nobody could read a panel for each corruption."""

    def over(one: lambdas.Sweep) -> str:
        return f"{one.label}: {corruptions.kinds_text(one.sets[0])}"

    title = "Mean accuracy over corruptions against lambda"
    tables = (table for one in swept for table in lambdas.single_corruption_tables(one))
    return Figure(
        f"lambda-means-{slug(data)}",
        title,
        f"{title}: {', '.join(one.label for one in swept)}. Its numbers are in the tables.",
        lambda: curves.draw([panels.mean_panel(one, one.sets[0], over(one)) for one in swept]),
        tuple(tables),
    )

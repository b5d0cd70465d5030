"""Which accuracies stand in which panel: from results to curves, without drawing anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...answers.rows import eps_order, grouped, lambda_order, lambda_text
from ...answers.searches import Convergence
from ...specs import SEVERITIES, norm_facts
from ...statistics import wilson
from ...wording import natural
from ..numbers import Estimate
from ..results import Lambda, Result, Results, Subject, distinct
from ..tables.corruptions import at_severity
from ..tables.distances import accuracy_at
from ..tables.lambdas import Sweep
from .curves import Line, Panel
from .style import FAINT, PALETTE, strength

MANY = len(PALETTE)
MOST = 0.95  # the share of distances that a plot shows at least
MOST_STEPS = 400
MANY_PANELS = 12
MANY_SWEPT = 24  # attacks along lambda: the time to lay panels out grows faster than their number


def cut(shown: int, count: int, what: str = "models and lambdas") -> str:
    """What a title adds where a figure shows only the first of many."""
    return f" (the first {shown} of {count} {what})" if count > shown else ""


def attacked(results: Results, data: str) -> list[Subject]:
    """The main subjects with accuracies along eps."""
    found = {r.subject for r in results.of("attack", data=data) if r.eps or len(r.distances)}
    return [subject for subject in results.main_subjects(data) if subject in found]


def eps_panels(results: Results, data: str) -> list[Panel]:
    """Accuracy against eps: a panel for each attack and norm, a line for each model that it was run on, random noise
    dashed.

    A minimal-norm attack gives the whole curve at once; panels of its norm end at the same eps, to be compared.
    """
    subjects = attacked(results, data)[:MANY]
    ends = _ends(results, data)
    panels = []
    for name, norm in results.attacks(data):
        scale, unit = norm_facts(norm).scale, norm_facts(norm).unit
        lines: list[Line] = []
        for subject, colour in zip(subjects, PALETTE, strict=False):
            own = tuple(results.of("attack", subject=subject, name=name, norm=norm))
            noises = _weakest_first(results.of("noise", subject=subject, norm=norm)) if own else ()
            clean = results.estimate("clean", subject=subject)
            for found, label, faint in ((own, subject.label, False), (noises, "random noise", True)):
                points = {scale * float(r.eps): r.estimate for r in found if r.eps is not None}
                if points and clean:
                    points.setdefault(0.0, clean)
                if points:
                    lines.append(Line(label, tuple(sorted(points.items())), colour, faint=faint))
            for sought in own:
                if len(sought.distances):
                    stairs = _staircase(sought, scale, ends.get(norm, 0.0))
                    lines.append(Line(subject.label, stairs, colour, steps=True))
        xlabel = f"{norm or ''} eps".strip() + (f", in 1{unit}" if unit else "")
        if any(not line.faint for line in lines):
            panels.append(Panel(f"{name}, {norm or '-'}", xlabel, tuple(lines), ends.get(norm)))
    return panels


def step_panels(courses: Sequence[Convergence]) -> list[Panel]:
    """Accuracy against steps: a panel for each attack, norm and eps, a line for each model at its lambda."""
    several = len({course.data for course in courses}) > 1
    models = sorted(courses, key=lambda course: (natural(course.model), lambda_order(course.lam)))
    colours = dict(zip(distinct(map(_who, models)), PALETTE, strict=False))  # as in other figures
    panels = []
    for (data, attack, norm, eps), same in _by_attack(courses).items():
        drawn = ((_who(course), course) for course in same)
        lines = tuple(Line(who, _course(c), colours[who], steps=True) for who, c in drawn if who in colours)
        title = f"{attack}, {norm} {eps}{f' on {data}' if several else ''}"
        panels += [Panel(title, "steps", lines)] if lines else []
    return panels[:MANY_PANELS]


def step_cut(courses: Sequence[Convergence]) -> str:
    """What the title of `step_panels` adds where it leaves attacks or models out."""
    asked, subjects = _by_attack(courses), distinct(map(_who, courses))
    return cut(MANY_PANELS, len(asked), "attacks and eps") + cut(MANY, len(subjects))


def _who(course: Convergence) -> str:
    return Subject(course.data, course.model, course.lam).label


def _by_attack(courses: Sequence[Convergence]) -> dict[tuple[object, ...], list[Convergence]]:
    return grouped(courses, lambda course: (course.data, course.attack, course.norm, course.eps))


def _course(course: Convergence) -> tuple[tuple[float, Estimate], ...]:
    """Accuracy at the start, wherever it falls, and at the last step."""
    last = len(course.right) - 1
    falls = [k for k in range(1, last) if course.right[k] < course.right[k - 1]]
    return tuple(
        (
            float(k),
            Estimate(
                course.right[k] / course.n, *wilson(course.right[k], course.n), course.n, course.untrusted
            ),
        )
        for k in dict.fromkeys((0, *falls, last))
    )


def _ends(results: Results, data: str) -> dict[str | None, float]:
    """Where the axis of a norm with distances ends: most are shown, and every eps that was run."""
    found: dict[str | None, float] = {}
    every = tuple(results.of(("attack", "noise"), data=data))
    for result in every:
        broken = result.distances[np.isfinite(result.distances)]
        if len(broken):
            found[result.norm] = max(found.get(result.norm, 0.0), float(np.quantile(broken, MOST)))
    for result in every:
        if result.norm in found:
            found[result.norm] = max(found[result.norm], eps_order(result.eps))
    return {norm: end * norm_facts(norm).scale for norm, end in found.items()}


def _staircase(result: Result, unit: int, end: float) -> tuple[tuple[float, Estimate], ...]:
    """Accuracy at eps 0 and wherever it falls, up to the end of the axis; thinned where steps are too fine to see."""
    falls = np.unique(result.distances[(result.distances > 0) & (result.distances * unit < end)])
    kept = falls[np.unique(np.linspace(0, len(falls) - 1, min(len(falls), MOST_STEPS)).round().astype(int))]
    return tuple((unit * eps, accuracy_at(result, eps)) for eps in (0.0, *kept.tolist(), end / unit))


def lambda_corruption_panels(swept: Sweep) -> list[Panel]:
    """Accuracy against lambda: a panel for each corruption (their means first), a line for each severity."""
    panels = [mean_panel(swept, names, f"mean of {len(names)}") for names in swept.sets if len(names) > 1]
    for name in swept.names:
        found = {
            level: {lam: grid.get(name, {}).get(level) for lam, grid in swept.grids.items()}
            for level in SEVERITIES
        }
        panels.append(_by_severity(name.replace("_", " "), found, swept))
    return [panel for panel in panels if len(panel.lines) > 1]


def mean_panel(swept: Sweep, names: Sequence[str], title: str) -> Panel:
    """Accuracy against lambda, in the mean over some corruptions of a model: a line for each severity."""
    means = {
        severity: {lam: at_severity(grid, names, severity) for lam, grid in swept.of(names).items()}
        for severity in SEVERITIES
    }
    return _by_severity(title, means, swept)


def lambda_attack_panels(results: Results, data: str) -> list[Panel]:
    """Accuracy against lambda under attack, gradients at the deployed lambda: a line for each eps, of one colour in all
    panels."""
    panels = []
    direct = [r for r in results.of("attack", data=data) if r.eps and not r.is_stage]
    asked = grouped(direct, lambda r: (r.subject.model, r.name, r.norm))
    swept = {one: found for one, found in asked.items() if len({r.subject.lam for r in found}) > 1}
    every = sorted(distinct(r.eps for found in swept.values() for r in found), key=eps_order)
    colours = {eps: strength(position, len(every)) for position, eps in enumerate(every)}
    for (model, name, norm), found in swept.items():
        budgets = sorted(distinct(r.eps for r in found), key=eps_order)
        clean = {r.subject.lam: r.estimate for r in results.of("clean", data=data, model=model)}
        lines = [Line("clean images", _points(clean), FAINT, faint=True)]
        for eps in budgets:
            points = {r.subject.lam: r.estimate for r in found if r.eps == eps}
            lines.append(Line(f"eps {eps}", _points(points), colours[eps]))
        noises = _weakest_first(results.of("noise", data=data, model=model, norm=norm, eps=budgets[-1]))
        noise = {r.subject.lam: r.estimate for r in noises}
        if noise:
            label = f"random noise, eps {budgets[-1]}"
            lines.append(Line(label, _points(noise), PALETTE[0], faint=True))
        panels.append(Panel(f"{model}: {name}, {norm or '-'}", "lambda", tuple(lines)))
    return panels


def _weakest_first(noises: Iterable[Result]) -> list[Result]:
    """So that of several noises of a budget the last stands, which leaves least, as in tables."""
    return sorted(noises, key=lambda r: -r.accuracy)


def _by_severity(title: str, values: Mapping[int, Mapping[Lambda, object]], swept: Sweep) -> Panel:
    lines = [Line("clean images", _points(swept.clean), FAINT, faint=True)]
    for severity, by_lambda in values.items():
        if points := _points(by_lambda):
            lines.append(Line(f"severity {severity}", points, strength(severity - 1, len(SEVERITIES))))
    return Panel(title, "lambda", tuple(lines))


def _points(values: Mapping[Lambda, object]) -> tuple[tuple[float | str, Estimate], ...]:
    """The accuracies that are there, numbers by their place on the axis, policies by name."""
    ordered = sorted(values.items(), key=lambda item: lambda_order(item[0]))
    return tuple(
        (lam.fixed if lam.fixed is not None and lam.scope == "stem" else lambda_text(lam), value)
        for lam, value in ordered
        if lam is not None and isinstance(value, Estimate)
    )

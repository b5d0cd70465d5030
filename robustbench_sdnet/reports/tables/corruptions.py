"""Accuracy under corruptions: by severity, by category, side by side, and as corruption error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from ...answers.rows import grouped
from ...corruptions.registry import CORRUPTIONS, expand
from ...specs import SEVERITIES
from ...wording import counted, natural
from ..document import Table
from ..numbers import ABSENT, Estimate, Value, mean, reasons
from ..results import Results, Subject

MAIN, EXTRA = expand("main"), expand("extra")
BAR = {"CIFAR": expand("c-bar", "cifar"), "ImageNet": expand("c-bar", "imagenet")}
COLUMNS_AT_ONCE = 6

Grid = Mapping[str, Mapping[int, Estimate]]


def grid(results: Results, subject: Subject, source: str) -> dict[str, dict[int, Estimate]]:
    """Corruption -> severity -> accuracy of one subject, the main corruptions first."""
    found: dict[str, dict[int, Estimate]] = {}
    for result in results.of("corruption", subject=subject, source=source):
        if result.severity is not None:
            found.setdefault(result.name, {})[result.severity] = result.estimate
    return {name: found[name] for name in in_order(found)}


def in_order(names: Iterable[str]) -> list[str]:
    """Each corruption once: the main ones, the extra ones, then others, whatever they were drawn by."""
    order = {name: position for position, name in enumerate((*MAIN, *EXTRA))}
    return sorted(set(names), key=lambda name: (order.get(kind(name), len(order)), natural(name)))


def kind(name: str) -> str:
    """A corruption's own name, without what tells it from another of that name, such as its seed."""
    return re.split(r"[( ]", name)[0]


def levels_run(grids: Iterable[Grid]) -> tuple[int, ...]:
    """The severities that any of these subjects was asked at: what a mean over severities is taken over."""
    found = {level for grid in grids for accuracies in grid.values() for level in accuracies}
    return tuple(level for level in SEVERITIES if level in found) or SEVERITIES


def levels_text(levels: Sequence[int]) -> str:
    """The severities as headings name them."""
    if len(levels) == 1:
        return f"severity {levels[0]}"
    return "severities 1 to 5" if tuple(levels) == SEVERITIES else f"severities {', '.join(map(str, levels))}"


def kinds_text(
    names: Sequence[str], source: str = "generated", levels: Sequence[int] = (), *, several: bool = False
) -> str:
    """How many corruptions these are, each counted once whatever it was drawn by, at which severity where it is one
    alone, and where they come from: of those generated here it is said where there are `several` such places."""
    kinds = len(set(map(kind, names)))
    variants = "" if kinds == len(names) else f", {len(names)} variants"
    where = f" ({source})" if several or source != "generated" else ""
    level = f" at {levels_text(levels)}" if len(levels) == 1 else ""
    return counted(kinds, "corruption") + variants + level + where


def place(name: str, origin: str) -> str:
    """A data set or a mean, with where its corrupted images come from unless they are generated."""
    return name if origin == "generated" else f"{name} ({origin})"


def over_severities(accuracies: Mapping[int, Estimate], levels: Sequence[int] = SEVERITIES) -> Value:
    """The mean of some severities, by default all five."""
    return mean({f"severity {level}": accuracies.get(level) for level in levels})


def by_severity(accuracies: Mapping[int, Estimate], levels: Sequence[int]) -> tuple[Value, ...]:
    """The accuracy at each severity, and their mean."""
    each = (accuracies.get(level, ABSENT) for level in levels)
    return *each, over_severities(accuracies, levels)


def over_corruptions(found: Grid, names: Sequence[str], levels: Sequence[int]) -> Value:
    """The mean over corruptions and severities; of what was run at some of these alone, it is said what lacks."""
    parts: dict[str, Value | None] = {}
    for name in names:
        accuracies = found.get(name, {})
        absent = [level for level in levels if level not in accuracies]
        where = f" at severity {', '.join(map(str, absent))}" if 0 < len(absent) < len(levels) else ""
        parts[name + where] = None if absent else over_severities(accuracies, levels)
    return mean(parts)


def at_severity(found: Grid, names: Sequence[str], severity: int) -> Value:
    """The mean over corruptions at one severity."""
    return mean({name: found.get(name, {}).get(severity) for name in names})


def means_by_severity(found: Grid, names: Sequence[str], levels: Sequence[int]) -> tuple[Value, ...]:
    """The mean over corruptions at each severity, and over all of them."""
    each = (at_severity(found, names, level) for level in levels)
    return *each, over_corruptions(found, names, levels)


def severity_table(found: Grid) -> Table:
    """One row a corruption, one column a severity that was run, and their mean."""
    levels = levels_run([found])
    return _by_level("corruption", levels, {name: by_severity(row, levels) for name, row in found.items()})


def groups(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The published groups that `names` touch (categories, the 15, the extra four), and all that was run."""
    categories = grouped(MAIN, lambda name: CORRUPTIONS[name].category)
    found = {f"{category} ({len(members)})": tuple(members) for category, members in categories.items()}
    found[f"the {len(MAIN)}"] = MAIN
    found[f"the extra {len(EXTRA)}"] = EXTRA
    found |= {f"C-bar ({kind})": members for kind, members in BAR.items() if set(members) <= set(names)}
    touched = {label: members for label, members in found.items() if set(members) & set(names)}
    if not set(names) >= set(MAIN):
        touched[f"all {len(names)} run"] = tuple(names)
    return touched


def category_table(found: Grid) -> Table:
    """Means over the published groups, at each severity and over all that were run; never over a part of a group."""
    levels = levels_run([found])
    rows = {
        label: means_by_severity(found, members, levels) for label, members in groups(tuple(found)).items()
    }
    return _by_level("mean of", levels, rows)


def _by_level(head: str, levels: Sequence[int], rows: Mapping[str, tuple[Value, ...]]) -> Table:
    """Values at each severity and their mean last; why a mean is missing stands below."""
    notes = tuple(reasons((label, row[-1:]) for label, row in rows.items()))
    lines = tuple((label, *row) for label, row in rows.items())
    return Table((head, *map(str, levels), "mean"), lines, notes=notes, stacked=True)


def side_by_side(
    grids: Mapping[str, Grid], value: Callable[[Mapping[int, Estimate]], Value], title: str
) -> list[Table]:
    """One row a corruption, one column a subject, a few columns at a time; `value` makes a number of severities."""
    names = in_order(name for found in grids.values() for name in found)
    labels = list(grids)
    return [
        Table(
            ("corruption", *chunk),
            tuple((name, *(value(grids[label].get(name, {})) for label in chunk)) for name in names),
            title=title,
            stacked=len(chunk) > 3,
        )
        for chunk in (labels[i : i + COLUMNS_AT_ONCE] for i in range(0, len(labels), COLUMNS_AT_ONCE))
    ]

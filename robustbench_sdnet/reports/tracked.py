"""What trackers show of a store, whichever they are: parameters, curves along an axis, and the report's tables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..answers.rows import grouped, lambda_text, lambda_value, rows
from ..answers.snapshot import Snapshot
from ..specs import norm_facts
from ..version import VERSION
from ..wording import counted, visible
from .content import build
from .document import Document, Table
from .numbers import Estimate
from .reading import read_results
from .results import DIRECT, Result, Results

LONGEST_TAG = 80  # what Weights & Biases takes as the name of a table, less what it puts before it
NEAR = 0.02  # of a position, by which that of a whole step may differ
LAST_STEP = 2**62  # TensorBoard's have 64 bits
_REFUSED = re.compile(r"\*|\.\.(?=/)")  # by Weights & Biases: patterns of names, ways out of its folder


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy along lambda, eps or severity, all else (`name`) kept the same. The name says so where one of the
    accuracies is untrusted.

    Attributes:
        unit: positions are read in 1/unit, as those of figures are.
        steps: positions in 1/steps are whole numbers, or close to them, and never equal: for trackers that count
            steps. Alike for all curves along an axis.
        points: (position, accuracy), two or more, in order.
    """

    axis: str
    unit: int
    steps: int
    name: str
    points: tuple[tuple[float, float], ...]

    def along(self, parts: int) -> str:
        """The axis whose positions are counted in 1/parts."""
        return self.axis if parts == 1 else f"{self.axis} in 1 of {parts}"

    def tag(self, parts: int) -> str:
        """The name as trackers sort it into groups: axis, perturbation, model."""
        return f"accuracy along {self.along(parts)}/{self.name}"


@dataclass(frozen=True)
class Tracked:
    """Everything that a tracker gets."""

    parameters: dict[str, Any]
    curves: tuple[Curve, ...]
    document: Document

    @property
    def tables(self) -> Iterator[tuple[str, Table]]:
        """The report's tables and those below its figures, under their headings; two of one name are numbered."""
        if self.document.everything:
            yield "All results", self.document.everything
        seen: dict[str, int] = {}
        for section in self.document.sections:
            for table in section.tables:
                name = tag(f"{section.title}: {table.title}" if table.title else section.title)
                seen[name] = seen.get(name, 0) + 1
                yield (name if seen[name] == 1 else f"{name} {seen[name]}"), table


def tracked(snapshot: Snapshot) -> Tracked:
    """What to show of a store."""
    told = snapshot.told_apart
    results = read_results(rows(told))
    return Tracked(_parameters(told), tuple(_curves(results)), build(snapshot))


def tag(text: str) -> str:
    """A text as a tracker's name: visible, on one line, not too long; what is changed gets its hash: two stay two."""
    plain = _REFUSED.sub("_", visible(" ".join(text.split())))
    if plain == text and len(text) <= LONGEST_TAG:
        return text
    return f"{plain[:LONGEST_TAG]} #{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _parameters(snapshot: Snapshot) -> dict[str, Any]:
    cells = [answered.cell for answered in snapshot.answered]
    return {
        "robustbench_sdnet": VERSION,
        "models": {
            visible(model.name): {"arch": visible(model.arch), "weights": model.weights}
            for model in sorted({cell.model for cell in cells}, key=lambda model: (model.name, model.weights))
        },
        "data": {visible(cell.data.label): cell.data.content for cell in cells},
        "perturbations": sorted({visible(cell.perturbation.label) for cell in cells}),
        "cells": len(cells),
    }


class _Axis(NamedTuple):
    """What curves run along: its name, unit and usual steps, as `Curve` has them."""

    name: str
    unit: int
    steps: int


def _curves(results: Results) -> Iterator[Curve]:
    """Every accuracy along lambda, eps and severity, everything else kept the same."""
    groups: dict[tuple[_Axis, str], dict[float, Estimate]] = {}
    for result in results.all:
        for axis, position, fixed in _axes(result):
            groups.setdefault((axis, _name(result, fixed)), {})[position] = result.estimate
    curves: list[Curve] = []
    for (axis, name), estimates in groups.items():
        by_image_set = grouped(sorted(estimates.items()), lambda point: point[1].image_set)
        for (n, images), same in by_image_set.items():  # other images say something else
            if len(same) < 2:
                continue
            label = name
            if len(by_image_set) > 1:
                label += f" ({', '.join(filter(None, (counted(n, 'image'), images)))})"
            if any(estimate.untrusted for _, estimate in same):
                label += " (untrusted)"
            points = tuple((position, estimate.accuracy) for position, estimate in same)
            curves.append(Curve(*axis, label, points))
    steps = {axis: _steps(along) for axis, along in grouped(curves, lambda curve: curve.axis).items()}
    yield from (replace(curve, steps=steps[curve.axis]) for curve in curves)


def _steps(curves: Sequence[Curve]) -> int:
    """The usual steps of an axis; ten, a hundred, ... times as many where some positions need them, and fewer where
    they would be too many to count."""
    steps, positions = curves[0].steps, {position for curve in curves for position, _ in curve.points}
    while steps > 1 and steps * max(positions) > LAST_STEP:
        steps //= 10
    while steps * max(positions) < LAST_STEP / 10:
        whole = {position: round(steps * position) for position in positions}
        near = (abs(step - steps * at) <= NEAR * steps * at for at, step in whole.items())
        if len(set(whole.values())) == len(whole) and all(near):
            break
        steps *= 10
    return steps


def _axes(result: Result) -> Iterator[tuple[_Axis, float, tuple[Hashable, ...]]]:
    """The axes that a result lies on, its position on each, and what tells its curve there from others."""
    if result.kind in ("transfer", "sequence") or result.is_stage:
        return
    lam, value = lambda_text(result.subject.lam), lambda_value(result.subject.lam)
    severity = result.severity and f"severity {result.severity}"
    if isinstance(value, float):
        yield _Axis("lambda", 1, 1000), value, (severity, result.budget if result.eps else result.norm)
    at = None if lam == "-" else f"lambda {lam}"
    if result.severity:
        yield _Axis("severity", 1, 1), float(result.severity), (at,)
    if result.eps and result.kind in (*DIRECT, "noise"):
        unit = norm_facts(result.norm).scale
        yield _Axis(f"{result.norm} eps", unit, unit if unit > 1 else 1000), float(result.eps), (at,)


def _name(result: Result, fixed: tuple[Hashable, ...]) -> str:
    kind = "worst case of " if result.kind == "worst_case" else ""
    what = ", ".join(str(part) for part in (f"{kind}{result.name}", *fixed) if part)
    model = f"{result.subject.model} on {result.subject.data}"
    origin = "" if result.source == "generated" else f" ({result.source})"
    return f"{tag(what + origin)}/{tag(model)}"

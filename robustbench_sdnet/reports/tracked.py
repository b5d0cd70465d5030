"""What trackers show of a store, whichever they are: parameters, curves along an axis, and the report's tables."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy along lambda, eps or severity, all else (`name`) kept the same: two points or more, in order. The name
    says so where one of them is untrusted.

    Positions times `scale` are whole numbers, or close to them, for trackers that count steps.
    """

    axis: str
    scale: int
    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def tag(self) -> str:
        """The name as trackers sort it into groups: axis, perturbation, model."""
        return f"accuracy along {self.axis}/{self.name}"


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
    snapshot = snapshot.told_apart
    results = read_results(rows(snapshot))
    return Tracked(_parameters(snapshot), tuple(_curves(results)), build(snapshot))


def tag(text: str) -> str:
    """A text as a tracker's name: visible, on one line, not too long; what is changed gets its hash: two stay two."""
    plain = visible(" ".join(text.split()))
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


def _curves(results: Results) -> Iterator[Curve]:
    """Every accuracy along lambda, eps and severity, everything else kept the same."""
    groups: dict[tuple[str, int, str], dict[float, Estimate]] = {}
    for result in results.all:
        for axis, scale, position, fixed in _axes(result):
            groups.setdefault((axis, scale, _name(result, fixed)), {})[position] = result.estimate
    for (axis, scale, name), found in groups.items():
        alike = grouped(sorted(found.items()), lambda point: point[1].met)  # other images say something else
        for (n, images), same in alike.items():
            if len(same) > 1:
                where = (
                    f" ({', '.join(filter(None, (counted(n, 'image'), images)))})" if len(alike) > 1 else ""
                )
                doubt = " (untrusted)" if any(one.untrusted for _, one in same) else ""
                points = tuple((position, one.accuracy) for position, one in same)
                yield Curve(axis, scale, name + where + doubt, points)


def _axes(result: Result) -> Iterator[tuple[str, int, float, tuple[Hashable, ...]]]:
    """The axes that a result lies on: name, steps a unit, where on it, and what tells its curve from others."""
    if result.kind in ("transfer", "sequence") or result.is_stage:
        return
    lam, value = lambda_text(result.subject.lam), lambda_value(result.subject.lam)
    severity = result.severity and f"severity {result.severity}"
    if isinstance(value, float):
        yield "lambda in 1 of 1000", 1000, value, (severity, result.eps and result.budget)
    at = None if lam == "-" else f"lambda {lam}"
    if result.severity:
        yield "severity", 1, float(result.severity), (at,)
    if result.eps and result.kind in (*DIRECT, "noise"):
        unit = norm_facts(result.norm).unit
        scale = 255 if unit else 1000
        yield f"{result.norm} eps in 1 of {scale}", scale, float(result.eps), (at,)


def _name(result: Result, fixed: tuple[Hashable, ...]) -> str:
    kind = "" if result.kind in ("clean", "corruption", "attack") else f"{result.kind.replace('_', ' ')} of "
    what = ", ".join(str(part) for part in (f"{kind}{result.name}", *fixed) if part)
    model = f"{result.subject.model} on {result.subject.data}"
    origin = "" if result.source == "generated" else f" ({result.source})"
    return f"{tag(what + origin)}/{tag(model)}"

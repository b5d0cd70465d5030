"""Lambda per sample by a line for each noise, as SDNet's released code is meant to, out of answers that are stored.

For each noise of the published experiment (Dai et al. 2022, arXiv:2210.12945, section 4.3) the line goes through the
mean residual and the most accurate lambda of its levels, on the test images that were asked and their labels; lambda is
read from it image by image and answered by the nearest number that was asked. Who deploys it must know the noise. The
released code's residuals, a list that it never clears, mix lambdas and levels; these are of a level alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..lambdas.lines import Line, line_through
from ..specs import CorruptionSpec, LambdaSpec
from ..specs.lambdas import LAMBDAS, LINE_PER_NOISE, PUBLISHED_LEVELS
from .answered import Answered
from .gathered import Question, Subject, question_of
from .per_image import Right, positions, shared

_LEVELS_OF: Mapping[str, str] = MappingProxyType({"impulse_noise": "salt_and_pepper"})
"""Where a noise has its severities and its levels under two names."""

Swept = Mapping[float, Answered]  # by lambda


def line_per_noise(answers: Iterable[Answered]) -> Iterator[tuple[Question, Subject, Right]]:
    """Every severity of a noise that was asked at all published levels, all at the fourteen published lambdas.

    Args:
        answers: of any models, data sets, perturbations and lambdas, one a question; those of stems alone count.
    """
    asked: dict[tuple[object, ...], dict[CorruptionSpec, dict[float, Answered]]] = {}
    for one in answers:
        spec, lam, data = one.cell.perturbation, one.cell.lam, one.cell.data
        if isinstance(spec, CorruptionSpec) and lam and lam.scope == "stem" and lam.fixed in LAMBDAS:
            specs = asked.setdefault((one.cell.model, data.label, data.content), {})
            specs.setdefault(replace(spec, version=1), {})[lam.fixed] = one
    for specs in asked.values():
        whole = {
            spec: swept
            for spec, swept in specs.items()
            if len(swept) == len(LAMBDAS) and len(shared(one.right for one in swept.values()))
        }
        for spec, at_severity in whole.items():
            noise = _LEVELS_OF.get(spec.name, spec.name)
            if noise in PUBLISHED_LEVELS and spec.severity:
                level = replace(spec, name=noise, severity=None, table="cifar", size="")
                levels = [whole.get(replace(level, level=f"{value:g}")) for value in PUBLISHED_LEVELS[noise]]
                if all(levels):
                    cell, line = at_severity[LAMBDAS[0]].cell, _line(filter(None, levels))
                    who = Subject(cell.model, LambdaSpec(LINE_PER_NOISE))
                    yield question_of(cell), who, _read(line, at_severity)


def _line(levels: Iterable[Swept]) -> Line:
    """Least squares through the levels; of lambdas that are right equally often the smallest counts."""
    residuals, best = [], []
    for swept in levels:
        ids = shared(one.right for one in swept.values())
        counts = [swept[lam].credit.at(ids).sum() for lam in LAMBDAS]
        residuals.append(float(_residuals(swept, ids).mean()))
        best.append(LAMBDAS[int(np.argmax(counts))])
    return line_through(residuals, best)


def _read(line: Line, swept: Swept) -> Right:
    """The answers of each image at the number nearest to its place on the line, which ends at the outermost numbers."""
    ids = shared(one.right for one in swept.values())
    wanted = line.intercept + line.slope * _residuals(swept, ids)
    nearest = np.abs(wanted[:, None] - np.asarray(LAMBDAS)).argmin(1)
    every = np.stack([swept[lam].credit.at(ids) for lam in LAMBDAS])
    return Right(ids, every[nearest, np.arange(len(ids))])


def _residuals(swept: Swept, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each image, at the training lambda, whatever lambda it was answered at."""
    outcome = swept[LAMBDAS[0]].outcome
    return outcome.residual[positions(outcome.ids, ids)].astype(np.float64)

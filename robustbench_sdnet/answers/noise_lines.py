"""Lambda per sample by a line for each noise, as SDNet's released code draws it, out of answers that are stored.

For each noise of the published experiment (Dai et al. 2022, arXiv:2210.12945, section 4.3) the line goes through the
mean residual and the most accurate lambda of its levels, on the test images that were asked and their labels; lambda is
read from it image by image and answered by the nearest number that was asked. Who deploys it must know the noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..lambdas.lines import Line, line_through
from ..specs import SEVERITIES, CorruptionSpec, LambdaSpec
from ..specs.lambdas import LAMBDAS, LINE_PER_NOISE, PUBLISHED_LEVELS
from .gathered import Question, Subject, question
from .per_image import Right, positions, shared
from .snapshot import Answered

_SEVERITIES_OF: Mapping[str, str] = MappingProxyType({"salt_and_pepper": "impulse_noise"})
"""Where a noise has its levels and its severities under two names."""

Swept = Mapping[float, Answered]  # by lambda
Strength = tuple[str, str]  # a noise, at a level or a severity


def line_per_noise(answers: Iterable[Answered]) -> Iterator[tuple[Question, Subject, Right]]:
    """Every severity of every noise that was asked at all published levels, all at the fourteen published lambdas.

    Args:
        answers: of any models, data sets, perturbations and lambdas; those of stems alone count.
    """
    asked: dict[tuple[object, ...], dict[Strength, dict[float, Answered]]] = {}
    for one in answers:
        spec, lam = one.cell.perturbation, one.cell.lam
        if isinstance(spec, CorruptionSpec) and lam and lam.scope == "stem" and lam.fixed in LAMBDAS:
            who = one.cell.model, one.cell.data, spec.seed
            strength = spec.name, spec.level if spec.level is not None else f"severity {spec.severity}"
            asked.setdefault(who, {}).setdefault(strength, {})[lam.fixed] = one
    for strengths in asked.values():
        whole = {strength: swept for strength, swept in strengths.items() if len(swept) == len(LAMBDAS)}
        for noise, levels in PUBLISHED_LEVELS.items():
            at_levels = [whole.get((noise, f"{level:g}")) for level in levels]
            name = _SEVERITIES_OF.get(noise, noise)
            at_severities = [whole.get((name, f"severity {severity}")) for severity in SEVERITIES]
            if all(at_levels) and all(at_severities):
                line = _line(swept for swept in at_levels if swept)
                for swept in filter(None, at_severities):
                    cell = swept[LAMBDAS[0]].cell
                    yield question(cell), Subject(cell.model, LambdaSpec(LINE_PER_NOISE)), _read(line, swept)


def _line(levels: Iterable[Swept]) -> Line:
    """Least squares through the levels; of lambdas that are right equally often the smallest counts."""
    residuals, best = [], []
    for swept in levels:
        ids = shared(one.right for one in swept.values())
        counts = [int(swept[lam].right.at(ids).sum()) for lam in LAMBDAS]
        residuals.append(float(_residuals(swept, ids).mean()))
        best.append(LAMBDAS[int(np.argmax(counts))])
    return line_through(residuals, best)


def _read(line: Line, swept: Swept) -> Right:
    """The answers of each image at the number nearest to its place on the line, which ends at the outermost numbers."""
    ids = shared(one.right for one in swept.values())
    wanted = line.intercept + line.slope * _residuals(swept, ids)
    nearest = np.abs(wanted[:, None] - np.asarray(LAMBDAS)).argmin(1)
    every = np.stack([swept[lam].right.at(ids) for lam in LAMBDAS])
    return Right(ids, every[nearest, np.arange(len(ids))])


def _residuals(swept: Swept, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each image, at the training lambda, whatever lambda it was answered at."""
    outcome = swept[LAMBDAS[0]].outcome
    return outcome.residual[positions(outcome.ids, ids)].astype(np.float64)

"""Made-up answers in the real types, with accuracies that a reader can follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robustbench_sdnet.answers.answered import Answered, Cost
from robustbench_sdnet.answers.rows import Row, rows
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.answers.trust import Finding
from robustbench_sdnet.reports.numbers import Estimate
from robustbench_sdnet.reports.reading import read_results
from robustbench_sdnet.reports.results import Results
from robustbench_sdnet.specs import (
    CLEAN,
    AttackSpec,
    Cell,
    CorruptionSpec,
    DataSpec,
    Eps,
    LambdaSpec,
    ModelSpec,
    decimal_text,
    params,
)
from robustbench_sdnet.store.outcome import Outcome

DATA = DataSpec(name="digits", source="digits", split="test", content="f" * 64)
WEIGHTS = "0123456789abcdef" * 4
RESNET = ModelSpec(name="resnet20", source="r", arch="resnet20", weights=WEIGHTS)
SDNET = ModelSpec(name="sdnet20", source="s", arch="sdnet20", weights=WEIGHTS, training_lambda=0.1)
PASSED = Finding("noise_wins", "pass", 0.0, "Noise breaks nothing more.", 200)
FAILED = Finding("noise_wins", "fail", 7.0, "Noise breaks 7 samples more.", 60)
VERSIONS = {"torch": "2.0", "numpy": "2.0"}

Lam = float | str | None


def lam_spec(lam: Lam) -> LambdaSpec | None:
    """0.1, "calibrated" or None as a spec."""
    return None if lam is None else LambdaSpec(lam if isinstance(lam, str) else decimal_text(lam))


def network(name: str) -> ModelSpec:
    """A plain network with weights of its own."""
    return replace(RESNET, name=name, weights=name.ljust(64, "0"))


def record(
    right: int,
    n: int = 200,
    *,
    spec: CorruptionSpec | AttackSpec = CLEAN,
    model: ModelSpec = RESNET,
    lam: Lam = None,
    lam_attack: Lam = None,
    first: int = 0,
    images: Sequence[int] | None = None,
    passes: tuple[int, int] | None = None,
    findings: tuple[Finding, ...] = (),
    distances: Iterable[float] | None = None,
    data: DataSpec = DATA,
    precision: str = "float32",
    parents: tuple[str, ...] = (),
    seconds: float = 0.0,
    memory_mib: float | None = None,
    versions: tuple[dict[str, str], ...] = (VERSIONS,),
) -> Answered:
    """An answer: of `n` images (by default the first, clean) `right` from position `first` on."""
    cell = Cell(
        model=model,
        data=data,
        perturbation=spec,
        lam=lam_spec(lam),
        lam_attack=lam_spec(lam_attack),
        precision=precision,
        parents=parents,
    )
    nothing = np.full(n, np.nan, np.float32)
    positions = np.arange(n)
    outcome = Outcome(
        ids=positions if images is None else np.asarray(images),
        right=(positions >= first) & (positions < first + right),
        broken_at=np.full(n, -1, np.int32),
        margin=nothing,
        lam=nothing,
        residual=nothing,
        distance=nothing if distances is None else np.asarray(list(distances), np.float32),
    )
    forwards, backwards = passes or (n, 0)
    cost = Cost(forwards, backwards, seconds, memory_mib, ("cpu",), (precision,), versions)
    return Answered(cell.id, cell, outcome, cost, findings)


def corruption(name: str, severity: int, right: int, n: int = 200, **given: Any) -> Answered:
    """An answer under a corruption."""
    return record(right, n, spec=CorruptionSpec(name=name, severity=severity), **given)


def attack(name: str, eps: str | None, right: int, n: int = 200, **given: Any) -> Answered:
    """An answer under an attack whose gradients were taken at the deployed lambda; "chain/stage" for a stage."""
    chain, _, stage = name.rpartition("/")
    norm, steps = given.pop("norm", "linf"), given.pop("steps", 20)
    spec = AttackSpec(
        name=stage,
        eps=None if eps is None else Eps.parse(eps, norm),
        norm=norm,
        params=params({"steps": steps, **given.pop("settings", {})}),
        kind="noise" if stage == "noise" else "attack",
        chain=chain,
        shown=given.pop("shown", ""),
    )
    given.setdefault("lam_attack", given.get("lam"))
    return record(right, n, spec=spec, **given)


def rows_of(answers: Iterable[Answered]) -> tuple[Row, ...]:
    """The typed rows of some answers, worst cases and oracles among them."""
    return rows(snapshot(answers))


def snapshot(answers: Iterable[Answered]) -> Snapshot:
    """What a store with these answers says."""
    return Snapshot(tuple(sorted(answers, key=lambda answered: answered.id))).told_apart


def results_of(answers: Iterable[Answered]) -> Results:
    """The results of some answers as tables read them."""
    return read_results(rows_of(answers))


def study(
    names: Iterable[str] = ("gaussian_noise", "brightness"), lambdas: Iterable[float] = (0.1, 0.5, 1.0)
) -> list[Answered]:
    """Two models, corruptions at five severities, an attack at three eps beside noise, three lambdas."""
    lams = list(lambdas)
    found = [record(190)]
    found += [record(192 - round(8 * lam), model=SDNET, lam=lam) for lam in lams]
    for position, name in enumerate(names):
        for severity in range(1, 6):
            found.append(corruption(name, severity, 190 - (12 + 3 * (position % 7)) * severity))
            for lam in lams:
                lost = (14 + 3 * (position % 7)) * severity * (1.15 - min(lam, 0.7 + 0.1 * position))
                right = round(min(max(190 - 12 * lam - lost, 20), 190))
                found.append(corruption(name, severity, right, model=SDNET, lam=lam))
    for level in (2, 4, 8):
        found.append(attack("pgd", f"{level}/255", 160 - 18 * level, passes=(900, 700)))
        found.append(attack("noise", f"{level}/255", 189 - level))
        for lam in lams:
            findings = (FAILED,) if lam > 0.9 else (PASSED,)
            right = round(150 - 17 * level + 20 * lam)
            own: dict[str, Any] = {"model": SDNET, "lam": lam, "passes": (900, 700)}
            found.append(attack("pgd", f"{level}/255", right, findings=findings, **own))
            found.append(attack("noise", f"{level}/255", round(188 - level - 6 * lam), **own))
    return found


def record_estimate(accuracy: float) -> Estimate:
    """The estimate of 200 images, of which a share is right."""
    return results_of([record(round(200 * accuracy))]).all[0].estimate

"""Made-up records in the form of `evaluation.records`, with accuracies that a reader can follow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from robustbench_sdnet.statistics import wilson

Row = dict[str, Any]
WEIGHTS = "0123456789abcdef" * 4


def record(right: int, n: int = 200, **given: Any) -> Row:
    """One record: `right` of `n` images, the rest from `given` or as for clean images of a plain model."""
    low, high = wilson(right, n)
    row: Row = {
        "model": "resnet20",
        "arch": "resnet20",
        "data": "digits",
        "kind": "clean",
        "perturbation": "clean",
        "severity": None,
        "norm": None,
        "eps": None,
        "lambda": None,
        "lambda_attack": None,
        "n": n,
        "accuracy": right / n,
        "low": low,
        "high": high,
        "source": "generated",
        "verdict": "unchecked",
        "passes_forward": n,
        "passes_backward": 0,
    }
    row.update(given)
    question = [row[key] for key in row if key not in ("n", "accuracy", "low", "high", "verdict")]
    row["cell"] = hashlib.sha256(str(question).encode()).hexdigest()[:24]
    return row


def corruption(name: str, severity: int, right: int, **given: Any) -> Row:
    """A record under a corruption."""
    return record(right, kind="corruption", perturbation=name, severity=severity, **given)


def attack(name: str, eps: str | None, right: int, **given: Any) -> Row:
    """A record under a Linf attack whose gradients were taken at the deployed lambda."""
    given.setdefault("lambda_attack", given.get("lambda"))
    return record(right, **{"kind": "attack", "perturbation": name, "norm": "linf", "eps": eps, **given})


def details(records: Iterable[Row], **given: Any) -> list[Row]:
    """What `evaluation.records.provenance` would say of the records."""
    found = []
    for row in records:
        if row["kind"] == "worst_case":
            continue
        parameters: Row = {"seed": 0, "version": 1}
        if row["norm"]:
            parameters |= {"norm": row["norm"], "eps": row["eps"], "steps": 20}
        else:
            parameters |= {"source": row["source"]} | (
                {"severity": row["severity"]} if row["severity"] else {}
            )
        keys = ("cell", "model", "arch", "data", "kind", "perturbation", "lambda", "lambda_attack", "n")
        found.append(
            {
                **{key: row[key] for key in keys},
                "weights": WEIGHTS,
                "data_hash": "f" * 64,
                "parameters": parameters,
                "precision": "float32",
                "parents": [],
                "versions": {"torch": "2.0", "numpy": "2.0"},
                **given,
            }
        )
    return found


def study(
    names: Iterable[str] = ("gaussian_noise", "brightness"), lambdas: Iterable[float] = (0.1, 0.5, 1.0)
) -> list[Row]:
    """Two models, corruptions at five severities, an attack at three eps beside noise, three lambdas."""
    lams = list(lambdas)
    rows = [record(190)]
    rows += [record(192 - round(8 * lam), model="sdnet20", arch="sdnet20", **{"lambda": lam}) for lam in lams]
    for position, name in enumerate(names):
        for severity in range(1, 6):
            rows.append(corruption(name, severity, 190 - (12 + 3 * (position % 7)) * severity))
            for lam in lams:
                lost = (14 + 3 * (position % 7)) * severity * (1.15 - min(lam, 0.7 + 0.1 * position))
                given = {"model": "sdnet20", "arch": "sdnet20", "lambda": lam}
                rows.append(
                    corruption(name, severity, round(min(max(190 - 12 * lam - lost, 20), 190)), **given)
                )
    for level in (2, 4, 8):
        given = {"passes_forward": 900, "passes_backward": 700}
        rows.append(attack("pgd", f"{level}/255", 160 - 18 * level, **given))
        rows.append(attack("noise", f"{level}/255", 189 - level, kind="noise"))
        for lam in lams:
            own: Row = {"model": "sdnet20", "arch": "sdnet20", "lambda": lam, **given}
            own["verdict"] = "untrusted" if lam > 0.9 else "trusted"
            rows.append(attack("pgd", f"{level}/255", round(150 - 17 * level + 20 * lam), **own))
            own |= {"kind": "noise", "verdict": "unchecked"}
            rows.append(attack("noise", f"{level}/255", round(188 - level - 6 * lam), **own))
    return rows

"""Paired comparisons from a store: models at the lambda they were trained at, and lambdas of one model.

Every test is exact and two-sided on the same images: McNemar's for one perturbation, the sign test over images for a
mean over several (an image counts for the side that has more of them right). P values are corrected (Holm) within a
family: one kind of perturbation, between models or between the lambdas of one model. Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..corruptions.registry import CORRUPTIONS
from ..statistics import holm, mcnemar
from ..store.store import Store
from .gathered import Answers, Question, Right, Subject, answered_cells, gather, shared
from .records import lambda_value

ALPHA = 0.05
FIELDS = (
    "family",
    "data",
    "model_a",
    "lambda_a",
    "model_b",
    "lambda_b",
    "kind",
    "perturbation",
    "severity",
    "norm",
    "eps",
    "n",
    "accuracy_a",
    "accuracy_b",
    "low",
    "high",
    "only_a",
    "only_b",
    "p",
    "p_corrected",
    "better",
)
KINDS = {
    "clean": "clean",
    "corruption": "corruptions",
    "mean": "mean over corruptions",
    "noise": "random noise",
    "attack": "attacks",
    "worst_case": "worst case of every attack",
}
_Z = 1.959964

Row = dict[str, Any]


def comparisons(store: Store | str) -> list[Row]:
    """Every comparison that the store's answers allow, as rows of `FIELDS`, in a fixed order.

    `only_a` and `only_b` count images that one side alone has right (for means: has right more often); `low` and
    `high` are the 95 % interval of accuracy a minus accuracy b; `better` names a side whose corrected p is below 0.05,
    or is empty.

    Raises:
        StoreError: the store does not exist or is damaged.
    """
    if isinstance(store, str):
        with Store(store, must_exist=True) as opened:
            return comparisons(opened)
    answers = gather(answered_cells(store))
    rows = [
        _row(asked, pair, [(found[pair[0]], found[pair[1]])])
        for asked, found in answers.items()
        for pair in _pairs(found)
    ]
    rows = [row for row in [*rows, *_means(answers)] if row["n"]]
    _correct(rows)
    return sorted(rows, key=_order)


def _pairs(found: Mapping[Subject, Right]) -> Iterator[tuple[Subject, Subject]]:
    """Models against each other at their defaults, then each lambda against its model's default."""
    defaults = sorted((subject for subject in found if subject.is_default), key=lambda s: s.model.name)
    yield from combinations(defaults, 2)
    for default in defaults:
        for subject in found:
            if subject.model == default.model and subject != default:
                yield subject, default


def _means(answers: Answers) -> Iterator[Row]:
    """Means over the noises, and over everything where more than noises was run, on what both sides were asked."""
    corruptions = {asked: found for asked, found in answers.items() if asked.kind == "corruption"}
    for data, content, source in dict.fromkeys((q.data, q.content, q.source) for q in corruptions):
        here = [q for q in corruptions if (q.data, q.content, q.source) == (data, content, source)]
        noises = [q for q in here if _category(q) == "noise"]
        for asked in [noises] if len(noises) == len(here) else [noises, here]:
            subjects = dict.fromkeys(subject for q in asked for subject in corruptions[q])
            for pair in _pairs(dict.fromkeys(subjects, Right(np.empty(0, np.int64), np.empty(0, bool)))):
                both = [q for q in asked if pair[0] in corruptions[q] and pair[1] in corruptions[q]]
                if len(both) > 1:
                    name = _mean_name(both, asked is noises)
                    mean = Question(data, content, "mean", name, source=source)
                    yield _row(mean, pair, [(corruptions[q][pair[0]], corruptions[q][pair[1]]) for q in both])


def _category(asked: Question) -> str:
    info = CORRUPTIONS.get(asked.perturbation.partition("@")[0].partition("(")[0])
    return info.category if info else ""


def _mean_name(asked: Sequence[Question], noises: bool) -> str:
    names = len({q.perturbation for q in asked})
    what = ("noise" if noises else "corruption") + ("s" if names > 1 else "")
    return f"{names} {what}, {len(asked)} conditions"


def _row(asked: Question, pair: tuple[Subject, Subject], answers: Sequence[tuple[Right, Right]]) -> Row:
    first, second = pair
    ids = shared([side for both in answers for side in both])
    a = np.mean([side.at(ids) for side, _ in answers], axis=0) if len(ids) else np.empty(0)
    b = np.mean([side.at(ids) for _, side in answers], axis=0) if len(ids) else np.empty(0)
    low, high = difference_interval(a - b)
    # Shares of equal counts are equal floats: both are the same integer over the same number of conditions.
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    same_model = first.model == second.model
    between = f"lambdas of {first.model.name}" if same_model else "models"
    source = "" if asked.source == "generated" else f" ({asked.source})"
    return {
        "family": f"{asked.data}: {between}, {KINDS[asked.kind]}{source}",
        "data": asked.data,
        "model_a": first.model.name,
        "lambda_a": lambda_value(first.lam),
        "model_b": second.model.name,
        "lambda_b": lambda_value(second.lam),
        "kind": asked.kind,
        "perturbation": asked.perturbation,
        "severity": asked.severity,
        "norm": asked.norm,
        "eps": asked.eps,
        "n": len(ids),
        "accuracy_a": float(a.mean()) if len(ids) else math.nan,
        "accuracy_b": float(b.mean()) if len(ids) else math.nan,
        "low": low,
        "high": high,
        "only_a": only_a,
        "only_b": only_b,
        "p": mcnemar(only_a, only_b),
    }


def difference_interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of a mean of paired differences in [-1, 1]: Wald's with one image won and one lost added.

    For outcomes of right or wrong this is the interval of Agresti and Min (2005); it stays wide where nothing differs.
    """
    n = len(differences)
    if n == 0:
        return math.nan, math.nan
    mean = float(differences.sum()) / (n + 2)
    variance = (float((differences**2).sum()) + 1) / (n + 2) - mean**2
    half = _Z * math.sqrt(max(variance, 0) / (n + 2))
    return max(-1.0, mean - half), min(1.0, mean + half)


def _correct(rows: Sequence[Row]) -> None:
    """Add corrected p values, family by family, and who is better by them."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        families.setdefault(row["family"], []).append(row)
    for family in families.values():
        for row, corrected in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_corrected"] = float(corrected)
            side = "a" if row["only_a"] > row["only_b"] else "b"
            row["better"] = _name(row, side) if corrected < ALPHA else ""


def _name(row: Row, side: str) -> str:
    lam = row[f"lambda_{side}"]
    if lam is None:
        return str(row[f"model_{side}"])
    return (
        f"{row[f'model_{side}']} @ {lam:g}" if isinstance(lam, float) else f"{row[f'model_{side}']} @ {lam}"
    )


def _order(row: Row) -> tuple[Any, ...]:
    lam = row["lambda_a"]
    number = lam if isinstance(lam, float) else math.inf
    return (
        row["data"],
        "lambdas of" in row["family"],
        list(KINDS).index(row["kind"]),
        row["family"],
        row["perturbation"],
        row["severity"] or 0,
        row["norm"] or "",
        row["eps"] or "",
        row["model_a"],
        number,
        str(lam),
        row["model_b"],
    )

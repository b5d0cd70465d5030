"""The conclusion in plain words, drawn from records and paired tests alone: does raising lambda make a model robust?

A gain or a loss is claimed only where a corrected paired test found one. Where none did, the interval of the difference
decides: if it lies within `NEGLIGIBLE` the answer is no, else the images were too few to tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..wording import counted
from .document import Section
from .results import Lambda, distinct, lambda_order, lambda_text
from .tables.comparisons import probability

Row = Mapping[str, Any]
NEGLIGIBLE = 0.03


@dataclass(frozen=True)
class Evidence:
    """What is known of one model on one data set.

    Attributes:
        records: its records.
        compared: its lambdas against the one it was trained at.
        rivals: what broke images that the direct attacks left.
    """

    model: str
    records: Sequence[Row]
    compared: Sequence[Row]
    rivals: Sequence[Row]

    @property
    def trained(self) -> Any:
        """The lambda that all others are compared with."""
        return self.compared[0]["lambda_b"]


def conclusion(records: Sequence[Row], compared: Sequence[Row], rivals: Sequence[Row]) -> Section | None:
    """The last section; None where no model was asked at several lambdas.

    Args:
        records: as `evaluation.records.records` returns them.
        compared: as `evaluation.comparisons.comparisons` returns them.
        rivals: as `evaluation.rivals.rivals` returns them.
    """
    paragraphs = tuple(paragraph for _, paragraph in sentences(records, compared, rivals))
    return Section("Conclusion", paragraphs) if paragraphs else None


def sentences(
    records: Sequence[Row], compared: Sequence[Row], rivals: Sequence[Row]
) -> Iterator[tuple[str, str]]:
    """Paragraphs with the question each answers: noise, adversary or masking."""
    within = [row for row in compared if row["model_a"] == row["model_b"] and row["lambda_b"] is not None]
    subjects = distinct((row["data"], row["model_a"]) for row in within)
    several = len({data for data, _ in subjects}) > 1
    for data, model in subjects:
        evidence = Evidence(
            model,
            [row for row in records if (row["data"], row["model"]) == (data, model)],
            [row for row in within if (row["data"], row["model_a"]) == (data, model)],
            [row for row in rivals if (row["data"], row["model"]) == (data, model)],
        )
        start = f"{model} on {data}" if several else model
        yield "noise", f"{start}, noise: {noise(evidence)}"
        yield "adversary", f"{start}, an adversary who knows lambda: {adversary(evidence)}"
        yield "masking", f"{start}, transfer and masking: {masking(evidence)}"


def noise(evidence: Evidence) -> str:
    """Whether another lambda helps under noise, which, and by how much."""
    means = [row for row in evidence.compared if row["kind"] == "mean" and "noise" in row["perturbation"]]
    if not means:
        return "not asked. Run noise at several lambdas, at two severities or more."
    what = distinct(row["perturbation"] for row in means)
    base = f"The mean over {', '.join(what)} is {_percent(means[0]['accuracy_b'])} at the training lambda "
    parts = [f"{_answer(means)} {base}{lambda_text(evidence.trained)}."]
    policies = [row for row in means if _number(row["lambda_a"]) is None]
    parts += [f"{lambda_text(row['lambda_a'])} {_effect(row)}." for row in policies]
    numbers = [(row, number) for row in means if (number := _number(row["lambda_a"])) is not None]
    if numbers:
        best, _ = max(numbers, key=lambda one: (one[0]["accuracy_a"] - one[0]["accuracy_b"], -one[1]))
        if best["accuracy_a"] > best["accuracy_b"]:
            parts.append(
                f"Of the fixed numbers, {lambda_text(best['lambda_a'])} comes out highest: it {_effect(best)}."
            )
        else:
            parts.append(
                f"Of the fixed numbers none comes out higher: {lambda_text(best['lambda_a'])} {_effect(best)}."
            )
    parts += _single(evidence)
    bound = _oracle(evidence)
    if bound is not None:
        parts.append(
            f"Choosing the number on the test labels for each noise and severity, an upper bound that nobody can "
            f"deploy, gains {_points(bound)}."
        )
    return " ".join(parts)


def _single(evidence: Evidence) -> Iterator[str]:
    """How many single noises at single severities found a difference of their own."""
    rows = [
        row for row in evidence.compared if row["kind"] == "corruption" and "noise" in row["perturbation"]
    ]
    if rows:
        yield (
            f"Of {len(rows)} tests of one noise at one severity, {sum(map(_gains, rows))} found a gain and "
            f"{sum(map(_loses, rows))} a loss."
        )


def adversary(evidence: Evidence) -> str:
    """Whether another lambda survives the worst case that was found at it."""
    worst = [row for row in evidence.compared if row["kind"] == "worst_case"]
    if not worst:
        return "not asked. Run an attack and random noise at several lambdas."
    parts = []
    for norm, eps in distinct((row["norm"], row["eps"]) for row in worst):
        rows = [row for row in worst if (row["norm"], row["eps"]) == (norm, eps)]
        doubted = _doubts(evidence, norm, eps)
        parts.append(
            f"{_answer(rows)} Under the worst of everything that was run in the ball of {norm} {eps}, sample by "
            f"sample, {_percent(rows[0]['accuracy_b'])} survive at the training lambda "
            f"{lambda_text(evidence.trained)}."
        )
        effects: dict[str, list[Any]] = {}
        for row in rows:
            doubt = row["lambda_a"] in doubted and _gains(row)
            caution = ", which is not to be trusted: see below" if doubt else ""
            effects.setdefault(f"{_effect(row)}{caution}", []).append(row["lambda_a"])
        for effect, lams in effects.items():
            parts.append(f"{'Lambda' if len(lams) == 1 else 'Each of lambda'} {_listed(lams)} {effect}.")
    return " ".join(parts)


def masking(evidence: Evidence) -> str:
    """Whether transfer or hidden gradients stand behind what looks like a gain."""
    attacked = [row for row in evidence.records if row["kind"] == "attack"]
    if not attacked:
        return "not asked."
    parts = [*_transfer(evidence), *_missed(evidence)]
    checked = [row for row in attacked if row["verdict"] != "unchecked"]
    failed = sorted({row["lambda"] for row in checked if row["verdict"] == "untrusted"}, key=lambda_order)
    if failed:
        parts.append(
            f"Diagnostics failed at lambda {_listed(failed)}: accuracies under attack there are not to be trusted."
        )
    elif checked:
        parts.append("No diagnostic of the attacks failed.")
    else:
        parts.append("The attacks were not diagnosed.")
    return " ".join(parts)


def _transfer(evidence: Evidence) -> Iterator[str]:
    """How much would be gained if perturbations made at the training lambda were all, and how much of it stays."""
    worst = {
        (row["norm"], row["eps"], row["lambda_a"]): row
        for row in evidence.compared
        if row["kind"] == "worst_case"
    }
    made = [
        (row, worst[row["norm"], row["eps"], row["lambda"]])
        for row in evidence.records
        if row["kind"] == "transfer"
        and row["lambda_attack"] == evidence.trained
        and (row["norm"], row["eps"], row["lambda"]) in worst
    ]
    if not made:
        yield "Transfer between lambdas was not measured."
        return
    row, found = max(made, key=lambda pair: pair[0]["accuracy"] - pair[1]["accuracy_b"])
    where = f"lambda {lambda_text(row['lambda'])}"
    apparent = row["accuracy"] - found["accuracy_b"]
    lost = min(row["accuracy"] - found["accuracy_a"], apparent)
    seen = (
        f"Perturbations of {row['norm']} {row['eps']} made at the training lambda leave "
        f"{_percent(row['accuracy'])} at {where}"
    )
    if apparent <= NEGLIGIBLE:
        yield f"{seen}: not even transfer looks like a gain over {_percent(found['accuracy_b'])}."
        return
    seen += f", which looks like a gain of {_points(apparent)}; together, everything run there leaves "
    seen += _percent(found["accuracy_a"])
    if lost > NEGLIGIBLE:
        yield f"{seen}: {_points(lost)} of that gain are transfer, not robustness."
    else:
        yield f"{seen}: transfer does not explain it."


def _missed(evidence: Evidence) -> Iterator[str]:
    """Rivals that broke more than a rare rate of what the gradient attacks left."""
    names = {
        "square": "Square, which uses no gradient,",
        "noise": "Random noise",
        "transfer": "Transfer from another lambda",
    }
    for row in evidence.rivals:
        if row["suspicious"]:
            yield (
                f"{names[row['rival']]} breaks {row['broken']} of the {row['left']} images that the gradient "
                f"attacks at lambda {lambda_text(row['lambda'])} left ({row['norm']} {row['eps']}): those attacks "
                "are weaker than they should be, and the accuracy under them is too high."
            )
    square = [row for row in evidence.rivals if row["rival"] == "square"]
    if square and not any(row["suspicious"] for row in square):
        yield "Square, which uses no gradient, breaks no more than a rare image that the gradient attacks left."
    if not square:
        yield "No gradient-free attack was run."


def _doubts(evidence: Evidence, norm: str | None, eps: str | None) -> set[Any]:
    """The lambdas at which a gradient attack was shown to be weak."""
    rivals = {
        row["lambda"]
        for row in evidence.rivals
        if row["suspicious"] and (row["norm"], row["eps"]) == (norm, eps)
    }
    failed = {
        row["lambda"]
        for row in evidence.records
        if row["verdict"] == "untrusted" and (row["norm"], row["eps"]) == (norm, eps)
    }
    return rivals | failed


def _oracle(evidence: Evidence) -> float | None:
    """Mean gain of the best number in hindsight over the training lambda, on what both were asked."""
    keys = ("perturbation", "severity", "source", "n")
    noises = [
        row for row in evidence.records if row["kind"] == "corruption" and "noise" in row["perturbation"]
    ]
    trained = {
        tuple(row[key] for key in keys): row["accuracy"]
        for row in noises
        if row["lambda"] == evidence.trained
    }
    gains = [
        row["accuracy"] - trained[tuple(row[key] for key in keys)]
        for row in noises
        if row["lambda"] in ("oracle", "all:oracle") and tuple(row[key] for key in keys) in trained
    ]
    return sum(gains) / len(gains) if gains else None


def _number(lam: Lambda) -> float | None:
    """The number of a fixed lambda of either scope; None for a policy, or where there is no lambda."""
    text = str(lam).removeprefix("all:")
    return float(text) if text.replace(".", "", 1).isdigit() else None


def _answer(rows: Sequence[Row]) -> str:
    """Yes, no or cannot tell, over every other lambda that was tried."""
    if any(map(_gains, rows)):
        return "Another lambda helps."
    if all(_loses(row) or row["high"] <= NEGLIGIBLE for row in rows):
        return f"No other lambda helps (by more than {_points(NEGLIGIBLE)})."
    return "Cannot tell whether another lambda helps: too few images."


def _effect(row: Row) -> str:
    """What a lambda does, as a claim that its test allows."""
    gain = row["accuracy_a"] - row["accuracy_b"]
    interval = f"95 % interval {100 * row['low']:+.1f} to {100 * row['high']:+.1f}"
    tested = f"{interval}, corrected p {probability(row['p_corrected'])}, {counted(row['n'], 'image')}"
    if _gains(row):
        return f"gains {_points(gain)} ({tested})"
    if _loses(row):
        return f"costs {_points(-gain)} ({tested})"
    if max(-row["low"], row["high"]) <= NEGLIGIBLE:
        return f"changes nothing beyond {_points(NEGLIGIBLE)} ({tested})"
    if row["only_a"] == row["only_b"] == 0:
        return f"changes no answer, on too few images to tell more ({tested})"
    return f"moves accuracy by {100 * gain:+.1f} points, cannot tell from chance: too few images ({tested})"


def _gains(row: Row) -> bool:
    return bool(row["better"]) and row["only_a"] > row["only_b"] and row["accuracy_a"] > row["accuracy_b"]


def _loses(row: Row) -> bool:
    return bool(row["better"]) and row["only_a"] < row["only_b"] and row["accuracy_a"] < row["accuracy_b"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def _listed(lambdas: Sequence[Any]) -> str:
    return ", ".join(map(lambda_text, lambdas))

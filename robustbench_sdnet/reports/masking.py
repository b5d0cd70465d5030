"""Whether transfer or hidden gradients stand behind what looks like a gain, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..answers.rows import Row, grouped, lambda_text
from ..answers.trust import FAIL, NOT_RUN, UNTRUSTED
from ..planning.chains import chain_of, whole_name
from ..wording import percent
from .evidence import NEGLIGIBLE, Evidence
from .numbers import points
from .results import listed

_NAMES = {
    "square": "Square, which uses no gradient,",
    "noise": "Random noise",
    "transfer": "Transfer from another lambda",
}


def masking(evidence: Evidence) -> str:
    """Whether transfer or hidden gradients stand behind what looks like a gain."""
    attacked = [row for row in evidence.rows if row.kind == "attack"]
    if not attacked:
        return "not measured."
    return " ".join([_transfer(evidence), *_missed(evidence), *_diagnosed(attacked)])


def _transfer(evidence: Evidence) -> str:
    """How much would be gained if perturbations made at the training lambda were all, and how much of it stays where
    the same attack is made at the lambda that is deployed."""
    shown = [row for row in evidence.rows if row.kind == "transfer"]
    if not shown:
        return "Transfer between lambdas was not measured."
    attacks = (row for row in evidence.rows if row.kind == "attack")
    weakest_first = sorted(attacks, key=lambda row: -row.accuracy)
    direct = {(row.perturbation, row.lam, row.n, row.images): row for row in weakest_first}
    made = []
    for row in shown:
        known = row.perturbation, row.n, row.images
        there, here = (direct.get((known[0], lam, *known[1:])) for lam in (evidence.trained, row.lam))
        if row.lam_attack == evidence.trained and there and here:
            made.append((row.accuracy - there.accuracy, row, there, here))
    if not made:
        return (
            "The same images were not attacked alike at both lambdas, so what transfer leaves says nothing about "
            "robustness."
        )
    apparent, row, there, here = max(made, key=lambda one: one[0])
    seen = (
        f"Perturbations of {row.norm} {row.eps} made by {whole_name(row.perturbation)} at the training lambda leave "
        f"{percent(there.accuracy)} there and {percent(row.accuracy)} at lambda {lambda_text(row.lam)}"
    )
    if apparent <= NEGLIGIBLE:
        return f"{seen}: not even transfer looks like a gain."
    seen += f", which looks like a gain of {points(apparent)}; made at {lambda_text(row.lam)} they leave "
    seen += percent(here.accuracy)
    lost = min(row.accuracy - here.accuracy, apparent)
    if lost > NEGLIGIBLE:
        return f"{seen}: {points(lost)} of that gain are transfer, not robustness."
    return f"{seen}: transfer does not explain it."


def _missed(evidence: Evidence) -> Iterator[str]:
    """Rivals that broke more than a rare rate of what the gradient attacks left."""
    if any(row.model.repeats for row in evidence.rows):
        yield "The model draws random numbers, so one attack may break by chance what another left: not counted."
        return
    for rival in evidence.rivals:
        if rival.suspicious:
            yield (
                f"{_NAMES[rival.name]} breaks {rival.broken} of the {rival.left} images that the gradient "
                f"attacks at lambda {lambda_text(rival.subject.lam)} left ({rival.question.ball}): those attacks "
                "are weaker than they should be, and the accuracy under them is too high."
            )
    square = [rival for rival in evidence.rivals if rival.name == "square"]
    if square and not any(rival.suspicious for rival in square):
        most = max(square, key=lambda rival: (rival.broken, rival.left))
        where = f"(at lambda {listed({rival.subject.lam for rival in square})})"
        if most.broken:
            told = f"breaks at most {most.broken} of the {most.left} images that the gradient attacks left, too few to "
            told += "doubt those"
        elif most.left:
            told = f"breaks none of the images that the gradient attacks left, {most.left} at most"
        else:
            told = "found nothing to break, since the gradient attacks left no image"
        yield f"{_NAMES['square']} {told} {where}."
    if not square:
        alone = {row.lam for row in evidence.rows if row.perturbation.name == "square" and _is_alone(row)}
        where = f"run at lambda {listed(alone)} alone, where no gradient attack met the same images"
        yield f"The gradient-free attack square was {where if alone else 'not run on its own'}."


def _is_alone(row: Row) -> bool:
    """Whether an attack is no stage of a chain."""
    return row.kind == "attack" and not chain_of(row.perturbation)


def _diagnosed(attacked: Sequence[Row]) -> Iterator[str]:
    """What diagnostics said of the attacks, and of which they said nothing."""
    judged = [row for row in attacked if row.eps is not None]
    silent = [row for row in judged if row.verdict == UNTRUSTED and not _failed(row)]
    if silent:
        yield f"First gradients were zero or not finite for {_attacks(silent)}: these accuracies are not to be trusted."
    known = {
        (row.norm, row.eps, row.lam)
        for row in judged
        if any(finding.verdict != NOT_RUN for finding in row.findings)
    }
    if not known:
        yield "The attacks were not diagnosed."
        return
    if failed := [row for row in judged if _failed(row)]:
        yield f"Diagnostics failed for {_attacks(failed)}: these accuracies are not to be trusted."
    else:
        yield "No diagnostic of the attacks failed."
    left = {row.lam for row in judged if (row.norm, row.eps, row.lam) not in known}
    if left:
        yield f"Not every attack at lambda {listed(left)} was diagnosed."


def _failed(row: Row) -> bool:
    return any(finding.verdict == FAIL for finding in row.findings)


def _attacks(rows: Sequence[Row]) -> str:
    """Attacks with their budgets, and the lambdas of each."""
    by_attack = grouped(rows, lambda row: f"{whole_name(row.perturbation)} ({row.norm} {row.eps})")
    return "; ".join(
        f"{name} at lambda {listed({row.lam for row in same})}" for name, same in by_attack.items()
    )

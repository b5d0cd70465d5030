"""Rows, comparisons and rivals of one sparse network, and what a conclusion says of them."""

from dataclasses import replace

import numpy as np

from robustbench_sdnet.answers.comparisons import Comparison
from robustbench_sdnet.answers.gathered import EVERY, Question, Subject
from robustbench_sdnet.answers.rivals import Rival
from robustbench_sdnet.reports.conclusion import sentences
from robustbench_sdnet.reports.evidence import evidences
from robustbench_sdnet.specs import CorruptionSpec, Eps, LambdaSpec
from robustbench_sdnet.statistics import difference_interval, mcnemar

from .made_records import DATA, SDNET as MODEL, attack, lam_spec, rows_of

SDNET = replace(MODEL, name="sdnet")
EPS = Eps.parse("8/255")
MEAN = Question("digits", DATA.content, "mean", "4 noises, 20 conditions", is_noise=True)
BALL = Question("digits", DATA.content, "worst_case", EVERY, norm="linf", eps=EPS)
CLEAN = Question("digits", DATA.content, "clean", "clean")
SHOT = Question("digits", DATA.content, "corruption", "shot_noise", 5, is_noise=True)
NOISE = CorruptionSpec(name="gaussian_noise", severity=5)


def scoped(lam):
    """A number, a policy, or either for all layers ("all:0.5")."""
    scope, colon, text = str(lam).rpartition(":")
    return LambdaSpec(text, scope) if colon else lam_spec(lam)


def compared(lam, gained, lost, n=1000, question=MEAN, base=500):
    """A lambda against 0.1, which has `base` of `n` right; the difference's interval as for right or wrong."""
    differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * (n - gained - lost))
    low, high = difference_interval(differences)
    p = mcnemar(gained, lost)
    return Comparison(
        question=question, a=Subject(SDNET, scoped(lam)), b=Subject(SDNET, lam_spec(0.1)), n=n,
        accuracy_a=(base + gained - lost) / n, accuracy_b=base / n, low=low, high=high,
        square=(gained + lost) / n, only_a=gained, only_b=lost, p=p, p_corrected=p,
    )  # fmt: skip


def record(lam, accuracy, lam_attack=None, findings=(), spec=None):
    """The row of an attack, or of a corruption at `spec`."""
    given = {"model": SDNET, "findings": findings}
    answer = attack("pgd", "8/255", round(1000 * accuracy), 1000, lam=0.1, lam_attack=0.1, **given)
    (row,) = rows_of([answer])
    row = replace(row, lam=scoped(lam), lam_attack=scoped(lam_attack or lam))
    if spec:
        return replace(row, kind="corruption", perturbation=spec)
    return replace(row, kind="attack" if row.lam == row.lam_attack else "transfer")


def by_square(lam, accuracy, chain=""):
    """The row of Square, alone or as a stage."""
    row = record(lam, accuracy)
    return replace(row, perturbation=replace(row.perturbation, name="square", chain=chain))


def within(row, ball):
    """The row of the same attack in another ball."""
    return replace(row, perturbation=replace(row.perturbation, eps=ball.eps))


def rival(name, lam, broken):
    subject = Subject(SDNET, lam_spec(lam))
    return Rival(question=BALL, subject=subject, n=1000, left=300, name=name, broken=broken)


def said(records, rows, rivals=()):
    return dict(sentences(evidences(records, rows, rivals)))

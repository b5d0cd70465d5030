"""A line for each noise, as SDNet's released code draws it: by hand, from stored answers alone."""

from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.answered import Answered, Cost
from robustbench_sdnet.answers.gathered import question_of
from robustbench_sdnet.answers.noise_lines import line_per_noise
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.specs import LambdaSpec
from robustbench_sdnet.specs.lambdas import LAMBDAS, PUBLISHED_LEVELS
from robustbench_sdnet.store.outcome import Outcome

from ..made_answers import cell

COST = Cost(forwards=1, backwards=0, seconds=0.1, memory_mib=None, devices=(), precisions=(), versions=())


def _answered(spec, lam, right, residual, first=0):
    asked = cell(spec, lam=LambdaSpec(f"{lam:g}"))
    n = len(right)
    nothing = np.full(n, np.nan, np.float32)
    outcome = Outcome(
        ids=np.arange(first, first + n),
        right=np.asarray(right, bool),
        broken_at=np.zeros(n, np.int32),
        margin=nothing,
        lam=np.full(n, lam, np.float32),
        residual=np.asarray(residual, np.float32),
        distance=nothing,
    )
    return Answered(asked.id, asked, outcome, COST)


def _sweep(spec, residuals, best, ties=()):
    """Each image is right at its `best` lambda, and at those of `ties`, alone."""
    for lam in LAMBDAS:
        right = [lam == own or lam in ties for own in best]
        yield _answered(spec, lam, right, residuals)


def _levels(noise, best, ties=()):
    """Ten images at every level, whose residual is 1, 2, ... in the order of levels."""
    levels = PUBLISHED_LEVELS[noise]
    for number, spec in enumerate(corruption_specs(noise, levels=levels), start=1):
        yield from _sweep(spec, [number] * 10, [best(number)] * 10, ties=ties)


def _severities(noise, residuals, best):
    for spec in corruption_specs(noise, (1, 2, 3, 4, 5)):
        yield from _sweep(spec, residuals, best)


def _tenth(number):
    return round(0.1 * number, 1)


# Through (1, 0.1), (2, 0.2), ... (10, 1.0) goes lambda = residual / 10: of residual 3.3 the nearest number is 0.3, of
# 3.8 it is 0.4; 0 and 99 lie beyond both ends.
RESIDUALS, READ = (0, 3.3, 3.8, 14, 99), (0.1, 0.3, 0.4, 1.4, 1.4)


def test_lambda_is_read_from_the_line_of_its_own_noise():
    answers = [
        *_levels("gaussian_noise", _tenth),
        *_severities("gaussian_noise", RESIDUALS, READ),
        *_levels("shot_noise", lambda number: 0.7),  # flat, whatever the residual
        *_severities("shot_noise", RESIDUALS, (0.7,) * 5),
        *_levels(
            "salt_and_pepper", lambda number: round(1.4 - 0.1 * number, 1)
        ),  # it falls, under its own name
        *_severities("impulse_noise", RESIDUALS, (1.4, 1.1, 1.0, 0.1, 0.1)),
        *_severities("contrast", RESIDUALS, READ),  # has no published levels
    ]
    found = {
        (asked.perturbation, asked.severity): (subject, right)
        for asked, subject, right in line_per_noise(answers)
    }
    noises = ("gaussian_noise", "shot_noise", "impulse_noise")
    assert set(found) == {(noise, severity) for noise in noises for severity in range(1, 6)}
    assert all(right.right.all() and len(right.ids) == 5 for _, right in found.values())
    assert {subject.name for subject, _ in found.values()} == {
        "sdnet @ line-per-noise (drawn on test labels)"
    }
    assert all(subject.lam.upper_bound for subject, _ in found.values()), "drawn on test labels"


def test_an_image_that_is_wrong_at_its_place_on_the_line_is_wrong():
    best = (0.1, 0.4, 0.4, 1.4, 1.3)  # the second and the last would be right elsewhere
    answers = [*_levels("gaussian_noise", _tenth), *_severities("gaussian_noise", RESIDUALS, best)]
    (first, *_) = line_per_noise(answers)
    assert first[2].right.tolist() == [True, False, True, True, False]


def test_of_lambdas_that_are_right_equally_often_the_smallest_counts():
    answers = [
        *_levels("gaussian_noise", _tenth, ties=(1.4,)),  # right as often as the best at every level
        *_severities("gaussian_noise", RESIDUALS, READ),
    ]
    assert all(right.right.all() for _, _, right in line_per_noise(answers))


@pytest.mark.parametrize("lacking", ["a level", "a lambda", "the stem"])
def test_half_an_experiment_draws_no_line(lacking):
    levels = [*_levels("gaussian_noise", _tenth)]
    severities = [*_severities("gaussian_noise", RESIDUALS, READ)]
    if lacking == "a level":
        levels = levels[len(LAMBDAS) :]
    elif lacking == "a lambda":
        levels = levels[1:]
    else:
        levels = [
            replace(one, cell=replace(one.cell, lam=replace(one.cell.lam, scope="all"))) for one in levels
        ]
    assert list(line_per_noise(levels + severities)) == []


def test_images_that_one_lambda_did_not_see_are_left_out():
    answers = [*_levels("gaussian_noise", _tenth), *_severities("gaussian_noise", RESIDUALS, READ)]
    short = answers.pop()  # severity 5 at lambda 1.4, of images 0 to 4
    answers.append(_answered(short.cell.perturbation, 1.4, [False, True], [14, 99], first=3))
    *_, (_, _, right) = line_per_noise(answers)
    assert (right.ids.tolist(), right.right.tolist()) == ([3, 4], [False, True])


@pytest.mark.parametrize("other", [{"stored": "jpeg85"}, {"table": "tiny"}, {"seed": 1}])
def test_images_that_were_made_otherwise_are_never_mixed_in(other):
    levels = [*_levels("gaussian_noise", _tenth)]
    severities = [*_severities("gaussian_noise", RESIDUALS, READ)]
    # The same severities made otherwise: nothing is right there at any lambda.
    made = [replace(one.cell, perturbation=replace(one.cell.perturbation, **other)) for one in severities]
    wrong = [replace(one.outcome, right=np.zeros(5, bool)) for one in severities]
    others = [
        replace(one, id=cell.id, cell=cell, outcome=outcome)
        for one, cell, outcome in zip(severities, made, wrong, strict=True)
    ]
    for answers in (levels + severities + others, others + severities + levels):
        found = list(line_per_noise(answers))
        own = [right for asked, _, right in found if asked == question_of(severities[0].cell)]
        assert [right.right.all() for right in own] == [True]
        # What was made by another table has lines of its own, drawn through the same levels.
        assert len(found) == (10 if "table" in other else 5)


def test_of_two_answers_to_one_question_the_one_that_tables_show_is_read():
    answers = [*_levels("gaussian_noise", _tenth), *_severities("gaussian_noise", RESIDUALS, READ)]
    few = [
        _answered(one.cell.perturbation, one.cell.lam.fixed, [False], RESIDUALS[:1])
        for one in answers[-len(LAMBDAS) :]
    ]
    for every in (answers + few, few + answers):
        found = line_per_noise(Snapshot(tuple(every)).standing)
        assert all(right.right.tolist() == [True] * 5 for _, _, right in found)

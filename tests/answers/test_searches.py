"""Optimality of minimal-norm attacks and convergence of iterative ones, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.searches import area, convergence, optimality
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.reports.plots.panels import step_panels
from robustbench_sdnet.reports.tables.distances import optimality_table
from robustbench_sdnet.specs import Eps, params
from robustbench_sdnet.specs.models import Repeats
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store
from tests.made_answers import COST, HIGH, LOW, SDNET, cell


def stored(store, asked, *, distance=None, broken_at=None, passes=8):
    """One shard: distances (infinity: not broken), or the step that broke each image (-1: none)."""
    n = len(distance if broken_at is None else broken_at)
    nothing = np.full(n, np.nan, np.float32)
    distance = nothing if distance is None else np.asarray(distance, np.float32)
    right = np.isinf(distance) if broken_at is None else np.asarray(broken_at) < 0
    outcome = Outcome(
        ids=np.arange(n),
        right=right,
        broken_at=np.asarray(broken_at if broken_at is not None else np.where(right, -1, 1), np.int32),
        margin=np.where(right, 1, -1).astype(np.float32),
        lam=nothing,
        residual=nothing,
        distance=distance,
    )
    store.add_cells({asked.id: asked})
    store.add_shards([Shard(asked.id, 0, n, outcome, {**COST, "forwards": passes, "precision": "float32"})])


def test_an_area_is_that_of_trapeziums():
    # Accuracy 3/4 at 0, 1/4 at 1, 0 at 3: (3/4 + 1/4) / 2 * 1 + (1/4 + 0) / 2 * 2.
    assert area(np.array([0.0, 1, 1, 3]), 3.0) == pytest.approx(0.75)
    # 3/4, 1/2, 1/4, 0 at 0, 1, 2, 3.
    assert area(np.array([0.0, 1, 2, 3]), 3.0) == pytest.approx(1.125)
    # 3/4, 1/2, 1/4 at 0, 1, 2, and still 1/4 at 3, however far beyond the last one lies.
    assert area(np.array([0.0, 1, 2, np.inf]), 3.0) == pytest.approx(1.25)
    assert area(np.array([0.0, 1, 2, 4]), 3.0) == pytest.approx(1.25)
    assert area(np.full(4, np.inf), 3.0) == 3.0
    # Of a million images the distances 1/n, 2/n, ..., 1: a triangle, found without a look at each pair of them.
    n = 1_000_000
    assert area(np.arange(1, n + 1) / n, 1.0) == pytest.approx(0.5)


def test_an_attack_that_finds_nothing_has_no_optimality(tmp_path):
    found_all, found_none = (cell(attack_specs(name, [], "l2")[0]) for name in ("fab-t", "fmn"))
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        stored(store, found_all, distance=[0, 1, 1, 3])
        stored(store, found_none, distance=[0, np.inf, np.inf, np.inf])
        found = optimality(Snapshot.read(store))
    assert [(row.attack, row.optimality) for row in found] == [("fab-t", 1.0), ("fmn", 0.0)]


def test_optimality_by_hand(tmp_path):
    near, far, alone = (
        cell(attack_specs(name, [], norm)[0])
        for name, norm in (("fab-t", "l2"), ("fmn", "l2"), ("fmn", "l1"))
    )
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        stored(store, near, distance=[0, 1, 1, 3])
        stored(store, far, distance=[0, 1, 2, np.inf], passes=40)
        stored(store, alone, distance=[0, 1, 2, 3])
        found = optimality(Snapshot.read(store))
    # The best are 0, 1, 1, 3: area 0.75 of at most 3/4 * 3 = 2.25. FMN's is 1.25: 1 - 0.5 / 1.5.
    assert [(row.attack, row.optimality, row.n, row.attacks) for row in found] == [
        ("fab-t", 1.0, 4, 2),
        ("fmn", pytest.approx(2 / 3), 4, 2),
    ]
    assert [row.passes for row in found] == [2.0, 10.0]
    assert optimality_table(found).rows[1][4:6] == ("0.667", "10")
    assert optimality_table(()).rows == ()


def test_optimality_is_of_attacks_on_one_model_at_one_lambda(tmp_path):
    fab, fmn = (attack_specs(name, [], "l2")[0] for name in ("fab-t", "fmn"))
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        stored(store, cell(fab), distance=[0, 1, 1, 3])
        stored(store, cell(fmn, lam=HIGH), distance=[0, 1, 2, 3])
        assert optimality(Snapshot.read(store)) == ()
        # Its 40 passes went to five images, four of which both saw.
        stored(store, cell(fmn), distance=[0, 1, 2, np.inf, 1], passes=40)
        found = optimality(Snapshot.read(store))
    assert [(row.attack, row.n, row.passes) for row in found] == [("fab-t", 4, 2.0), ("fmn", 4, 8.0)]


def test_attacks_that_break_nothing_but_what_was_wrong_cannot_be_told_apart(tmp_path):
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        for name in ("fab-t", "fmn"):
            stored(store, cell(attack_specs(name, [], "l2")[0]), distance=[0, np.inf])
        assert optimality(Snapshot.read(store)) == ()


def test_convergence_is_of_whole_attacks_that_say_when_they_broke(tmp_path):
    pgd, single, other = (
        attack_specs("pgd", [Eps.parse("8/255")], given={"steps": steps})[0] for steps in ("4", "1", "3")
    )
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        # With restarts an image may break at a later step than one run has.
        stored(store, cell(pgd), broken_at=[0, 6, -1])
        stored(store, cell(pgd, lam=HIGH, parents=("p",)), broken_at=[0, 1, -1])
        stored(store, cell(single), broken_at=[0, 1, -1])
        stored(store, cell(other), broken_at=[0, 1, -1])
        checks = [{"check": "noise_wins", "verdict": "fail", "value": 1.0, "sentence": "", "images": 3}]
        store.add_verdicts(cell(pgd).id, checks)
        snapshot = Snapshot.read(store)
    unsaid = tuple(
        replace(one, outcome=replace(one.outcome, right=np.zeros(3, bool)))
        if one.id == cell(other).id
        else one
        for one in snapshot.answered
    )
    found = convergence(replace(snapshot, answered=unsaid))
    assert [(row.lam, row.right, row.untrusted) for row in found] == [(LOW, (2, 2, 2, 2, 2, 2, 1), True)]


@pytest.mark.parametrize(
    ("protocol", "right"), [("mean", []), ("majority", [(2, 2, 1)]), ("any", [(2, 2, 1)])]
)
def test_convergence_is_of_no_mean_of_draws(tmp_path, protocol, right):
    # Tables would say (0.2 + 0.4 + 0.7) / 3 of the mean, the steps 1 / 3.
    model = replace(SDNET, options=params({"randomised": True})).counted(Repeats(10, protocol))
    pgd = attack_specs("pgd", [Eps.parse("8/255")], given={"steps": "2"})[0]
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        stored(store, replace(cell(pgd), model=model), broken_at=[0, 2, -1])
        snapshot = Snapshot.read(store)
    (one,) = snapshot.answered
    drawn = replace(one, outcome=replace(one.outcome, hits=np.array([2, 4, 7], np.int32)))
    assert [row.right for row in convergence(replace(snapshot, answered=(drawn,)))] == right


def test_convergence_counts_what_is_right_after_every_step(tmp_path):
    budget = [Eps.parse("8/255")]
    pgd, single = attack_specs("pgd", budget, given={"steps": "4"})[0], attack_specs("fgsm", budget)[0]
    twice = attack_specs("pgd", budget, given={"steps": "2"})[0]
    with Store(f"sqlite:///{tmp_path}/two.db") as store:
        stored(store, cell(twice), broken_at=[0, 1, 2, -1])
        assert [row.right for row in convergence(Snapshot.read(store))] == [(3, 2, 1)]
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        stored(store, cell(pgd), broken_at=[0, 1, 3, 3, -1, -1])
        stored(store, cell(single), broken_at=[0, 1, 1, -1, -1, -1])
        stages = attack_specs("autoattack", budget)
        stored(store, cell(stages[0]), broken_at=[0, 2, -1])
        found = convergence(Snapshot.read(store))
    assert [(row.attack, row.right, row.n) for row in found] == [("pgd(steps=4)", (5, 4, 4, 2, 2), 6)]
    (panel,) = step_panels(found)
    (line,) = panel.lines
    assert [(x, value.accuracy) for x, value in line.points] == [
        (0.0, pytest.approx(5 / 6)),
        (1.0, pytest.approx(4 / 6)),
        (3.0, pytest.approx(2 / 6)),
        (4.0, pytest.approx(2 / 6)),
    ]

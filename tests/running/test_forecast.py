"""The time left of a run: from like work, survivors and eps, on recorded and on made-up times."""

import numpy as np
import pytest

from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.costs import bound
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.running import forecast
from robustbench_sdnet.running.exchange import Answer, Failure
from robustbench_sdnet.running.forecast import Forecast
from robustbench_sdnet.specs import CorruptionSpec, DataSpec, Eps, ModelSpec
from robustbench_sdnet.store.outcome import DTYPES, Outcome

DATA = DataSpec(name="digits", source="digits", split="test", content="c")
RESNET = ModelSpec(name="resnet", source="r", arch="resnet18", weights="a")
SDNET = ModelSpec(name="sdnet", source="s", arch="sdnet18", weights="b", training_lambda=0.1)


class Run:
    """A run whose tasks take as long, and leave as many images right, as is told of them."""

    def __init__(self, cells, monkeypatch, count=100):
        self.now = 50.0
        monkeypatch.setattr(forecast.time, "monotonic", lambda: self.now)
        self.tasks = plan.tasks(cells, {}, count, pixels=1024, device="cpu")
        self.forecast = Forecast(self.tasks, {cell.id: cell for cell in cells})
        self.told = []

    def end(self, task, seconds, right, passed=None, busy=0):
        """The next task ends; `right` is a part of its images. By then `busy` workers have begun another."""
        answers = [_answer(cell, task, seconds / len(task.cells), right) for cell in task.cells]
        self.now += seconds if passed is None else passed
        self.forecast.learn(task, answers)
        self.forecast.look(busy)
        self.told.append((self.now, self.forecast.share, self.forecast.left))

    def off(self):
        """What was told after each task, as a multiple of what was left."""
        return [left / (self.now - now) for now, _, left in self.told if self.now > now]


def _answer(cell, task, seconds, right, **arrays):
    n = task.stop - task.start
    made = {name: np.zeros(n, dtype) for name, dtype in DTYPES.items()}
    made["right"] = np.arange(n) < right * n
    return Answer(cell, Outcome(**{**made, **arrays}), {"seconds": seconds})


def _attacks(text, eps, models=(RESNET, SDNET), **options):
    specs = attack_specs("noise", eps) + attack_specs(text, eps)
    return plan.attack_cells(models, DATA, specs, **options)


def test_a_recorded_run_of_pgd_is_told_within_a_quarter(monkeypatch):
    """100 images of CIFAR-10 on resnet18 and sdnet18, the clean images and noise first, as they took on two cores."""
    eps = [Eps.parse("1/255"), Eps.parse("8/255")]
    run = Run(_attacks("pgd", eps, eps_curve=True), monkeypatch)
    took = [1.0, 0.67, 0.64, 4.92, 1.78, 0.69, 0.59, 5.12, 2.08]
    right = [0.94, 0.95, 0.9, 0.49, 0, 0.93, 0.88, 0.55, 0.03]
    for task, seconds, part in zip(run.tasks, took, right, strict=True):
        run.end(task, seconds, part)
    assert all(0.75 < off < 1.25 for off in run.off())


def test_a_recorded_run_of_a_chain_is_told_within_a_third(monkeypatch):
    """The same with `lean` at 8/255: its first stage breaks all; its second, half of the bound, has nothing to do."""
    run = Run(_attacks("lean", [Eps.parse("8/255")]), monkeypatch)
    took = [0.93, 0.65, 1.07, 1.04, 0.02, 0.01, 0.76, 1.27, 1.06, 0.02, 0.02]
    right = [0.94, 0.9, 0, 0, 0, 0, 0.88, 0, 0, 0, 0]
    for task, seconds, part in zip(run.tasks, took, right, strict=True):
        run.end(task, seconds, part)
    assert all(0.75 < off < 1.34 for off in run.off()[2:-3]), "from the first attack on"
    assert run.forecast.share == 1
    assert run.forecast.left == 0


def test_survival_falls_with_eps_from_that_of_clean_images(monkeypatch):
    """Of 80 right images 72 survive 1/255; at 8/255 0.9 ** 8 of them are expected to, before anything is seen there."""
    cells = _attacks("pgd", [Eps.parse("1/255"), Eps.parse("8/255")], models=[RESNET])
    run = Run(cells, monkeypatch)
    told = {}
    for task in run.tasks[:4]:
        name = task.cells[0].strength
        run.end(task, 40.0 if name.startswith("pgd") else 1e-3, 0.72 if name.startswith("pgd") else 0.8)
        told[name] = run.forecast.left
    survive, expected = 0.72, 0.8 * 0.9**8
    effort = (0.4 * 0.8 + 0.6 * expected) / (0.4 * 0.8 + 0.6 * survive)
    assert told["pgd, eps 1/255"] == pytest.approx(40 * effort, rel=0.05)


def test_a_slower_model_is_told_from_its_multiplications(monkeypatch):
    everywhere = ModelSpec(name="all", source="s", arch="sdnet18_all", weights="d", training_lambda=0.1)
    cells = plan.corruption_cells([RESNET], DATA, [CorruptionSpec(name="fog", severity=1)])
    cells += plan.corruption_cells([everywhere], DATA, [CorruptionSpec(name="fog", severity=5)], clean=False)
    run = Run(cells, monkeypatch)
    run.end(run.tasks[0], 1.0, 1)
    run.end(run.tasks[1], 1.0, 1)
    assert run.forecast.left == pytest.approx(bound(cells[-1]) / bound(cells[0]), rel=0.02)


def test_workers_side_by_side_share_what_is_left(monkeypatch):
    """Two workers on eight tasks of 10 s each, of which the first two end after 10 and 11 s."""
    specs = [CorruptionSpec(name="fog", severity=n) for n in (1, 2, 3, 4, 5)]
    specs += [CorruptionSpec(name="frost", severity=n) for n in (1, 2)]
    run = Run(plan.corruption_cells([RESNET], DATA, specs), monkeypatch)
    run.end(run.tasks[0], 10.0, 1, busy=2)
    assert run.forecast.left == pytest.approx(10 * (70 - 10) / 20, rel=0.01), "each is taken to be halfway"
    run.end(run.tasks[1], 10.0, 1, passed=1.0, busy=2)
    assert run.forecast.left == pytest.approx(11 * (60 - 10) / 30, rel=0.01)
    for task in run.tasks[2:]:
        run.end(task, 10.0, 1, passed=5.0, busy=1)
    assert run.forecast.left == 0


def test_the_share_never_falls_and_failed_models_leave_the_rest(monkeypatch):
    """The second attack takes a hundred times what was expected: the share stays, the time left does not."""
    run = Run(_attacks("pgd", [Eps.parse("8/255")]), monkeypatch)
    assert run.forecast.share == 0
    assert run.forecast.left is None
    run.forecast.learn(run.tasks[0], [Failure("resnet", "broken")])
    run.forecast.look()
    assert run.forecast.left is None, "nothing has ended yet that took time"
    for number, task in enumerate(run.tasks[1:]):
        run.end(task, 0.1 if number < 2 else 100.0, 0.5)
    shares = [share for _, share, _ in run.told]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_randomised_models_are_right_while_any_draw_is(monkeypatch):
    run = Run(_attacks("lean", [Eps.parse("8/255")], models=[RESNET]), monkeypatch)
    clean, noise, first = run.tasks[:3]
    run.end(clean, 1.0, 1)
    run.end(noise, 1.0, 1)
    n = first.stop - first.start
    for hits in (np.zeros(n, np.int32), np.ones(n, np.int32)):
        again = Run(_attacks("lean", [Eps.parse("8/255")], models=[RESNET]), monkeypatch)
        again.now += 4
        again.forecast.learn(first, [_answer(first.cells[0], first, 4.0, 0.0, hits=hits)])
        again.forecast.look()
        run.told.append((0, 0, again.forecast.left))
    assert run.told[-1][2] > 1.5 * run.told[-2][2], "where none is right, nothing is left to its second stage"


def test_a_long_run_is_forecast_two_hundred_times(monkeypatch):
    specs = [CorruptionSpec(name="fog", severity=n) for n in (1, 2, 3, 4, 5)]
    run = Run(plan.corruption_cells([RESNET], DATA, specs), monkeypatch, count=200_000)
    assert len(run.tasks) > 1000
    for task in run.tasks:
        run.end(task, 1.0, 1)
    assert len({share for _, share, _ in run.told}) <= 202
    assert run.forecast.share == 1


def test_eps_0_alone_says_nothing_of_how_survival_falls(monkeypatch):
    run = Run(_attacks("pgd", [Eps.parse("0")]), monkeypatch)
    for task in run.tasks:
        run.end(task, 1.0, 0.9)
    assert run.forecast.left == 0

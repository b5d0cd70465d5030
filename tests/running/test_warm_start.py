"""Warm starts: each lambda's PGD begins at its neighbour's perturbations, and that is part of the question."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.records import records
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.running.exchange import Inputs
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.specs import Cell, Eps, LambdaSpec
from robustbench_sdnet.store.store import Store

from ..tiny_setting import SDNET

LAMBDAS = tuple(LambdaSpec(text) for text in ("0.1", "0.5", "0.9"))
EPS = Eps.parse("4/255")
PGD = attack_specs("pgd", [EPS], given={"steps": "2"})


def _cells(data, attack_lambdas=()):
    return plan.attack_cells([SDNET], data, PGD, LAMBDAS, attack_lambdas, warm_start=True)


def test_each_lambda_starts_from_the_one_before(data):
    cold, *warm = [cell for cell in _cells(data) if cell.kind == "attack"]
    assert not cold.warm
    assert [cell.lam.text for cell in warm] == ["0.1", "0.5", "0.9"]
    assert [cell.parents for cell in warm] == [(cold.id,), (warm[0].id,), (warm[1].id,)]
    assert {cell.perturbation.label for cell in warm} == {"pgd(steps=2,warm_start)"}


def test_the_start_is_part_of_the_question(data):
    ordinary = {
        cell.lam: cell for cell in plan.attack_cells([SDNET], data, PGD, LAMBDAS) if cell.kind == "attack"
    }
    for cell in _cells(data):
        if cell.warm:
            assert cell.id != ordinary[cell.lam].id
            on_survivors, elsewhere = replace(cell, warm=False), replace(cell, parents=("0" * 24,))
            assert len({cell.id, on_survivors.id, elsewhere.id}) == 3
            assert Cell.from_json(cell.to_json()) == cell
        elif cell.kind == "attack":
            assert cell.id == ordinary[cell.lam].id, (
                "the first begins at an ordinary attack, run once for both"
            )


def test_only_pgd_without_restarts_is_warm_started(data):
    for name, given, rule in (("fgsm", {}, "Only pgd"), ("pgd", {"restarts": "3"}, "Leave restarts at 1")):
        attacks = attack_specs(name, [EPS], given=given)
        with pytest.raises(InputError, match=rule):
            plan.attack_cells([SDNET], data, attacks, LAMBDAS, warm_start=True)


def test_attacks_begin_where_the_parent_ended_and_stay_in_the_ball(tmp_path, make_worker, data, monkeypatch):
    from robustbench_sdnet import attacks

    starts = []

    def spy(*args, start=None, **options):
        if start is not None:
            starts.append(start.numpy().copy())
        return ordinary(*args, start=start, **options)

    ordinary = attacks.run
    monkeypatch.setattr(attacks, "run", spy)
    cells, worker = _cells(data), make_worker()
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        run(cells, store=store, worker=worker, count=20, keep_images=True)
        kept = store.images
    warm = [cell for cell in cells if cell.warm]
    clean = worker.data.images(0, 20).transpose(0, 3, 1, 2).astype(np.float32) / 255
    assert len(starts) == len(warm)
    for cell, start in zip(warm, starts, strict=True):
        assert np.array_equal(start, kept.fetch(cell.parents[0], 0, 20))
        images = kept.fetch(cell.id, 0, 20)
        assert np.abs(images - clean).max() <= float(EPS) + 1e-6
        assert images.min() >= 0
        assert images.max() <= 1


def test_a_chain_of_which_the_images_are_gone_is_made_again_from_its_beginning(tmp_path, make_worker, data):
    *earlier, last = cells = _cells(data)
    assert (last.warm, last.lam) == (True, LAMBDAS[-1])
    with Store(f"sqlite:///{tmp_path}/a.db") as parts, Store(f"sqlite:///{tmp_path}/b.db") as whole:
        run(earlier, store=parts, worker=make_worker(), count=20)
        shutil.rmtree(parts.images.folder)
        run(cells, store=parts, worker=make_worker(), count=20)
        run(cells, store=whole, worker=make_worker(), count=20)
        assert records(parts) == records(whole)


@pytest.mark.parametrize("attack_lambdas", [(), LAMBDAS[:2]])
def test_a_warm_start_resumes(tmp_path, make_worker, data, attack_lambdas):
    cells = _cells(data, attack_lambdas)

    def stop(progress):
        if progress.done_shards >= 3:
            raise KeyboardInterrupt

    with Store(f"sqlite:///{tmp_path}/a.db") as parts, Store(f"sqlite:///{tmp_path}/b.db") as whole:
        with pytest.raises(KeyboardInterrupt):
            run(cells, store=parts, worker=make_worker(), count=20, on_progress=stop)
        run(cells, store=parts, worker=make_worker(), count=20)
        run(cells, store=whole, worker=make_worker(), count=20)
        assert records(parts) == records(whole)
        assert run(cells, store=parts, worker=make_worker(), count=20).shards == 0
        names = {row["perturbation"] for row in records(whole) if row["kind"] in ("attack", "transfer")}
    assert names == {"pgd(steps=2)", "pgd(steps=2,warm_start)"}


def test_an_answer_leaves_its_parents_images_alone(make_worker, data):
    curve = attack_specs("fgsm", [Eps.parse("1/255"), Eps.parse("32/255")])
    cells = plan.attack_cells([SDNET], data, curve, LAMBDAS[:1], eps_curve=True)
    first, second = (cell for cell in cells if cell.kind == "attack")
    worker = make_worker()
    (made,) = worker.answer(plan.Task(0, 20, (first,)), Inputs())
    images = made.images.copy()
    images.flags.writeable = False  # as Ray hands it in
    inputs = Inputs({first.id: made.outcome}, {first.id: images})
    (found,) = worker.answer(plan.Task(0, 20, (second,)), inputs)
    assert np.array_equal(images, made.images)
    assert not np.array_equal(found.images, images)

"""Several processes of one command on one store share its work, wait for nobody and lose nothing."""

import threading

import pytest

from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.questions import attack_specs, corruption_specs
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.specs import Eps, LambdaSpec
from robustbench_sdnet.store.outcome import DTYPES
from robustbench_sdnet.store.store import Store

from ..tiny_setting import RESNET, SDNET

COUNT = 130
LAMBDAS = (LambdaSpec("0.1"), LambdaSpec("0.5"))
EPS = [Eps.parse("2/255"), Eps.parse("8/255")]


def _corruptions(data):
    return plan.corruption_cells([SDNET, RESNET], data, corruption_specs("noise,blur", [1, 5]), LAMBDAS)


def _curve(data):
    return plan.attack_cells(
        [SDNET, RESNET], data, attack_specs("pgd", EPS, given={"steps": "2"}), LAMBDAS, eps_curve=True
    )


def _transfer(data):
    attacks = attack_specs("pgd", EPS, given={"steps": "2"})
    return plan.attack_cells([SDNET], data, attacks, LAMBDAS, attack_lambdas=LAMBDAS)


def _stored(store):
    """Every answer, each sample once."""
    outcomes = {cell_id: store.outcome(cell_id) for cell_id in store.cells()}
    return {
        cell_id: {
            name: getattr(outcome, name).tobytes() for name in DTYPES if getattr(outcome, name) is not None
        }
        for cell_id, outcome in outcomes.items()
    }


@pytest.fixture(params=[_corruptions, _curve, _transfer])
def asked(request, data, tmp_path, make_worker):
    """Cells, the address of a store, and what a process alone answers."""
    cells = request.param(data)
    with Store(f"sqlite:///{tmp_path}/alone.db") as alone:
        shards = run(cells, store=alone, worker=make_worker(), count=COUNT).done_shards
        assert len(_stored(alone)) == len({cell.id for cell in cells})
        return cells, f"sqlite:///{tmp_path}/shared.db", shards, _stored(alone)


def test_what_another_process_answers_meanwhile_is_not_answered_again(asked, make_worker):
    cells, address, shards, alone = asked
    tasks = []

    def other(progress):
        tasks.append(progress.done_shards)
        if len(tasks) == 2:  # the first task is stored
            with Store(address) as store:
                run(cells, store=store, worker=make_worker(), count=COUNT)

    with Store(address) as store:
        found = run(cells, store=store, worker=make_worker(), count=COUNT, on_progress=other)
        assert _stored(store) == alone
    assert len(tasks) == 3, "one task in vain shows that another is there"
    assert found.done_shards + found.stored == shards
    assert found.done_shards == found.shards


def test_two_in_step_share_the_work(asked, make_worker):
    cells, address, shards, alone = asked
    turns, done = [threading.Semaphore(1), threading.Semaphore(0)], [0, 0]

    def work(own):
        def step(progress):
            done[own] = progress.done_shards
            turns[1 - own].release()
            turns[own].acquire(timeout=10)

        with Store(address) as store:
            turns[own].acquire()
            run(cells, store=store, worker=make_worker(), count=COUNT, on_progress=step)
        for turn in turns:
            turn.release(10_000)

    threads = [threading.Thread(target=work, args=[own]) for own in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store(address) as store:
        assert _stored(store) == alone
    assert min(done) > 0
    assert sum(done) < 2 * shards, done


def test_images_that_another_did_not_keep_are_made_again(data, tmp_path, make_worker):
    attacks = attack_specs("pgd", EPS, given={"steps": "2"})
    own, others = _transfer(data), plan.attack_cells([SDNET], data, attacks, LAMBDAS)
    address = f"sqlite:///{tmp_path}/shared.db"
    looked = []

    def other(progress):
        looked.append(progress)
        if len(looked) == 2:
            with Store(address) as store:
                run(others, store=store, worker=make_worker(), count=COUNT)

    with Store(address) as store, Store(f"sqlite:///{tmp_path}/alone.db") as alone:
        run(own, store=store, worker=make_worker(), count=COUNT, on_progress=other)
        run(own, store=alone, worker=make_worker(), count=COUNT)
        assert _stored(store) == _stored(alone)


def test_a_process_alone_looks_nothing_up(data, tmp_path, make_worker, monkeypatch):
    looks = []
    ranges = Store.ranges
    monkeypatch.setattr(Store, "ranges", lambda self, *args: looks.append(args) or ranges(self, *args))
    cells = _curve(data)
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        run(cells, store=store, worker=make_worker(), count=50)
        # Their images were not kept: all are made again, and part of them is in the store already.
        run(cells, store=store, worker=make_worker(), count=COUNT, keep_images=True)
    assert looks == [(), ()]

"""The driver's side of Ray without a cluster: who is handed what, and what is stored together."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections import deque
from dataclasses import replace
from types import SimpleNamespace
from weakref import WeakSet

import pytest
import torch

from robustbench_sdnet.planning.identity import model_spec
from robustbench_sdnet.planning.plan import Task
from robustbench_sdnet.planning.schedule import Schedule
from robustbench_sdnet.planning.setting import Setting
from robustbench_sdnet.running.engines import Job
from robustbench_sdnet.running.engines.local import Local
from robustbench_sdnet.running.exchange import Answer, Failure, Inputs
from robustbench_sdnet.specs import CLEAN
from robustbench_sdnet.zoo import describe_model

from ..store.made import CELL, COST, outcome

pytest.importorskip("ray")
from ray.exceptions import ObjectStoreFullError, RayError

from robustbench_sdnet.errors import CheckpointError, DataError, EngineError, ModelError
from robustbench_sdnet.running.engines.ray import pool as of_pool, run as of_run
from robustbench_sdnet.running.engines.ray.actor import Actor, Place, Setup, Shared, versions
from robustbench_sdnet.running.engines.ray.cluster import Size
from robustbench_sdnet.running.engines.ray.engine import RayEngine
from robustbench_sdnet.running.engines.ray.jobs import Jobs
from robustbench_sdnet.running.engines.ray.pool import Handed, Member
from robustbench_sdnet.running.engines.ray.run import Run

CHILD = replace(CELL, parents=(CELL.id,))
NOTHING = Shared({})


class _Handle:
    """An actor that answers whatever it is handed, as soon as it is asked."""

    def __init__(self):
        self.answer, self.given = self, []

    def remote(self, asked, shared):
        self.given.append(asked[0])
        return asked[0]


class _Member(Member):
    def answers(self):
        task = self.queue[0].reference
        return [Answer(cell, outcome(task.start, task.stop), COST) for cell in task.cells]


class _Pool:
    """One worker, which has always ended what it was handed first; the error that comes after so many answers."""

    def __init__(self, fails_after=None, error=None):
        self.members = [_Member(_Handle(), Place("here", "node", 1, {}))]
        self.asked, self.fails_after, self.error = 0, fails_after, error

    hand = of_pool.Pool.hand

    def grow(self, most):
        assert most >= 0

    def vacancies(self):
        (member,) = self.members
        while len(member.queue) < 2:
            before = len(member.queue)
            yield member
            if len(member.queue) == before:
                return

    def ended(self, seconds):
        assert seconds > 0
        if self.asked == self.fails_after:
            raise self.error
        self.asked += 1
        return [member for member in self.members if member.queue]


def _run(pool, tasks):
    schedule = Schedule(tasks)
    return Run(lambda specs, worker: NOTHING, pool, schedule, None, lambda task: Inputs(), frozenset())


def _tasks(cell, count):
    return [Task(start, start + 4, (cell,)) for start in range(0, 4 * count, 4)]


def test_answers_of_a_blink_are_stored_together(monkeypatch):
    monkeypatch.setattr(of_run, "GATHER", 100.0)
    tasks = _tasks(CELL, 9)
    (batch,) = _run(_Pool(), tasks).batches()
    assert [task for task, _ in batch] == tasks
    monkeypatch.setattr(of_run, "GATHER", 0.0)
    assert [[task for task, _ in batch] for batch in _run(_Pool(), tasks).batches()] == [
        [task] for task in tasks
    ]


def test_a_child_is_handed_out_once_its_parent_is_stored_and_nobody_waits_the_blink_for_it(monkeypatch):
    monkeypatch.setattr(of_run, "GATHER", 100.0)
    pool = _Pool()
    tasks = [*_tasks(CELL, 3), *_tasks(CHILD, 3)]
    events = pool.members[0].handle.given
    for batch in _run(pool, tasks).batches():
        events += [("stored", task) for task, _ in batch]
    for parent, child in zip(tasks[:3], tasks[3:], strict=True):
        assert events.index(("stored", parent)) < events.index(child) < events.index(("stored", child))
    assert len(events) == 12


@pytest.mark.parametrize(
    "error",
    [EngineError("no worker could start"), DataError("0.png is not readable")],
    ids=["engine", "data"],
)
def test_what_was_answered_before_the_run_gave_up_is_stored(monkeypatch, error):
    monkeypatch.setattr(of_run, "GATHER", 100.0)
    batches = _run(_Pool(fails_after=3, error=error), _tasks(CELL, 9)).batches()
    assert [task.start for task, _ in next(batches)] == [0, 4, 8]
    with pytest.raises(type(error), match=str(error)):
        next(batches)


@pytest.mark.parametrize("others", [(), ("10.0.0.9",)], ids=["one machine", "two machines"])
def test_a_model_that_fails_on_a_machine_of_several_fails_with_its_address(others):
    """As where its file lies on the other alone."""
    pool = _Pool()
    pool.members[0].answers = lambda: [Failure(CELL.model.name, "Model 'r' raised OSError.")]
    run = _run(pool, _tasks(CELL, 1))
    pool.members += [_Member(_Handle(), Place(node, node, 1, {})) for node in others]
    pool.vacancies = lambda: pool.members[:1] if not pool.members[0].queue else []
    ((_, (failure,)),) = [done for batch in run.batches() for done in batch]
    assert failure.message == ("On here: " if others else "") + "Model 'r' raised OSError."


class _Busy(Member):
    """A worker that does a job when it is asked what came of it."""

    def answers(self):
        ask, arguments = self.queue[0].reference
        return ask(*arguments)


class _Crew:
    """Workers of which a lost one is made up for at once."""

    hand = of_pool.Pool.hand

    def __init__(self, workers, send=lambda ask, arguments, shared: (ask, arguments)):
        self.handle = SimpleNamespace(ask=SimpleNamespace(remote=send))
        self.members, self.workers, self.lost = [], workers, 0

    def grow(self, most):
        while len(self.members) < min(self.workers, most):
            self.members.append(_Busy(self.handle, Place("here", "node", 1, {})))

    def vacancies(self, depth):
        return [member for member in self.members if len(member.queue) < depth]

    def ended(self):
        return [member for member in self.members if member.queue]

    def dismiss(self, member):
        self.members.remove(member)
        self.lost += 1


def _asked(crew, *does, share=lambda models, worker: NOTHING):
    jobs = [
        Job(label=f"job {number}", models=[number], ask=do, arguments=tuple) for number, do in enumerate(does)
    ]
    return dict(Jobs(share, crew, jobs, None).ended())


def _raising(error):
    def do(*_):
        raise error

    return do


def test_a_job_that_ends_every_worker_that_it_is_given_fails_alone_and_so_does_one_that_raises():
    crew, once = _Crew(2), iter([RayError("lost")])

    def loses_one():
        for error in once:
            raise error
        return "done elsewhere"

    ends_all, refused = _raising(RayError("gone")), ModelError("no logits")
    found = _asked(crew, ends_all, _raising(refused), loses_one, lambda: None)
    assert (found[1], found[2], found[3]) == (refused, "done elsewhere", None)
    assert isinstance(found[0], ModelError)
    assert str(found[0]) == "job 0: 3 workers ended while answering it (gone). See Ray's logs on that node."
    assert crew.lost == 4
    with pytest.raises(ZeroDivisionError):  # a mistake in the program
        _asked(crew, _raising(ZeroDivisionError()), lambda: None)


def test_a_model_that_cannot_be_loaded_loses_its_own_jobs_alone():
    changed = CheckpointError("its file was written anew")

    def share(models, worker):
        if models == [0]:
            raise changed
        return NOTHING

    assert _asked(_Crew(1), list, lambda: "done", share=share) == {0: changed, 1: "done"}

    def full(models, worker):
        raise EngineError("no room")

    with pytest.raises(EngineError, match="no room"):
        _asked(_Crew(1), list, share=full)


def test_jobs_for_which_there_is_no_room_wait_until_others_have_ended():
    crew, most = _Crew(3), []

    def send(ask, arguments, shared):
        most.append(sum(len(member.queue) for member in crew.members))
        if most[-1]:
            raise ObjectStoreFullError("no room")
        return ask, arguments

    crew.handle.ask.remote = send
    assert _asked(crew, *[lambda: "done"] * 3) == dict.fromkeys(range(3), "done")
    assert max(most) == 1
    most.append(9)  # nothing is at work, and still there is none
    crew.handle.ask.remote = _raising(ObjectStoreFullError("no room"))
    with pytest.raises(EngineError, match="object store is full: no room"):
        _asked(crew, list)


def test_who_asks_is_told_that_nothing_ends_yet():
    crew, waits = _Crew(0), []

    def on_wait():
        waits.append(len(crew.members))
        crew.workers = len(waits) // 3  # the first one starts late

    jobs = [Job(label="", models=[], ask=lambda: "done", arguments=tuple)]
    assert dict(Jobs(lambda models, worker: NOTHING, crew, jobs, None, on_wait).ended()) == {0: "done"}
    assert waits == [0, 0, 0]


def test_arguments_are_made_when_their_turn_comes_and_then_forgotten():
    """All levels of noise of many large images at once are more than a driver holds."""
    alive, most = WeakSet(), []

    class Images:
        pass

    def arguments():
        made = Images()
        alive.add(made)
        most.append(len(alive))
        return (made,)

    jobs = [Job(label="", models=[], ask=lambda *_: 0, arguments=arguments) for _ in range(6)]
    crew = _Crew(2, send=lambda ask, arguments, shared: (ask, ()))  # Ray keeps a copy, in the object store
    assert len(dict(Jobs(lambda models, worker: NOTHING, crew, jobs, None).ended())) == 6
    assert len(dict(Local().ask(jobs, None))) == 6
    assert most == [1] * 12


def test_progress_names_every_worker_with_what_it_works_on_and_not_what_it_is_handed_next():
    engine = RayEngine(Setting(engine="ray"))
    assert engine.doing == []
    busy, idle = (Member(None, Place("10.0.0.1", "node", pid, {})) for pid in (7, 8))
    for number, label in enumerate(("fog 3", "snow 1")):
        busy.handed(Handed(number, label, None), NOTHING)
    engine._pool = SimpleNamespace(members=[busy, idle])
    assert engine.doing == [("10.0.0.1:7", "fog 3"), ("10.0.0.1:8", "")]
    busy.queue.popleft()
    assert engine.doing[0] == ("10.0.0.1:7", "snow 1")


def test_a_worker_that_finds_no_room_is_given_up_soon_and_one_that_starts_slowly_is_not(monkeypatch):
    now, large = [0.0], {"a node"}
    monkeypatch.setattr(of_pool.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(of_pool, "resources", lambda: {"CPU": 4.0})
    monkeypatch.setattr(of_pool, "nodes", lambda size: large)
    pool = of_pool.Pool(None, None, Size(workers=1, cpus=64, gpus=0))
    pool._remote = SimpleNamespace(remote=lambda *_: SimpleNamespace(place=SimpleNamespace(remote=object)))
    for now[0] in (0.0, 59.0):
        pool.grow(1)
    assert pool.notes == []
    for now[0] in (66.0, 590.0):
        pool.grow(1)
    held = "each takes 64 CPUs and 0 GPUs, and the cluster has 4 CPUs and 0 GPUs"
    assert pool.notes == [f"No worker has started for a minute: {held}. Waiting up to 10 minutes."]
    large.clear()
    now[0] = 596.0
    with pytest.raises(EngineError, match=f"No worker started within 596 s: {held}. Ask for less"):
        pool.grow(1)
    large.add("a node")
    now[0] = 602.0
    with pytest.raises(EngineError, match="No worker started within 602 s"):
        pool.grow(1)


def test_workers_that_fail_to_start_over_a_long_run_are_no_reason_to_give_up(monkeypatch):
    """As where nodes are taken away and come back: each time one fails, the next works and is lost."""
    now, place = [0.0], Place("here", "node", 1, versions())
    monkeypatch.setattr(of_pool.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(of_pool, "resources", lambda: {"CPU": 1.0})
    monkeypatch.setattr(of_pool, "_kill", lambda handle: None)
    monkeypatch.setattr(of_pool.ray, "wait", lambda awaited, **_: (awaited, []))
    starts = iter([RayError("lost"), place] * 3 + [RayError("lost")] * 3)

    def get(reference):
        if isinstance(started := next(starts), RayError):
            raise started
        return started

    monkeypatch.setattr(of_pool.ray, "get", get)
    pool = of_pool.Pool(None, None, Size(workers=1, cpus=1, gpus=0))
    pool._remote = SimpleNamespace(remote=lambda *_: SimpleNamespace(place=SimpleNamespace(remote=object)))

    def grow():
        now[0] += 10.0
        pool.grow(1)
        pool.ended()

    for _ in range(3):
        grow()
        grow()
        pool.dismiss(*pool.members)
    for _ in range(3):
        grow()
    with pytest.raises(EngineError, match="No worker could start: A worker ended while starting"):
        grow()


def test_an_actor_is_given_models_and_policies_once():
    member = _Member(_Handle(), Place("here", "node", 1, {}), deque())
    both, later = Shared({"a": "A", "b": "B"}, "P"), Shared({"b": "B", "c": "C"}, "P")
    assert member.lacking(both) == both, "what was not handed over is lacking still"
    assert member.lacking(both) == both
    member.handed(Handed(0, "", None), both)
    assert member.lacking(both) is None
    assert member.lacking(later) == Shared({"c": "C"}, "P")
    member.handed(Handed(1, "", None), later)
    assert member.lacking(later) is None
    assert member.lacking(replace(both, policies="Q")) == Shared({}, "Q")
    assert [handed.number for handed in member.queue] == [0, 1]


def test_a_worker_encodes_its_answers_and_keeps_images_that_nobody_asked_for(make_worker, data, monkeypatch):
    cells = [
        replace(CELL, data=data, lam=None),
        replace(CELL, data=data, perturbation=CLEAN, precision="bfloat16"),
    ]
    setup = Setup(device="cpu", batch_size=50, threads=1, folder="/nowhere", path=())
    worker = Actor(make_worker().data, setup)
    made = [Answer(cell, outcome(), COST, images=f"of {cell.precision}") for cell in cells]
    monkeypatch.setattr(type(worker._worker), "answer", lambda self, task, inputs: list(made))
    found = worker.answer((Task(0, 4, tuple(cells)), Inputs(), {cells[1].id}), None)
    assert [one.images for one in found] == [None, "of bfloat16"]
    travelled = pickle.loads(pickle.dumps(found))
    monkeypatch.setattr("numpy.savez_compressed", None)  # the driver has nothing to compress
    assert [one.outcome.encode() for one in travelled] == [made[0].outcome.encode()] * 2
    assert travelled[0].cell.__dict__["id"] == cells[0].id, "nor a question to hash again"


DRAWN = """
import torch
class Drawn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.load("weight.pt"))
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("shift", torch.load("shift.pt"))
    def forward(self, images):
        self.calls += 1
        return self.weight * images.mean((2, 3)) + self.shift + torch.rand(3)
"""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("", ""),
        ("weight.pt", "has other weights on a worker"),
        ("shift.pt", "other weights"),
        ("drawn_there.py", "code"),
    ],
)
def test_a_randomised_model_that_is_another_on_a_worker_is_refused(
    changed, said, make_worker, tmp_path, monkeypatch
):
    (tmp_path / "drawn_there.py").write_text(DRAWN)
    for name in ("weight.pt", "shift.pt"):
        torch.save(torch.ones(3), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = model_spec(describe_model("drawn_there:Drawn", (8, 8)))
    worker = replace(make_worker(), load=None)
    shared = RayEngine(Setting()).shared([spec], worker)
    if changed.endswith(".pt"):
        torch.save(torch.zeros(3), tmp_path / changed)
    elif changed:
        (tmp_path / changed).write_text(DRAWN.replace("+ torch", "- torch"))
    monkeypatch.delitem(sys.modules, "drawn_there")  # what a worker's process has not loaded
    importlib.invalidate_caches()
    actor = Actor(worker.data, Setup(device="cpu", batch_size=50, threads=1, folder="/nowhere", path=()))
    actor._take(shared)
    if not said:
        assert type(actor._load(spec).model).__name__ == "Drawn"
        return
    with pytest.raises(ModelError, match=f"drawn_there:Drawn .*{said}.* than in the driver"):
        actor._load(spec)

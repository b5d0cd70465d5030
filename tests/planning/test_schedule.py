"""Tasks of many workers: children wait for what their parents answer on their own range, and for nothing else."""

import random
import time
from dataclasses import replace

import pytest

from robustbench_sdnet.planning.plan import Task
from robustbench_sdnet.planning.schedule import Schedule
from robustbench_sdnet.specs import AttackSpec, Cell, DataSpec, Eps, ModelSpec

CELL = Cell(
    model=ModelSpec(name="m", source="s", arch="a", weights="w"),
    data=DataSpec(name="d", source="d", split="test", content="c"),
    perturbation=AttackSpec(name="pgd", eps=Eps.parse("1/255")),
)
CHILD = replace(CELL, parents=(CELL.id,))
OTHER = replace(CELL, precision="bfloat16")


def _tasks(*shards):
    return [Task(start, stop, (cell,)) for cell, start, stop in shards]


def test_a_child_waits_for_its_parents_overlapping_shards_alone():
    schedule = Schedule(_tasks((CELL, 0, 10), (CELL, 10, 20), (CHILD, 0, 10), (CHILD, 5, 20), (OTHER, 0, 10)))
    assert [schedule.next() for _ in range(4)] == [0, 1, 4, None]
    schedule.done(1)
    assert schedule.next() is None, "the third shard needs both, the second the first"
    schedule.done(0)
    assert [schedule.next() for _ in range(3)] == [2, 3, None]
    assert len(schedule) == 3


def test_a_child_of_what_is_stored_already_may_run_at_once():
    assert Schedule(_tasks((CHILD, 0, 10))).next() == 0


def test_what_is_handed_out_again_comes_first_in_order():
    schedule = Schedule(_tasks((CELL, 0, 10), (CELL, 10, 20), (CELL, 20, 30)))
    assert [schedule.next(), schedule.next()] == [0, 1]
    schedule.again([1, 0])
    assert [schedule.next() for _ in range(4)] == [0, 1, 2, None]


def test_elsewhere_goes_round_from_another_place():
    schedule = Schedule(_tasks((CELL, 0, 10), (CELL, 10, 20), (CELL, 20, 30), (CHILD, 0, 10)))
    assert schedule.next() == 0
    begun = set()
    for _ in range(100):
        schedule.elsewhere()
        begun.add(number := schedule.next())
        schedule.again([number])
    assert begun == {1, 2}, "any that may run, and no child before its parent"
    schedule.done(0)
    assert {schedule.next() for _ in range(4)} == {1, 2, 3, None}, "what lies before is not forgotten"
    schedule.elsewhere()  # nothing to begin


def test_what_nothing_is_left_of_is_passed_over_and_its_children_come():
    def left(task):
        return replace(task, cells=()) if task.cells == (CELL,) else task

    tasks = _tasks((CELL, 0, 10), (CELL, 10, 20), (CHILD, 0, 10), (CHILD, 10, 20), (OTHER, 0, 10))
    schedule = Schedule(tasks, left)
    assert sorted((task.cells[0].id, task.start) for task in schedule) == sorted(
        [(CHILD.id, 0), (CHILD.id, 10), (OTHER.id, 0)]
    )
    assert len(schedule) == 0


def test_what_waits_for_a_lost_task_is_lost_with_it():
    grandchild = replace(CHILD, parents=(CHILD.id,))
    schedule = Schedule(
        _tasks((CELL, 0, 10), (CHILD, 0, 10), (grandchild, 0, 10), (CELL, 10, 20), (CHILD, 10, 20))
    )
    assert schedule.next() == 0
    assert sorted(schedule.lost(0)) == [0, 1, 2]
    assert len(schedule) == 2
    for number in (0, 1, 2):  # as `ray.run` does with what has ended, however it did
        schedule.done(number)
    assert schedule.next() == 3
    schedule.done(3)
    assert [schedule.next(), schedule.next()] == [4, None]


def test_a_child_of_a_lost_task_stays_lost_when_its_other_parent_ends():
    schedule = Schedule(_tasks((CELL, 0, 10), (CELL, 10, 20), (CHILD, 0, 20)))
    assert [schedule.next(), schedule.next()] == [0, 1]
    assert sorted(schedule.lost(0)) == [0, 2]
    for number in (0, 2, 1):
        schedule.done(number)
    assert schedule.next() is None
    assert len(schedule) == 0


@pytest.mark.parametrize("seed", range(5))
def test_shards_of_any_length_wait_for_those_they_overlap(seed):
    draw = random.Random(seed)
    starts = [draw.randrange(100) for _ in range(60)]
    tasks = _tasks(*((draw.choice((CELL, CHILD)), start, start + draw.randint(1, 30)) for start in starts))
    parents = [number for number, task in enumerate(tasks) if task.cells == (CELL,)]

    def waits(number, ended):
        task = tasks[number]
        over = (n for n in parents if tasks[n].start < task.stop and task.start < tasks[n].stop)
        return task.cells == (CHILD,) and not ended.issuperset(over)

    schedule, given, ended = Schedule(tasks), set(), set()
    for parent in (None, *draw.sample(parents, len(parents))):
        if parent is not None:
            schedule.done(parent)
            ended.add(parent)
        while (number := schedule.next()) is not None:
            given.add(number)
        assert given == {number for number in range(len(tasks)) if not waits(number, ended)}


def test_the_shards_of_a_large_data_set_are_put_in_order_at_once():
    shards = ((cell, at, at + 1) for cell in (CELL, CHILD) for at in range(40_000))
    tasks = _tasks((OTHER, 0, 40_000), *shards)  # one that nothing waits for may be as long as all
    before = time.process_time()
    Schedule(tasks)
    assert time.process_time() - before < 3  # to compare all with all of half as many took 14 s

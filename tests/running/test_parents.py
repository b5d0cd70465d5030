"""What tasks start from: what the store holds, from memory where this run wrote it, and images where they matter."""

from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.planning.plan import Task, attack_cells
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.running.runner import Parents, _with_their_images
from robustbench_sdnet.specs import AttackSpec, Eps
from robustbench_sdnet.store.images import ImageFolder
from robustbench_sdnet.store.store import Shard, Store

from ..made_answers import DATA, HIGH, LOW, SDNET
from ..store.made import CELL, COST, outcome

PARENT = replace(CELL, perturbation=AttackSpec(name="pgd", eps=Eps.parse("1/255")))
CHILD = replace(CELL, perturbation=AttackSpec(name="pgd", eps=Eps.parse("2/255")), parents=(PARENT.id,))


@pytest.fixture
def store(tmp_path):
    with Store(f"sqlite:///{tmp_path}/s.db") as opened:
        opened.add_cells({cell.id: cell for cell in (PARENT, CHILD)})
        yield opened


def _finished(start, stop, right=True):
    return Shard(PARENT.id, start, stop, outcome(start, stop, right), COST)


def _right(parents, start, stop):
    found = parents.inputs(Task(start, stop, (CHILD,))).outcomes
    return found[PARENT.id].ids.tolist(), found[PARENT.id].right.tolist()


def test_what_this_run_stored_is_not_read_again(store, monkeypatch):
    parents = Parents([PARENT, CHILD], store, ())
    for start in (8, 0, 4):
        parents.remember(store.add_shards([_finished(start, start + 4, right=start == 4)]))
    read = []
    monkeypatch.setattr(Store, "outcome", lambda *asked: read.append(asked[1:]) or "read")
    assert _right(parents, 5, 7) == ([5, 6], [True, True])
    assert _right(parents, 8, 12) == ([8, 9, 10, 11], [False] * 4)
    assert read == []
    for start, stop in ((2, 6), (12, 16), (10, 14)):  # of two shards, of none, and of one and none
        assert parents.inputs(Task(start, stop, (CHILD,))).outcomes == {PARENT.id: "read"}
    assert read == [(PARENT.id, 2, 6), (PARENT.id, 12, 16), (PARENT.id, 10, 14)]


def test_what_is_remembered_is_what_would_be_read(store):
    wide = Shard(PARENT.id, 0, 4, replace(outcome(), margin=np.full(4, 0.1, np.float64)), COST)
    parents = Parents([PARENT, CHILD], store, ())
    asked = Task(0, 4, (CHILD,))
    parents.remember(store.add_shards([wide]))
    remembered, read = (
        one.inputs(asked).outcomes[PARENT.id] for one in (parents, Parents([PARENT, CHILD], store, ()))
    )
    for name in read.kept:
        assert np.array_equal(
            getattr(remembered, name), getattr(read, name), equal_nan=name not in ("ids", "right")
        )
        assert getattr(remembered, name).dtype == getattr(read, name).dtype


def test_children_start_from_what_is_stored_where_another_driver_was_first(store):
    parents = Parents([PARENT, CHILD], store, ())
    store.add_shards([_finished(0, 2, right=False), _finished(8, 12, right=False)])
    for start in (0, 4, 8):
        parents.remember(store.add_shards([_finished(start, start + 4)]))
    assert _right(parents, 0, 4) == ([0, 1, 2, 3], [False, False, True, True])
    assert _right(parents, 4, 8) == ([4, 5, 6, 7], [True] * 4)
    assert _right(parents, 8, 12) == ([8, 9, 10, 11], [False] * 4)


def test_images_go_where_they_are_attacked_again_or_carried_on_and_nowhere_else(store):
    images = np.random.default_rng(0).random((4, 3, 2, 2), np.float32)
    store.images.keep(PARENT.id, 0, images)
    store.add_shards([_finished(0, 4)])
    warm = replace(CHILD, warm=True)
    for cell, with_images, sent in (
        (CHILD, (), False),
        (CHILD, {CHILD.id}, True),
        (warm, (), True),
    ):
        found = Parents([PARENT, cell], store, with_images).inputs(Task(0, 4, (cell,))).images
        assert list(found) == ([PARENT.id] if sent else [])
        assert all(np.array_equal(there, images) for there in found.values())


def test_where_a_child_is_made_again_its_parents_images_are_needed_too(tmp_path):
    (attack,) = attack_specs("pgd", [Eps.parse("8/255")])
    cells = attack_cells([SDNET], DATA, [attack], [LOW, HIGH], [LOW], warm_start=True)
    cold, warm, moved = (cell for cell in cells if cell.perturbation.name == "pgd")
    stored = {cell.id: [(0, 4)] for cell in (cold, warm)}
    kept = ImageFolder(tmp_path / "images")  # of neither
    found = _with_their_images(stored, cells, kept, {cold.id, warm.id}, 4, False)
    assert (found[cold.id], found[warm.id], moved.parents) == ([], [], (warm.id,))


def test_images_are_needed_while_any_child_lacks_answers(tmp_path):
    parent = replace(PARENT, lam=LOW, lam_attack=LOW)
    children = [replace(parent, lam=lam, parents=(parent.id,)) for lam in (HIGH, None)]
    cells, kept = [parent, *children], ImageFolder(tmp_path / "images")  # of none
    whole = {cell.id: [(0, 4)] for cell in cells}
    for lacking in (0, 2):  # of the second child all, or half
        stored = {**whole, children[1].id: [(0, lacking)] if lacking else []}
        assert _with_their_images(stored, cells, kept, {parent.id}, 4, False)[parent.id] == []
        assert stored[parent.id] == [(0, 4)], "the store still holds its answers"
    assert _with_their_images(whole, cells, kept, {parent.id}, 4, False) == whole

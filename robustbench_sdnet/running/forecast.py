"""How long the rest of a run takes, by what work like it took in the same run.

The bound of an attack, all its steps on all images, says little of its time: images that broke are left, and a chain's
next stage begins with the survivors alone. So images that break are taken to cost two fifths of the steps, and survival
to fall exponentially with eps; both count only until that attack was seen on that model.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from ..planning.costs import bound
from ..planning.plan import Task
from ..specs import AttackSpec, Cell
from .exchange import Answer, Failure

_BROKEN = 0.4  # of the steps, what an image costs that breaks
_SURVIVAL, _SURVIVAL_LATER = 0.5, 0.9  # of images, where no attack was seen; of a chain's later stages
_ATTACK_PASS = 1 / 3  # of a prediction's seconds, which hold what it takes to begin; until an attack was seen
_HANDLING = 0.01  # seconds that any answer takes, if only to be stored
_LOOKS = 200  # at the most, in a run of many tasks


@dataclass(eq=False)
class _Work:
    """Cells that take equally long for an image: what is to be done of them, and what was seen.

    Attributes:
        attack: whether images leave it when they break.
        eps: the budget; 1 where there is none.
        start: what an attack begins with the right images of: a chain's stage before it, or the clean images.
        likeness: what it shares with other work, the nearest first; the last three say nothing of survival.
        pending, done: passes at the most, each as heavy as its model.
        images, right: that were done, and those of them that are right afterwards.
    """

    attack: bool
    eps: float
    start: _Work | None
    likeness: list[int]
    pending: int = 0
    done: int = 0
    images: int = 0
    right: int = 0
    seconds: float = 0.0


class Forecast:
    """The time that a run's tasks still take.

    Args:
        todo: the tasks of the run.
        cells: the cells of its plan by id.

    Attributes:
        share: of the run's time, what has passed; it never falls.
        left: seconds until the run ends; None before a task has ended.
    """

    share: float = 0.0
    left: float | None = None

    def __init__(self, todo: Sequence[Task], cells: Mapping[str, Cell]) -> None:
        self._cells = cells
        self._clean = {cell.model: cell for cell in cells.values() if cell.kind == "clean"}
        self._works: dict[Hashable, _Work] = {}
        self._of: dict[str, _Work] = {}
        self._likenesses: dict[Hashable, int] = {}
        self._tasks, self._ended, self._looked = len(todo), 0, 0
        self._seconds, self._began = 0.0, time.monotonic()
        for task in todo:
            self._plan(task, 1)

    def learn(self, task: Task, answers: Iterable[Answer | Failure]) -> None:
        """A task has ended with these answers."""
        self._plan(task, -1)
        for answer in answers:
            if isinstance(answer, Failure):
                continue
            work, outcome = self._work(answer.cell), answer.outcome
            seconds = float(answer.cost.get("seconds", 0.0)) + _HANDLING
            work.done += len(outcome) * bound(answer.cell)
            work.images += len(outcome)
            work.right += int((outcome.right if outcome.hits is None else outcome.hits > 0).sum())
            work.seconds += seconds
            self._seconds += seconds
        self._ended += 1

    def look(self, busy: int = 0) -> None:
        """Forecast anew, if enough has ended since: `busy` workers are in the middle of a task."""
        due = self._ended - self._looked > self._tasks // _LOOKS or self._ended >= self._tasks
        if not due or not self._seconds:
            return
        self._looked = self._ended
        works = list(self._works.values())
        seen = _Seen([work for work in works if work.images])
        rest = sum(work.pending * seen.effort(work) * seen.rate(work) for work in works if work.pending)
        begun = min(rest, busy * self._seconds / self._ended / 2)
        # Workers side by side, and what no worker counts, show in the time that passed.
        passed = time.monotonic() - self._began
        self.share = max(self.share, self._seconds / (self._seconds + rest))
        self.left = passed * (rest - begun) / (self._seconds + begun)

    def _plan(self, task: Task, sign: int) -> None:
        for cell in task.cells:
            self._work(cell).pending += sign * (task.stop - task.start) * bound(cell)

    def _work(self, cell: Cell) -> _Work:
        if cell.id not in self._of:
            start = self._start(cell)
            same = (cell.kind, cell.perturbation, cell.model, id(start))
            if same not in self._works:
                numbers = self._likenesses
                likeness = [
                    numbers.setdefault(one, len(numbers)) for one in _likeness(cell, _is_later(start))
                ]
                eps = cell.perturbation.eps if isinstance(cell.perturbation, AttackSpec) else None
                budget = float(eps.fraction) if eps else 1.0
                self._works[same] = _Work(cell.kind == "attack", budget, start, likeness)
            self._of[cell.id] = self._works[same]
        return self._of[cell.id]

    def _start(self, cell: Cell) -> _Work | None:
        if cell.kind != "attack":
            return None
        before = self._cells.get(cell.parents[0]) if cell.parents and not cell.warm else None
        before = before or self._clean.get(cell.model)
        return self._work(before) if before else None


class _Seen:
    """What work that was seen says of work that was not, at one moment."""

    def __init__(self, seen: Sequence[_Work]) -> None:
        alike: dict[int, list[_Work]] = defaultdict(list)
        for work in seen:
            for likeness in work.likeness:
                alike[likeness].append(work)
        hazards = {key: self._hazard(works) for key, works in alike.items()}
        self._hazards = {key: hazard for key, hazard in hazards.items() if hazard is not None}
        self._rates = {
            key: sum(work.seconds for work in works) / sum(work.done * self.effort(work) for work in works)
            for key, works in alike.items()
        }

    def rate(self, work: _Work) -> float:
        """Seconds of a pass, of the nearest work that was seen."""
        nearest = next(likeness for likeness in work.likeness if likeness in self._rates)
        begins = work.attack and nearest == work.likeness[-1]
        return self._rates[nearest] * (_ATTACK_PASS if begins else 1)

    def effort(self, work: _Work) -> float:
        """The part of its passes at the most that work takes."""
        if not work.attack:
            return 1.0
        return max(_BROKEN * self._entering(work) + (1 - _BROKEN) * self._right(work), 1e-6)

    def _entering(self, work: _Work) -> float:
        return self._right(work.start) if work.start else 1.0

    def _right(self, work: _Work) -> float:
        """The part of all images that are right after an attack."""
        if work.images:
            return (work.right + 0.5) / (work.images + 1)
        if not work.attack:
            return 1.0
        prior = _SURVIVAL_LATER if _is_later(work.start) else _SURVIVAL
        hazards = (self._hazards[key] for key in work.likeness[:-3] if key in self._hazards)
        return self._entering(work) * next((exp(-work.eps * hazard) for hazard in hazards), prior)

    def _hazard(self, works: Sequence[_Work]) -> float | None:
        """How fast survival falls with eps, where the images that these began with are known; 0 says nothing of it."""
        known = [w for w in works if w.attack and w.eps > 0 and (w.start is None or w.start.images)]
        if not known:
            return None
        survivals = (min(1.0, self._right(work) / self._entering(work)) for work in known)
        return sum(-log(survival) for survival in survivals) / sum(work.eps for work in known)


def _is_later(start: _Work | None) -> bool:
    return start is not None and start.attack


def _likeness(cell: Cell, later: bool) -> tuple[Hashable, ...]:
    asked, kind, model = cell.perturbation, cell.kind, cell.model
    norm = asked.norm if isinstance(asked, AttackSpec) else ""
    family: Hashable = asked.name
    if isinstance(asked, AttackSpec):
        family = (asked.name, norm, asked.params)
    return (
        ("same", kind, asked, model),
        ("family", kind, family, model),
        ("same", kind, asked),
        ("family", kind, family),
        ("stage", kind, later, norm, model),
        ("stage", kind, later, norm),
        ("speed", kind == "attack", model),
        ("speed", kind == "attack"),
        ("any",),
    )

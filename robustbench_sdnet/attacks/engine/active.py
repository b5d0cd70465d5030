"""The active set: a sample leaves when it breaks and its place is refilled, so that batches stay full.

An attack is a `Search`: it starts a course for any rows and advances all of them by one model evaluation,
each row with its own counters. The engine owns everything else: who is in, what was the first success,
whether the model itself confirms it in full precision, restarts and targets (`attempts`, one after the
other), and what is returned.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from .ball import column
from .batches import free_to_look
from .guards import checked_classes
from .judging import Judge
from .losses import margin, ranked_targets
from .passes import Passes
from .result import AttackResult
from .rounding import size_of
from .search import Rows, Search, State, Step


@dataclass(frozen=True)
class Track:
    """What is kept of each row: its best image, margin and score; the first step that broke it (0: none)."""

    images: Tensor
    margin: Tensor
    score: Tensor
    first: Tensor


FOLD_FROM = 10
"""Steps from which a cheaper copy of the model earns the passes that it takes to make one."""

Table = TypeVar("Table", Rows, Track)


def run_search(
    search: Search,
    passes: Passes,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    early_stop: bool,
    judge: Judge | None,
) -> AttackResult:
    """Run a search over a shard.

    Args:
        images: (n, c, h, w) in [0, 1].
        labels, ids: (n,) int64.
        early_stop: leave at the first confirmed success, and never enter when misclassified; otherwise every
            sample runs its textbook course to the end.
        judge: of a model that draws random numbers; None where one answer is all there is.
    """
    logits = passes.exact(images)
    checked_classes(labels, logits)
    # The smallest perturbation lies on the boundary, where rounding would decide: it needs the model itself.
    if search.length * search.attempts >= FOLD_FROM and not search.minimal and judge is None:
        passes.fold(images, logits)
    margins = scores = margin(logits, labels)
    index, zeros = torch.arange(len(images), device=images.device), torch.zeros_like(labels)
    shard = Rows(images, labels, ids, index, zeros, zeros, ranked_targets(logits, labels))
    clean = open_rows = margins >= 0
    hits = None
    if judge is not None:
        hits, margins = judge.count(images, labels)
        clean, open_rows, scores = judge.repeats.right(hits), hits > 0, judge.at_start(hits, margins)
    if search.minimal or (search.returns_last and not early_stop):
        scores = torch.full_like(margins, torch.inf)
    queue = index[open_rows] if early_stop or search.minimal else index
    start = Track(images, margins, scores, zeros)
    engine = _Engine(search, passes, shard, start, early_stop and not search.minimal, judge)
    engine.drain(queue)
    return engine.outcome(clean, queue, hits)


@dataclass(eq=False)
class _Engine:
    """The slots of one run: rows that are in, their state and track, and the results of those that left."""

    search: Search
    passes: Passes
    shard: Rows
    start: Track
    early_stop: bool
    judge: Judge | None

    def __post_init__(self) -> None:
        search, shard = self.search, self.shard
        self.attempts = min(search.attempts, shard.ranking.shape[1]) if search.targeted else search.attempts
        self.images = shard.images.clone()
        self.margin = self.start.margin.clone()
        self.first = torch.zeros_like(shard.labels)
        self.cycled = torch.zeros_like(shard.labels, dtype=torch.bool)
        self.unseen = torch.ones_like(shard.labels, dtype=torch.bool)
        self.gradients = torch.zeros(2, dtype=torch.int64, device=shard.labels.device)
        self.every = 1 if free_to_look(shard.images) else 4  # steps between looks at who is done

    def drain(self, queue: Tensor) -> None:
        """Attack every queued sample."""
        rows, track = _take(self.shard, queue[:0]), _take(self.start, queue[:0])
        state: State = {}
        position = 0
        while len(rows) or position < len(queue):
            room = self.passes.batch_size - len(rows)
            if room and position < len(queue):
                new = _take(self.shard, queue[position : position + room])
                position += len(new)
                fresh = self.search.begin(new)
                self.passes.watched = True
                if len(rows):
                    fresh = {name: torch.cat([state[name], fresh[name]]) for name in fresh}
                state = fresh
                rows, track = _join(rows, new), _join(track, _take(self.start, new.index))
            done = torch.zeros_like(rows.labels, dtype=torch.bool)
            for _ in range(self.every):
                step = self.search.step(self.passes, rows, state)
                if self.passes.watched:
                    self._count_first(rows, step)
                track = self._follow(track, rows, step, done)
                done = done | step.done
                if step.cycled is not None:
                    self.cycled[rows.index] |= step.cycled
                rows = replace(rows, k=rows.k + 1)
            rows, state, track = self._release(rows, state, track, done)

    def outcome(self, clean: Tensor, queue: Tensor, clean_hits: Tensor | None) -> AttackResult:
        """Results in the shard's order; survivors of an approximate search are judged by the model itself."""
        counts = {}
        if self.judge is not None and clean_hits is not None:
            hits, self.margin = self.judge.count(self.images, self.shard.labels)
            counts = {"hits": hits, "clean_hits": clean_hits}
        elif self.passes.approximate:
            open_rows = queue[self.first[queue] == 0] if self.early_stop else queue
            if len(open_rows):
                logits = self.passes.exact(self.images[open_rows])
                self.margin[open_rows] = margin(logits, self.shard.labels[open_rows])
        self.passes.check()
        wrong = self.margin < 0
        robust = clean & ~wrong
        if self.judge is not None:
            robust = self.judge.repeats.right(counts["hits"])
            wrong = ~robust
        end = self.search.length * self.attempts
        broken_at = torch.where(self.first > 0, self.first, end)
        broken_at = torch.where(wrong, broken_at, -1)
        broken_at = torch.where(clean | robust, broken_at, 0)
        gradients, silent = self.gradients.tolist()
        return AttackResult(
            images=self.images,
            clean=clean,
            robust=robust,
            broken_at=broken_at,
            margin=self.margin.float(),
            forwards=self.passes.forwards,
            backwards=self.passes.backwards,
            gradients=gradients,
            silent=silent,
            extra={**self._seen(clean, robust, wrong), **counts},
            repeats=None if self.judge is None else self.judge.repeats,
        )

    def _seen(self, clean: Tensor, robust: Tensor, wrong: Tensor) -> dict[str, Tensor]:
        """What only this kind of search has to say of each sample."""
        if self.search.minimal:
            distance = self.search.ball.lengths(self.images - self.shard.images)
            return {"distance": torch.where(clean, torch.where(robust, torch.inf, distance), 0.0)}
        if self.early_stop:
            return {"cycled": self.cycled & robust}
        return {"lost_success": clean & ~wrong & (self.first > 0)}

    def _count_first(self, rows: Rows, step: Step) -> None:
        """Count each sample's first gradient, and whether it was silent.

        Only where the prediction is still right: a loss may be flat by construction beyond the boundary.
        """
        silent, self.passes.watched, self.passes.silent = self.passes.silent, False, None
        if silent is not None:
            there = step.logits if step.before is None else step.before
            asked = self.unseen[rows.index] & (margin(there, rows.labels) >= 0)
            self.unseen[rows.index] = False
            self.gradients += torch.stack([asked.sum(), (asked & silent).sum()])

    def _follow(self, track: Track, rows: Rows, step: Step, ended: Tensor) -> Track:
        """Keep the first success or, until then, the image closest to breaking."""
        margins = margin(step.logits, rows.labels)
        valid = ~ended if step.inside is None else ~ended & step.inside
        number = rows.attempt * self.search.length + (rows.k + self.search.counts_from).clamp_min(1)
        broken = valid & (margins < -_slack(step.logits))
        scores = margins if step.score is None else step.score
        if self.judge is not None and (self.early_stop or not self.search.returns_last):
            broken, scores = self.judge.of_step(step, rows, broken, scores)
        first = torch.where(broken & (track.first == 0), number, track.first)
        better = valid & (scores < track.score)
        if self.early_stop:
            better = better & (track.first == 0)
        elif self.search.returns_last:
            better = better & step.done
        if free_to_look(better) and not bool(better.any()):  # cheaper than copying images that do not change
            return replace(track, first=first)
        return Track(
            torch.where(column(better, step.images), step.images, track.images),
            torch.where(better, margins, track.margin),
            torch.where(better, scores, track.score),
            first,
        )

    def _release(self, rows: Rows, state: State, track: Track, done: Tensor) -> tuple[Rows, State, Track]:
        """Let broken and finished rows go, and send those with attempts left into the next one."""
        broken = torch.zeros_like(done)
        if self.early_stop:
            track = self._confirm(rows, track)
            broken = track.first > 0
        if not bool((broken | done).any()):
            return rows, state, track
        again = done & ~broken & (rows.attempt + 1 < self.attempts)
        gone = (broken | done) & ~again
        index = rows.index[gone]
        self.images[index] = track.images[gone]
        self.margin[index] = track.margin[gone]
        self.first[index] = track.first[gone]
        stay = (~gone).nonzero()[:, 0]
        rows = replace(rows, attempt=rows.attempt + again.long(), k=torch.where(again, 0, rows.k))
        rows = _take(rows, stay)
        state = {name: values[stay] for name, values in state.items()}
        track, again = _take(track, stay), again[stay]
        if bool(again.any()):
            renewed = self.search.begin(_take(rows, again))
            for name, values in renewed.items():
                state[name][again] = values
        return rows, state, track

    def _confirm(self, rows: Rows, track: Track) -> Track:
        """Judge new successes of an approximate search by the model itself, on the stored image."""
        if not self.passes.approximate or self.judge is not None:
            return track
        which = (track.first > 0).nonzero()[:, 0]
        if not len(which):
            return track
        logits = self.passes.exact(track.images[which])
        margins = margin(logits, rows.labels[which])
        confirmed = margins < -_slack(logits)
        return replace(
            track,
            margin=track.margin.index_copy(0, which, margins),
            score=track.score.index_copy(0, which, margins),
            first=track.first.index_copy(0, which, torch.where(confirmed, track.first[which], 0)),
        )


def _slack(logits: Tensor) -> Tensor:
    """(m,) margin by which a success must show: rounding of another batch shape must not undo it."""
    return 64 * torch.finfo(logits.dtype).eps * size_of(logits)


def _take(table: Table, index: Tensor) -> Table:
    return type(table)(*(getattr(table, field.name)[index] for field in fields(table)))


def _join(first: Table, second: Table) -> Table:
    return type(first)(
        *(torch.cat([getattr(first, field.name), getattr(second, field.name)]) for field in fields(first))
    )

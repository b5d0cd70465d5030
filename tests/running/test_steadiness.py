"""Flips and top-5 distances, against counts by hand and a slow reading of the published evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_sdnet.answers.per_image import stability
from robustbench_sdnet.running.outcomes import along_sequence, outcome_of, top_distance
from robustbench_sdnet.specs import CLEAN, Cell, DataSpec, ModelSpec, SequenceSpec
from robustbench_sdnet.store.outcome import Outcome


def told(spec: SequenceSpec, logits: torch.Tensor, labels: torch.Tensor) -> Outcome:
    """The outcome of (frames, n, classes) logits."""
    seen = []
    for frame in logits:
        right = frame.argmax(1) == labels
        nothing = np.full(len(labels), np.nan, np.float32)
        margin = frame[torch.arange(len(labels)), labels].numpy()
        predicted = {"right": right.numpy(), "margin": margin, "lam": nothing, "residual": nothing}
        seen.append((frame, predicted))
    return outcome_of([along_sequence(spec, seen)], np.arange(len(labels)))


def slow(spec: SequenceSpec, frames: np.ndarray) -> tuple[float, float]:
    """Flip probability and top-5 distance of one image's (frames, classes) logits, pair by pair."""
    ranks = [sorted(range(frames.shape[1]), key=lambda k, row=row: (-row[k], k)) for row in frames]
    apart = 1 if spec.first else spec.difficulty
    flips, moves = [], []
    for later in range(apart, len(ranks)):
        before, after = ranks[0 if spec.first else later - apart], ranks[later]
        flips.append(before[0] != after[0])
        moves.append(sum(abs(rank - min(after.index(k), 5)) for rank, k in enumerate(before[:5])))
    return float(np.mean(flips)), float(np.mean(moves))


def test_counts_by_hand() -> None:
    """One image, three classes, four frames whose first class is 0, 1, 1, 0; the label is 1."""
    logits = torch.tensor([[[3.0, 2, 1]], [[2, 3, 1]], [[1, 3, 2]], [[3, 2, 1]]])
    labels = torch.tensor([1])
    step = told(SequenceSpec(name="rotate", frames=4), logits, labels)
    # Order 012, 102, 120, 012: between neighbours two flips; moves 2 (0 and 1 swap), 2, and 1 + 1 + 2.
    assert (step.flips.tolist(), step.shifts.tolist()) == ([2], [8])
    first = told(SequenceSpec(name="shot_noise", frames=4, first=True), logits, labels)
    assert (first.flips.tolist(), first.shifts.tolist()) == ([2], [2 + 4 + 0])
    apart = told(SequenceSpec(name="rotate", frames=4, difficulty=2), logits, labels)
    assert (apart.flips.tolist(), apart.shifts.tolist()) == ([2], [4 + 2])  # frames 0 and 2, 1 and 3
    assert (step.right.tolist(), step.broken_at.tolist(), step.margin.tolist()) == ([False], [0], [2.0])
    steady = told(SequenceSpec(name="rotate", frames=4), logits[1:2].expand(4, -1, -1), labels)
    assert (steady.right.tolist(), steady.broken_at.tolist(), steady.flips.tolist()) == ([True], [-1], [0])
    late = told(SequenceSpec(name="rotate", frames=2), logits[[1, 3]], labels)
    assert (late.broken_at.tolist(), late.margin.tolist()) == ([1], [2.0]), "the lowest of 3 and 2"
    assert late.right.tolist() == [False], "right on the first frame alone"


def test_five_classes_that_leave_move_fifteen() -> None:
    order = torch.arange(12)[None]
    assert top_distance(order, order.flip(1)).tolist() == [15]
    assert top_distance(order, order).tolist() == [0]
    assert top_distance(order, torch.tensor([[0, 1, 2, 3, 11, *range(5, 11), 4]])).tolist() == [1]


@pytest.mark.parametrize("classes", [3, 10, 30])
@pytest.mark.parametrize(("first", "difficulty"), [(True, 1), (True, 3), (False, 1), (False, 2), (False, 3)])
def test_equals_the_slow_reading(first: bool, difficulty: int, classes: int) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(1, 6, classes)) + 0.5 * generator.normal(size=(9, 6, classes))
    logits = np.round(logits, 1)  # so that some are equal: then the smaller class comes first
    spec = SequenceSpec(name="x", frames=9, first=first, difficulty=difficulty)
    found = told(spec, torch.from_numpy(logits), torch.zeros(6, dtype=torch.int64))
    pairs = [slow(spec, logits[:, image]) for image in range(6)]
    np.testing.assert_allclose(found.flips / spec.pairs, [flip for flip, _ in pairs])
    np.testing.assert_allclose(found.shifts / spec.pairs, [move for _, move in pairs])
    model = ModelSpec(name="m", source="m", arch="m", weights="a")
    data = DataSpec(name="d", source="d", split="test", content="c")
    steady = stability(Cell(model=model, data=data, perturbation=spec), found)
    assert steady.flip_probability.value == pytest.approx(np.mean([flip for flip, _ in pairs]))
    assert steady.top5_distance.value == pytest.approx(np.mean([move for _, move in pairs]))
    assert steady.flip_probability.low < steady.flip_probability.value < steady.flip_probability.high < 1
    assert stability(Cell(model=model, data=data, perturbation=CLEAN), found) is None


def test_counts_are_stored_and_joined() -> None:
    spec = SequenceSpec(name="x", frames=5)
    logits = torch.randn(5, 6, 10, generator=torch.Generator().manual_seed(0))
    found = told(spec, logits, torch.zeros(6, dtype=torch.int64))
    again = Outcome.join([Outcome.decode(found.cut(0, 4).encode()), Outcome.decode(found.cut(4, 6).encode())])
    np.testing.assert_array_equal(again.flips, found.flips)
    np.testing.assert_array_equal(again.shifts, found.shifts)
    plain = told(SequenceSpec(name="x", frames=5), logits, torch.zeros(6, dtype=torch.int64))
    assert Outcome.decode(plain.encode()).flips is not None

"""What cells cost, and the shards they are cut into.

A shard is a cell on a range of sample positions. Ranges lie on a grid that starts fine and grows, so that the usual
limits (100, 200, 500, 1,000) fall on its edges; whatever the store holds already is subtracted, so any two runs share
their shards.
"""

from __future__ import annotations

from bisect import bisect, bisect_left
from collections.abc import Iterator, Sequence
from operator import itemgetter

from ..specs import AttackSpec, Cell, ModelSpec, SequenceSpec
from ..zoo.nets.architectures import ARCHITECTURES

Range = tuple[int, int]
_START = itemgetter(0)
_SIZES = (10, 50, 100, 200, 500, 1000, 2000, 5000)
# Sample passes of a 32 x 32 image a shard may cost: a minute or so of a 20-layer model on two slow cores. On a GPU
# Square then holds 500 images: a step of their survivors takes little longer than one of a few.
_BUDGET = {"cpu": 20_000, "cuda": 5_000_000}
_LARGEST = {"cpu": 1000, "cuda": 5000}
# A cell on the survivors of another attacks a part of its shard: of ten images about three, which cost a CPU half as
# much again as in one batch with twelve others.
_TOGETHER, _SURVIVING = 50, 25


def passes(cell: Cell) -> int:
    """Sample passes of a cell at the most, one for a prediction."""
    spec, drawn = cell.perturbation, cell.model.repeats.draws if cell.model.repeats else 1
    if isinstance(spec, SequenceSpec):
        return spec.frames * drawn
    if not isinstance(spec, AttackSpec) or cell.kind == "transfer":
        return drawn
    options = dict(spec.params)
    if cell.kind == "noise":
        return int(options.get("draws") or 1)
    targets = options.get("targets") or options.get("n_targets") or 1
    steps = options.get("steps") or options.get("queries") or options.get("n_queries") or 20
    again = int(options.get("restarts") or 1) * int(options.get("eot") or 1)
    return 2 * int(steps) * again * int(targets)


def weight(model: ModelSpec) -> int:
    """What a pass of a model takes beside one of another: multiplications of its 3x3 convolutions on one pixel.

    Each step of a sparse layer after its first is two convolutions more. What is not built here counts as resnet18.
    """
    plan, options = ARCHITECTURES.get(model.arch, ARCHITECTURES["resnet18"]), dict(model.options)
    steps = 2 * int(options.get("n_steps", 2)) - 1 if plan.sparse == "all" else 1
    return (1 + 2 * sum(plan.blocks)) * steps * int(options.get("width", plan.width)) ** 2


def bound(cell: Cell) -> int:
    """Passes of a sample at the most, each as heavy as the model: what times of cells are told from."""
    return passes(cell) * weight(cell.model)


def shard_size(cell: Cell, pixels: int, device: str) -> int:
    """How many samples of so many pixels a shard holds on a "cpu" or "cuda": seconds to a few minutes of work."""
    kind = "cpu" if device == "cpu" else "cuda"
    affordable = _BUDGET[kind] * 1024 / (max(pixels, 256) * passes(cell))
    if cell.parents:
        affordable = max(affordable, min(_TOGETHER, _SURVIVING * affordable))
    return max((size for size in _SIZES if size <= min(affordable, _LARGEST[kind])), default=_SIZES[0])


def grid(size: int, stop: int) -> Iterator[Range]:
    """The ranges of shards of at most `size` samples that cover 0 to `stop`, small ones first."""
    edges = [edge for edge in _SIZES if 100 <= edge <= size]
    start = 0
    while start < stop:
        edge = next((edge for edge in edges if edge > start), (start // size + 1) * size)
        yield start, min(edge, stop)
        start = edge


def missing(wanted: Range, stored: Sequence[Range]) -> Iterator[Range]:
    """The parts of a range that are not stored; what is stored is in order, and none of it lies over another."""
    start, stop = wanted
    # Only those near it are looked at: a cell of ImageNet may have thousands of shards, and asks this of each.
    first, last = max(bisect(stored, start, key=_START) - 1, 0), bisect_left(stored, stop, key=_START)
    for low, high in stored[first:last]:
        if low > start:
            yield start, min(low, stop)
        start = max(start, high)
    if start < stop:
        yield start, stop

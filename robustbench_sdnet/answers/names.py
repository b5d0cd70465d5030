"""Names that readers can tell apart: one for a model and for a data set, whatever and wherever it was called."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from ..specs import Cell, DataSpec, LambdaSpec, ModelSpec, canonical
from ..specs.models import same_answers
from ..wording import natural

Key = TypeVar("Key", bound=Hashable)
Named = TypeVar("Named", ModelSpec, DataSpec)


def told_apart(cells: Sequence[Cell]) -> list[Cell]:
    """The same questions under names that readers can tell apart.

    A model is one wherever it lay, and so is a data set: of several names it has the most frequent, of a data set a
    published one before a file's. Those of one name get the start of a hash; a policy keeps that of its fit where a
    model was asked at several on a data set.
    """
    models = told(cell.model for cell in cells)
    sets = told_data(cell.data for cell in cells)
    fits: dict[Hashable, set[str]] = {}

    def asked(cell: Cell, lam: LambdaSpec) -> Hashable:
        return models[cell.model.key].key, cell.data.content, lam.text, lam.scope

    def fitted(cell: Cell, lam: LambdaSpec | None) -> LambdaSpec | None:
        if lam is None or not lam.fit or len(fits.get(asked(cell, lam), ())) > 1:
            return lam
        return replace(lam, fit="")

    for cell in cells:
        if cell.lam:
            fits.setdefault(asked(cell, cell.lam), set()).add(cell.lam.fit)
    return [
        replace(
            cell,
            model=models[cell.model.key],
            data=sets[cell.data.split, cell.data.content],
            lam=fitted(cell, cell.lam),
            lam_attack=fitted(cell, cell.lam_attack),
        )
        for cell in cells
    ]


def told(models: Iterable[ModelSpec]) -> Mapping[str, ModelSpec]:
    """By key each model under a name that tells it from the others: of several that it was called the most frequent.

    Those of one name but other weights have the start of their hash, those of other code, options or answers the start
    of a hash of these. Models whose fingerprints differ by rounding, as of two machines, are one.

    Args:
        models: one for each cell.
    """
    cells = list(models)
    same = _same(cells)
    every = _most_frequent(cells, lambda model: same[model.key])
    answering = Counter(_built(model) for model in every.values())

    def built(model: ModelSpec) -> str:  # fingerprints on images of another size are no other answers
        return canonical([*_built(model)[1:], model.fingerprint if answering[_built(model)] > 1 else ()])

    kinds = Counter(
        (name, weights) for name, weights, _ in {(m.name, m.weights, built(m)) for m in every.values()}
    )

    def digest(model: ModelSpec) -> str:
        alone = kinds[model.name, model.weights] == 1
        return model.weights if alone else hashlib.sha256(built(model).encode()).hexdigest()

    found = marks((model.name, digest(model)) for model in every.values())
    named = {key: replace(m, name=m.name + found[m.name, digest(m)]) for key, m in every.items()}
    return {key: named[first] for key, first in same.items()}


def told_data(sets: Iterable[DataSpec]) -> Mapping[tuple[str, str], DataSpec]:
    """By split and content each data set under a name that tells it from the others, as `told` does for models."""
    # The name of a published set says more than where a copy of it lies, "npz:FILE".
    every = _most_frequent(list(sets), lambda data: (data.split, data.content), lambda data: ":" in data.name)
    found = marks((data.label, data.content) for data in every.values())
    return {
        key: replace(data, name=data.name + found[data.label, data.content]) for key, data in every.items()
    }


def marks(named: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
    """By name and hash, what to add to the name: the start of the hash where a name has several."""
    pairs = set(named)
    counts = Counter(name for name, _ in pairs)
    return {(name, digest): f" [{digest[:8]}]" if counts[name] > 1 else "" for name, digest in pairs}


def unmarked(name: str) -> str:
    """A name without what `marks` adds to one."""
    return re.sub(r" \[[0-9a-f]{8}\]", "", name)


def _most_frequent(
    found: Sequence[Named],
    identity: Callable[[Named], Key],
    last: Callable[[Named], bool] = lambda one: False,
) -> dict[Key, Named]:
    """By identity the one under the most frequent name, of several such the first in order; those that are `last` after
    all others."""
    called = Counter((identity(one), one.name) for one in found)
    by_name = sorted(found, key=lambda one: (last(one), -called[identity(one), one.name], natural(one.name)))
    return {identity(one): one for one in reversed(by_name)}


def _built(model: ModelSpec) -> tuple[Hashable, ...]:
    """What a model is but for its answers, and the size of the images that these are on."""
    return model.fingerprint[:2], model.arch, model.options, model.mean, model.std, model.weights


def _same(models: Iterable[ModelSpec]) -> Mapping[str, str]:
    """By key that of the first model, in order of keys, that is built and answers alike, but for rounding."""
    first: dict[Hashable, list[ModelSpec]] = {}
    found = {}
    for model in sorted({model.key: model for model in models}.values(), key=lambda model: model.key):
        alike = first.setdefault(_built(model), [])
        one = next((m for m in alike if same_answers(m.fingerprint, model.fingerprint)), model)
        if one is model:
            alike.append(model)
        found[model.key] = one.key
    return found

"""Names that readers can tell apart: one for a model and for a data set, whatever and wherever it was called."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
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
    models = _named_models([cell.model for cell in cells])
    data_sets = _named_data([cell.data for cell in cells])
    fits: dict[Hashable, set[str]] = defaultdict(set)

    def policy(cell: Cell, lam: LambdaSpec) -> Hashable:
        return models[cell.model.key].key, cell.data.content, lam.text, lam.scope

    def named_lambda(cell: Cell, lam: LambdaSpec | None) -> LambdaSpec | None:
        if lam is None or not lam.fit or len(fits[policy(cell, lam)]) > 1:
            return lam
        return replace(lam, fit="")

    for cell in cells:
        if cell.lam:
            fits[policy(cell, cell.lam)].add(cell.lam.fit)
    return [
        replace(
            cell,
            model=models[cell.model.key],
            data=data_sets[cell.data.split, cell.data.content],
            lam=named_lambda(cell, cell.lam),
            lam_attack=named_lambda(cell, cell.lam_attack),
        )
        for cell in cells
    ]


def _named_models(models: Sequence[ModelSpec]) -> Mapping[str, ModelSpec]:
    """By key each model under a name that tells it from the others: of several that it was called the most frequent.

    Those of one name but other weights have the start of their hash, those of other code, options or answers the start
    of a hash of these. Models whose fingerprints differ by rounding, as of two machines, are one.

    Args:
        models: one for each cell.
    """
    first_alike = _first_alike(models)
    chosen = _most_frequent(models, lambda model: first_alike[model.key])
    fingerprints = Counter(_built(model) for model in chosen.values())

    def code(model: ModelSpec) -> str:
        # Fingerprints on images of another size are no other answers.
        fingerprint = model.fingerprint if fingerprints[_built(model)] > 1 else ()
        return canonical([*_built(model)[1:], fingerprint])

    codes: dict[tuple[str, str], set[str]] = defaultdict(set)  # by name and weights
    for model in chosen.values():
        codes[model.name, model.weights].add(code(model))
    hashes: dict[str, str] = {}
    for key, model in chosen.items():
        several = len(codes[model.name, model.weights]) > 1
        hashes[key] = hashlib.sha256(code(model).encode()).hexdigest() if several else model.weights
    mark = marks((model.name, hashes[key]) for key, model in chosen.items())
    named = {key: replace(m, name=m.name + mark[m.name, hashes[key]]) for key, m in chosen.items()}
    return {key: named[first] for key, first in first_alike.items()}


def _named_data(data_sets: Sequence[DataSpec]) -> Mapping[tuple[str, str], DataSpec]:
    """By split and content each data set under a name that tells it from the others, as `_named_models` does."""
    # The name of a published set says more than where a copy of it lies, "npz:FILE".
    chosen = _most_frequent(data_sets, lambda data: (data.split, data.content), lambda data: ":" in data.name)
    mark = marks((data.label, data.content) for data in chosen.values())
    return {
        key: replace(data, name=data.name + mark[data.label, data.content]) for key, data in chosen.items()
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
    specs: Sequence[Named],
    identity: Callable[[Named], Key],
    is_last: Callable[[Named], bool] = lambda spec: False,
) -> dict[Key, Named]:
    """By identity the spec under its most frequent name, of several such names the first in order; a spec that
    `is_last` only where there is no other."""
    counts = Counter((identity(spec), spec.name) for spec in specs)
    best_first = sorted(
        specs, key=lambda spec: (is_last(spec), -counts[identity(spec), spec.name], natural(spec.name))
    )
    chosen: dict[Key, Named] = {}
    for spec in reversed(best_first):
        chosen[identity(spec)] = spec
    return chosen


def _built(model: ModelSpec) -> tuple[Hashable, ...]:
    """What a model is but for its answers, and the size of the images that these are on."""
    return model.fingerprint[:2], model.arch, model.options, model.mean, model.std, model.weights


def _first_alike(models: Iterable[ModelSpec]) -> Mapping[str, str]:
    """By key that of the first model, in order of keys, that is built and answers alike, but for rounding."""
    by_key = {model.key: model for model in models}
    firsts: dict[Hashable, list[ModelSpec]] = defaultdict(list)
    first_alike = {}
    for key in sorted(by_key):
        model = by_key[key]
        for first in firsts[_built(model)]:
            if same_answers(first.fingerprint, model.fingerprint):
                first_alike[key] = first.key
                break
        else:
            firsts[_built(model)].append(model)
            first_alike[key] = key
    return first_alike

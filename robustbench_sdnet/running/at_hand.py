"""Models and data as they lie on this machine: those named, or what the runs and the zoo hold."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from ..data import ImageData, load
from ..errors import InputError, ModelError, SdnetBenchError
from ..planning.identity import model_spec
from ..specs import ModelSpec
from ..zoo.files.cards import ModelCard
from ..zoo.names import describe_model, find_models, newest_run, trained_on
from ..zoo.nets.architectures import SMALL
from ..zoo.shelf.index import entries, local_path


def model_specs(
    names: Sequence[str], data: ImageData, runs: Path, root: str | None, device: str = "cpu"
) -> tuple[list[ModelSpec], dict[str, str], list[str]]:
    """The models of that name, or the usual ones at hand that were trained on the data set.

    Returns:
        The models; by name why others could not be loaded; a line where some were left out or failed.

    Raises:
        InputError: an unknown name, or no model at hand.
        ModelError: no model could be loaded.
    """
    failed: dict[str, str] = {}
    if names:
        cards, failed = _described(names, data.image_shape)
        notes = [f"left out: {reason}" for reason in failed.values()]
    else:
        cards, notes = _usual_at_hand(data, runs, root, device)
    specs: dict[str, ModelSpec] = {}
    for spec in map(model_spec, cards):
        first = specs.setdefault(spec.key, spec)
        if first.name != spec.name:
            notes.append(
                f"{spec.name} is the same model as {first.name} and is evaluated once, as {first.name}"
            )
    models = sorted(specs.values(), key=lambda spec: spec.name)
    for one, other in pairwise(models):
        if one.name == other.name:  # a report could not tell them apart
            raise InputError(
                f"Two different models are called '{one.name}': {one.source} and {other.source}. Rename one."
            )
    return models, failed, notes


def _described(names: Sequence[str], shape: tuple[int, int]) -> tuple[list[ModelCard], dict[str, str]]:
    """The cards of named models, and by name why others could not be loaded."""
    cards: list[ModelCard] = []
    failed: dict[str, str] = {}
    for name in names:
        try:
            cards.append(describe_model(name, shape))
        except ModelError as error:
            failed[name] = str(error)
    if not cards:
        raise ModelError(" | ".join(failed.values()))
    return cards, failed


def _usual_at_hand(
    data: ImageData, runs: Path, root: str | None, device: str
) -> tuple[list[ModelCard], list[str]]:
    """The cards of the usual models that were trained on the data set, and a line on those left out, if any."""
    trained_on = data.training_set
    found = find_models(trained_on, train_hash=train_hash(data, root), runs=runs)
    cards = usual(found, device)
    if not cards:
        raise InputError(
            f"No model trained on {trained_on} is available. "
            f"Run 'sdnet-bench train {shlex.quote(trained_on)} sdnet20' or give --model."
        )
    left_out = [card.name for card in found if card not in cards]
    away = [item.name for item in entries() if item.data == trained_on and local_path(item) is None]
    left_out += [f"{name} (not on this machine)" for name in away]
    return cards, [f"left out: {', '.join(left_out)}; --model takes any of them"] if left_out else []


def usual(cards: Sequence[ModelCard], device: str) -> list[ModelCard]:
    """The models to ask where none is named: the user's runs; else the zoo's, on a CPU the small ones."""
    runs = [card for card in cards if "/" not in card.name]
    quick = [card for card in cards if card.arch in SMALL]
    return runs or (quick if device == "cpu" else []) or list(cards)


def train_hash(data: ImageData, root: str | None) -> str | None:
    """The content hash of the training split that goes with a data set; None where it is not at hand, or ImageNet's."""
    if data.training_set == "imagenet":
        return None
    try:
        if data.split == "train" and not data.belongs_to:
            return data.content_hash
        return load(data.training_set, "train", root, download=False).content_hash
    except SdnetBenchError:
        return None


def default_data(models: Sequence[str], runs: Path) -> str:
    """What the first of the models that say so was trained on, else the data set of the newest run.

    Raises:
        InputError: there is neither.
        ModelError: there is neither, and a model could not be described.
    """
    for model in models:
        with suppress(ModelError):  # the run names it, and goes on with the others
            if data := trained_on(model):
                return data
    if card := newest_run(runs):
        return card.data
    for model in models:
        describe_model(model)  # one that fails is to be named
    raise InputError(
        f"There is no run in {runs}/ yet. Run 'sdnet-bench train cifar10 sdnet18', or give --data."
    )

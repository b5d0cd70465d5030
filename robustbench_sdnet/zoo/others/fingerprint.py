"""What a model answers on a few fixed images: a change that no hash of its code or weights shows, shows here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.parameter import is_lazy

from ...draws import seeded
from ...errors import ModelError
from ...files import sha256_of
from ...specs.models import ModelSpec, same_answers
from ..files.weights import weights_hash
from ..nets.control import csc_layers, follows_lambda
from .sources import file_of, working_folder_importable

Logits = NDArray[np.float64]
IMAGES = 4
CALLS = 8  # a model that seldom draws may answer several times alike
NUMBERS = 16  # an image; more logits are mixed into that many, so that a question stays small
REPEATABLE = 1e-5  # relative difference of two calls that threads of one processor may make


def fingerprint(model: nn.Module, size: Sequence[int]) -> tuple[tuple[float, ...], bool]:
    """A model's answers on fixed random images, and whether its calls disagree.

    Args:
        model: in evaluation mode, on the CPU; takes images (n, 3, h, w) in [0, 1].
        size: height and width of the images.

    Returns:
        (height, width, numbers...), empty where the model is randomised or does not run on such images: what is
        wrong with it is then for the run to say.
    """
    images = _images(size)
    try:
        with _calls():
            model(images)  # what a first call alone does, such as importing, is no disagreement
            first, *others = (model(images).double().numpy() for _ in range(CALLS))
    except (Exception, SystemExit):  # noqa: BLE001  it is another person's code
        return (), False
    if first.ndim != 2 or not np.isfinite(first).all():
        return (), False
    first, *others = _without_masks(first, *others)
    if not _alike(first, *others):
        return (), True
    if first.shape[1] > NUMBERS:
        mixing = np.random.default_rng(1).standard_normal((first.shape[1], NUMBERS))
        first = first @ mixing / np.sqrt(first.shape[1])
    return (*map(float, size), *(float(f"{value:.7g}") for value in first.ravel())), False


def repeatable(model: nn.Module, size: Sequence[int]) -> bool:
    """Whether a randomised model draws from generators that can be seeded: torch's, NumPy's, Python's."""
    images, logits = _images(size), []
    for _ in range(CALLS):
        with _calls(), seeded(0, "repeatable"):
            logits.append(model(images).double().numpy())
    return _alike(*_without_masks(*logits))


def takes_lambda(model: nn.Module, size: Sequence[int]) -> bool:
    """Whether a model has sparse coding layers, and answers at the lambda that is set on them from outside."""
    images = _images(size)
    try:
        with _calls():
            return follows_lambda(model, lambda: model(images))
    except (Exception, SystemExit):  # noqa: BLE001  it is another person's code, and for the run to name
        return bool(csc_layers(model))


@contextlib.contextmanager
def _calls() -> Iterator[None]:
    """Where another person's code is called: its own folder importable, its words apart, torch's generator kept."""
    quiet = contextlib.redirect_stdout(sys.stderr)
    with working_folder_importable(), quiet, torch.random.fork_rng(devices=[]), torch.no_grad():
        yield


def _alike(first: Logits, *others: Logits) -> bool:
    """Whether answers to the same images are equal but for what threads round."""
    return all(np.allclose(first, other, rtol=0, atol=REPEATABLE * np.abs(first).max()) for other in others)


def _without_masks(first: Logits, *others: Logits) -> list[Logits]:
    """Answers in which classes that are masked out with -1e9, against which nothing else counts, have a usual size."""
    leading = np.abs(np.sort(first, 1)[:, -2:]).max(1, keepdims=True)
    masked = np.abs(first) > 1e3 * leading  # wider than in attacks, since fingerprints are stored
    return [np.where(masked, np.clip(each, -10 * leading, 10 * leading), each) for each in (first, *others)]


def _images(size: Sequence[int]) -> torch.Tensor:
    """(IMAGES, 3, *size) float32 uniform in [0, 1), the same everywhere."""
    return torch.from_numpy(np.random.default_rng(0).random((IMAGES, 3, *size), dtype=np.float32))


def check_unchanged(
    model: nn.Module, spec: ModelSpec, again: Callable[[], nn.Module], size: Sequence[int]
) -> None:
    """Raise a ModelError if an external model, just loaded and on the CPU, is not the one that was described.

    A randomised one, whose answers differ by themselves, is told by its exported file, and by its weights where its
    calls leave them alone.

    Args:
        again: loads it once more, to be called: `model` is not.
        size: height and width of images that it takes.
    """
    file = dict(spec.options).get("file")
    if file is not None and sha256_of(file_of(spec.source)) != file:
        raise ModelError(
            f"{spec.name} is another file than when this run began: it was written anew, or differs on this machine. "
            "Run the same command again."
        )
    randomised = dict(spec.options).get("randomised")
    if randomised and not _has_weights(model, spec) and _keeps_weights(again(), size):
        raise _other_weights(spec)
    if spec.fingerprint:
        answers, _ = fingerprint(model, [int(side) for side in spec.fingerprint[:2]])
        if not same_answers(answers, spec.fingerprint):
            if weights_hash(model) != spec.weights:
                raise _other_weights(spec)
            raise ModelError(
                f"{spec.name} answers differently than when this run began: its code differs where it is loaded, "
                "or changed in the meantime. Run the same command again."
            )


def _has_weights(model: nn.Module, spec: ModelSpec) -> bool:
    return not any(map(is_lazy, model.parameters())) and weights_hash(model) == spec.weights


def _keeps_weights(model: nn.Module, size: Sequence[int]) -> bool:
    """Whether calls leave the weights of a model as they are."""
    if any(map(is_lazy, model.parameters())):
        return False
    before = weights_hash(model)
    fingerprint(model, size)
    return weights_hash(model) == before


def _other_weights(spec: ModelSpec) -> ModelError:
    return ModelError(
        f"{spec.name} has other weights than when this run began, like a model that is not trained. "
        "Load a checkpoint where it is built, or seed its weights: torch.manual_seed(0)."
    )

"""What is left of images at every depth and lambda, in numbers: one a picture, then their mean and interval."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..lambdas import Fixed, WithPolicy
from ..reports.pictures import Number
from ..statistics import mean_interval
from ..zoo import use_lambda
from .inversion import Inversion, inversions
from .subject import NOISE, Subject
from .way import features, invert_features

PerImage = dict[tuple[str, float | None, int, str], list[float]]
"""(which images, lambda, depth, quantity) -> a number an image."""


def relative(changed: Tensor, original: Tensor) -> Tensor:
    """(n,) |changed - original| / |original|; 0 where they are equal, infinite where the original alone is zero."""
    difference = length(changed - original)
    return difference / torch.where(difference == 0, 1, length(original))


def length(images: Tensor) -> Tensor:
    """(n,) Euclidean norm of each image."""
    norms: Tensor = torch.linalg.vector_norm(images.flatten(1), dim=1)
    return norms


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """(n,) Pearson's correlation over the pixels and channels of each image; NaN for an image of one colour."""
    centred = [x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (first, second)]
    product = centred[0].norm(dim=1) * centred[1].norm(dim=1)
    return (centred[0] * centred[1]).sum(1) / torch.where(product == 0, torch.nan, product)


def active(code: Tensor) -> Tensor:
    """(n,) share of a code's entries that are not zero."""
    return (code != 0).flatten(1).float().mean(1)


def inverted(
    subject: Subject, images: Tensor, depths: Sequence[int], lam: float | None
) -> Iterator[Inversion]:
    """The inversion at each depth, at a lambda; by gradient, which has no code, where that is wanted."""
    model, scope = subject.model, subject.wanted.scope
    if subject.wanted.method == "gradient":
        at = model if lam is None else WithPolicy(model, Fixed(lam), scope=scope)
        for depth in depths:
            yield Inversion(depth, images.new_zeros(0), invert_features(at, images, depth))
    elif depths:
        assert lam is not None  # narrows the type: what has codes has a lambda
        with use_lambda(model, lam, scope):
            yield from list(inversions(model, images, depths))


def reconstruction_numbers(subject: Subject, batch_size: int, on_step: Callable[[str], None]) -> list[Number]:
    """What each depth still holds, at each lambda, of the clean images and of the perturbed ones but noise."""
    per_image: PerImage = defaultdict(list)
    of_clean: dict[tuple[float | None, int], Tensor] = {}
    clean = subject.seen["clean"]
    for start in range(0, len(clean), batch_size):
        part = slice(start, start + batch_size)
        for name, images in subject.seen.items():
            for lam in () if name.startswith(NOISE) else subject.lambdas:
                if subject.wanted.method == "gradient":  # takes long
                    on_step(f"{subject.name}: {name}" + ("" if lam is None else f", lambda {lam:g}"))
                for inversion in inverted(subject, images[part], subject.depths, lam):
                    depth, reconstructed = inversion.depth, inversion.images
                    quantities = {
                        "error": relative(reconstructed, images[part]),
                        "correlation": correlation(reconstructed, clean[part]),
                    }
                    if name == "clean":
                        of_clean[lam, depth] = reconstructed
                    else:
                        change = length(images[part] - clean[part])
                        quantities["left"] = length(reconstructed - of_clean[lam, depth]) / change
                    if inversion.code.numel():
                        quantities["active"] = active(inversion.code)
                    for quantity, values in quantities.items():
                        per_image[name, lam, depth, quantity] += values.tolist()
    return _numbers(subject.name, per_image)


@torch.no_grad()
def feature_changes(subject: Subject, batch_size: int) -> list[Number]:
    """How much the features of perturbed images differ from those of the clean ones, at every depth."""
    per_image: PerImage = defaultdict(list)
    clean = subject.seen["clean"]
    for start in range(0, len(clean), batch_size):
        part = slice(start, start + batch_size)
        of_clean = features(subject.model, clean[part])
        for name, images in subject.seen.items():
            if name != "clean":
                perturbed = features(subject.model, images[part])
                for depth, (changed, original) in enumerate(zip(perturbed, of_clean, strict=True)):
                    per_image[name, subject.lam, depth, "change"] += relative(changed, original).tolist()
    return _numbers(subject.name, per_image)


def _numbers(model: str, per_image: PerImage) -> list[Number]:
    """The mean of every quantity with its interval over images."""
    numbers = []
    for (image, lam, depth, quantity), values in per_image.items():
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            continue  # such as the correlation of images of one colour, which is undefined
        mean, *ends = mean_interval(finite)
        low, high = (None if math.isnan(end) else end for end in ends)
        numbers.append(
            Number(
                model=model,
                image=image,
                lam=lam,
                depth=depth,
                quantity=quantity,
                mean=mean,
                low=low,
                high=high,
            )
        )
    return numbers

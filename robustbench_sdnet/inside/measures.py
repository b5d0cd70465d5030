"""What is left of images at every depth and lambda, in numbers: one a picture, then their mean and interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..lambdas import Fixed, WithPolicy
from ..reports.pictures import Number
from ..statistics import mean_interval
from ..zoo import use_lambda
from .gradient import invert_features
from .inversion import Inversion, inversions
from .way import features

PerImage = dict[tuple[str, float | None, int, str], list[float]]


def relative(made: Tensor, given: Tensor) -> Tensor:
    """(n,) |made - given| / |given|; 0 where both are zero."""
    size = given.flatten(1).norm(dim=1)
    found: Tensor = (made - given).flatten(1).norm(dim=1) / size.clamp_min(torch.finfo(size.dtype).tiny)
    return found


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """(n,) Pearson's correlation over the pixels and channels of each image; NaN for an image of one colour."""
    centred = [x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (first, second)]
    product = centred[0].norm(dim=1) * centred[1].norm(dim=1)
    return (centred[0] * centred[1]).sum(1) / torch.where(product == 0, torch.nan, product)


def active(code: Tensor) -> Tensor:
    """(n,) share of a code's entries that are not zero."""
    return (code != 0).flatten(1).float().mean(1)


def inverted(
    model: nn.Module, images: Tensor, depths: Sequence[int], method: str, lam: float | None, scope: str
) -> Iterator[Inversion]:
    """The inversion at each depth, at a lambda; by gradient, which has no code, where `method` says so."""
    if method == "gradient":
        at = model if lam is None else WithPolicy(model, Fixed(lam), scope=scope)
        for depth in depths:
            yield Inversion(depth, images.new_zeros(0), invert_features(at, images, depth))
    elif depths:
        assert lam is not None  # narrows the type: what has codes has a lambda
        with use_lambda(model, lam, scope):
            yield from list(inversions(model, images, depths))


def measure(
    model: nn.Module,
    seen: Mapping[str, Tensor],
    depths: Sequence[int],
    lambdas: Sequence[float | None],
    *,
    method: str,
    scope: str,
    batch_size: int,
    into: PerImage,
) -> None:
    """Add the numbers of each image to `into`; `seen` holds the same (n, c, h, w) clean, first, and perturbed."""
    clean = seen["clean"]
    for start in range(0, len(clean), batch_size):
        part = slice(start, start + batch_size)
        for name, images in seen.items():
            for lam in lambdas:
                for found in inverted(model, images[part], depths, method, lam, scope):
                    rows = {
                        "error": relative(found.images, images[part]),
                        "correlation": correlation(found.images, clean[part]),
                    }
                    if found.code.numel():
                        rows["active"] = active(found.code)
                    for quantity, values in rows.items():
                        into.setdefault((name, lam, found.depth, quantity), []).extend(values.tolist())


@torch.no_grad()
def measure_way(
    model: nn.Module, seen: Mapping[str, Tensor], lam: float | None, *, batch_size: int, into: PerImage
) -> None:
    """Add how much the features of perturbed images differ from those of the clean ones, at every depth."""
    clean = seen["clean"]
    for start in range(0, len(clean), batch_size):
        part = slice(start, start + batch_size)
        before = features(model, clean[part])
        for name, images in seen.items():
            if name != "clean":
                for depth, (now, then) in enumerate(zip(features(model, images[part]), before, strict=True)):
                    into.setdefault((name, lam, depth, "change"), []).extend(relative(now, then).tolist())


def summed(model: str, per_image: PerImage) -> list[Number]:
    """The mean of every quantity with its interval over images."""
    found = []
    for (image, lam, depth, quantity), values in per_image.items():
        kept = [value for value in values if math.isfinite(value)]
        if not kept:
            continue  # such as the correlation of images of one colour, which is undefined
        mean, *ends = mean_interval(kept)
        low, high = (None if math.isnan(end) else end for end in ends)
        found.append(
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
    return found

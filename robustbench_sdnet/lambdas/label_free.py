"""Lambda without any label, from the image alone.

Three criteria:

* "noise": basis pursuit denoising thresholds at sigma sqrt(2 log d) for d unit atoms (Chen, Donoho and
  Saunders 1998); sigma is estimated from the image (Immerkaer 1996).
* "discrepancy": Morozov's principle on the residual's growth. FISTA of two steps does not fit an image
  exactly at any lambda, so the residual is compared with its own value at the training lambda: lambda rises
  until the residual has grown by the noise energy.
* "entropy": the lambda whose prediction is the most certain, as in test-time entropy minimisation (Wang et
  al. 2021).

The first two cost one extra pass through the stem at most, the last one network pass a lambda.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.tensors import to_images
from ..devices import full_float32
from ..errors import DataError, InputError, unknown
from ..reading.numbers import number, whole
from ..specs.lambdas import CRITERIA, LAMBDAS
from ..zoo.nets.control import check_evaluated
from ..zoo.nets.inputs import check_floats, check_range
from .policy import Fitting
from .sweep import Stem, stem_of, sweep_lambdas


@dataclass(frozen=True, slots=True)
class Reference:
    """Median noise variance estimated of clean images, whose texture passes for noise, in normalised units."""

    variance: float = 0.0


@dataclass(frozen=True, slots=True)
class LabelFree:
    """The policy of a criterion.

    Attributes:
        criterion: one of `CRITERIA`.
        reference: from unlabelled clean images; None takes the noise estimate as it is.
        lambdas: limits, and the candidates of the criteria that try some. "noise" and "discrepancy" raise the training
            lambda, and keep it where it is beyond them all.
        strength: multiplies the threshold of "noise" and the energy of "discrepancy".
        scope: the layers that "entropy" tries its candidates on, "stem" or "all"; the others look at the stem
            alone, wherever their lambda is then set.
    """

    criterion: str
    reference: Reference | None = None
    lambdas: tuple[float, ...] = LAMBDAS
    strength: float = 1.0
    scope: str = "stem"

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise unknown("label-free criterion", self.criterion, CRITERIA)
        if len(self.lambdas) < 2 or sorted(set(self.lambdas)) != list(self.lambdas):
            raise InputError(f"lambdas must be at least two increasing numbers, got {self.lambdas}.")
        object.__setattr__(self, "strength", number(self.strength, "strength must be above 0", 0))
        if self.strength == 0:
            raise InputError("strength must be above 0, got 0.")

    @property
    def name(self) -> str:
        """ "label-free:CRITERION"."""
        return f"label-free:{self.criterion}"

    @property
    def differentiable(self) -> bool:
        """Whether lambda moves smoothly with the image; the most certain of some lambdas jumps."""
        return self.criterion != "entropy"

    @property
    def passes(self) -> int:
        """Through the network, an image: one at each candidate where the most certain is taken."""
        return len(self.lambdas) if self.criterion == "entropy" else 0

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """(n,) lambdas."""
        if self.criterion == "entropy":
            return _most_certain(model, images, self.lambdas, self.scope)
        stem = stem_of(model, images)
        floor = 0.0 if self.reference is None else self.reference.variance
        # Kept off zero, where the square root has no gradient.
        variance = (noise_variance(stem.x) - floor).clamp_min(1e-12)
        if self.criterion == "noise":
            atoms = stem.layer.weight.shape[0]
            threshold = self.strength * math.sqrt(2 * math.log(atoms)) * variance.sqrt()
            lowest = torch.full_like(threshold, stem.trained_lambda)
            return torch.hypot(threshold, lowest).clamp(max=max(*self.lambdas, stem.trained_lambda))
        return _discrepancy(stem, self.strength * variance, self.lambdas)

    def identity(self) -> str:
        """A hash of everything but the criterion and the scope, which are named beside it."""
        rule = repr((self.reference, self.lambdas, self.strength))
        return hashlib.sha256(rule.encode()).hexdigest()[:16]


def noise_variance(x: Tensor) -> Tensor:
    """(n,) variance of white noise, estimated with a filter that is blind to smooth structure (Immerkaer
    1996).

    Args:
        x: (n, c, h, w), sides of at least 3; channels are averaged.

    Raises:
        InputError: smaller images, or what is none.
    """
    if x.dim() != 4:
        raise InputError(
            f"Noise is estimated from images (n, c, h, w), got {tuple(x.shape)}. Take label-free:entropy or a number."
        )
    if min(x.shape[2:]) < 3:
        height, width = x.shape[2:]
        raise InputError(f"Estimating the noise of an image takes 3x3 pixels or more, got {height}x{width}.")
    mask = x.new_tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
    channels = x.shape[1]
    filtered = F.conv2d(x, mask.expand(channels, 1, 3, 3), groups=channels)
    # The mask has norm 6, and the mean of |N(0, s)| is s sqrt(2 / pi).
    sigma = math.sqrt(math.pi / 2) / 6 * filtered.abs().mean((2, 3))
    return sigma.square().mean(1)


@full_float32()
def reference(model: nn.Module, images: Tensor, *, batch_size: int = 250) -> Reference:
    """The noise estimate's median on clean images, which need no labels.

    Args:
        model: in evaluation mode, with a sparse coding stem.
        images: (n, 3, h, w) floats in [0, 1].
        batch_size: the most images to show the model at once.

    Raises:
        InputError: no images, other values, training mode, or a model without such a stem.
    """
    check_evaluated(model)
    check_floats(images)
    if len(images) == 0:
        raise InputError("A reference needs at least one clean image.")
    check_range(images)
    size = whole(batch_size, "batch_size must be a whole number", 1)
    with torch.no_grad():
        variances = [noise_variance(stem_of(model, batch).x) for batch in torch.split(images, size)]
        return Reference(float(torch.cat(variances).median()))


def _reference(
    model: nn.Module, device: str | torch.device, pixels: NDArray[np.uint8], batch_size: int
) -> Reference:
    return reference(model, to_images(pixels, device), batch_size=batch_size)


def deploy(criterion: str, fitting: Fitting) -> LabelFree:
    """The policy of a criterion for a model, with the noise estimate of clean training images as its reference.

    Other devices estimate other last bits, which would be another policy: what was estimated first is kept.
    """
    name = fitting.kept_as("label-free")
    found = fitting.once(name, _from_text, lambda: _estimated(fitting, name))
    return LabelFree(criterion, reference=found, scope=fitting.scope)


def _from_text(text: str) -> Reference:
    try:
        return Reference(number(text, "an estimate of noise must be finite and not negative", 0))
    except InputError as error:
        raise DataError(str(error)) from None


def _estimated(fitting: Fitting, name: str) -> Reference:
    """Estimate the noise of clean training images, and keep the number under that name."""
    data = fitting.data
    clean = data.pixels.read(data.positions(fitting.count))
    ((_, found),) = fitting.measure(_reference, [lambda: (clean, fitting.batch_size)])
    fitting.kept.keep(name, repr(found.variance))
    return found


def _discrepancy(stem: Stem, variance: Tensor, lambdas: Sequence[float]) -> Tensor:
    """Where the residual, read along straight lines between the candidates, has grown by the noise energy."""
    lowest = stem.trained_lambda
    grid = [lowest, *(lam for lam in lambdas if lam > lowest)]
    if len(grid) == 1:
        return stem.x.new_full((len(stem.x),), lowest)
    energies = torch.stack(list(stem.residuals(grid))) / stem.x.shape[1:].numel()
    # A residual that dips between two lambdas does not shrink: read it as flat.
    grown = (energies - energies[:1]).cummax(0).values
    inside = grown <= variance
    position = inside.sum(0).clamp(1, len(grid) - 1)
    low, high = (grown.gather(0, (position - shift)[None])[0] for shift in (1, 0))
    share = ((variance - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    ends = _numbers(tuple(grid), stem.x.dtype, stem.x.device)
    return torch.lerp(ends[position - 1], ends[position], share)


def _most_certain(model: nn.Module, images: Tensor, lambdas: Sequence[float], scope: str) -> Tensor:
    """The candidate of least entropy for each image; of equals, the smallest."""
    entropies = []
    for logits in sweep_lambdas(model, images, lambdas, scope=scope):
        log_p = logits.log_softmax(1)
        entropies.append(-(log_p.exp() * log_p).sum(1))
    best = torch.stack(entropies).argmin(0)
    return _numbers(tuple(lambdas), images.dtype, images.device)[best]


@lru_cache(maxsize=16)
def _numbers(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The values as a tensor, copied to a device once: every copy waits for it."""
    return torch.tensor(values, dtype=dtype, device=device)

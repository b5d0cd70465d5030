"""One batch at many lambdas, by the stem alone or through the whole model: what they share is computed once.

With mu = 0 the first FISTA step is prox(step * A^T x) and the second prox(z + step * (A^T x - A^T A z)):
the analysis A^T x does not depend on lambda.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..reading.options import several
from ..zoo.nets.control import stem_input, use_lambda
from ..zoo.nets.csc import SparseCoding
from ..zoo.nets.sdnet import Classifier


@dataclass(frozen=True, eq=False)
class Stem:
    """A model's first sparse coding layer and its input `x` (n, c, h, w) for a batch, the normalised images."""

    layer: SparseCoding
    x: Tensor

    @property
    def trained_lambda(self) -> float:
        """The lambda that the layer was trained at."""
        return float(self.layer.coding.lam)

    @property
    def shares_analysis(self) -> bool:
        """Whether lambdas can share A^T x: a linear data term, no scaling by mu, two published steps, no training."""
        coding = self.layer.coding
        plain = coding.mu == 0 and coding.square_noise and coding.non_negative and coding.n_dict == 1
        return plain and coding.n_steps <= 2 and not self.layer.training

    def codes(self, lambdas: Iterable[float | Tensor]) -> Iterator[Tensor]:
        """The code at each lambda, (n, d, h', w'): numbers, or one value a sample (n,)."""
        layer = self.layer
        if not self.shares_analysis:
            for lam in lambdas:
                with use_lambda(layer, lam):
                    code = layer(self.x)
                yield code
            return
        atoms, operator = layer.atoms(), layer.operator
        step = layer.known_step(atoms)
        analysis = atoms * step
        shared = operator.analyse(self.x, analysis)
        for lam in lambdas:
            with use_lambda(layer, lam):
                threshold = (
                    torch.as_tensor(layer.per_sample(self.x), dtype=step.dtype, device=step.device) * step
                )
            single = threshold.dim() == 0
            code = (shared - threshold).relu_()
            if layer.coding.n_steps == 2:
                left = self.x - operator.synthesise(code, atoms, self.x)
                # One threshold for all is a bias, which the convolution adds on its way.
                bias = -threshold.expand(len(atoms)) if single else None
                again = operator.analyse(left, analysis, bias).add_(code)
                code = (again if single else again.sub_(threshold)).relu_()
            yield code

    def residuals(self, lambdas: Iterable[float | Tensor]) -> Iterator[Tensor]:
        """(n,) energy |x - A z|^2 at each lambda, averaged over the sub-dictionaries."""
        for code in self.codes(lambdas):
            yield self.layer.energy(self.x, code, self.layer.atoms())


def stem_of(model: nn.Module, images: Tensor) -> Stem:
    """The stem of a model on images (n, 3, h, w) in [0, 1], with the input that it gets; InputError without one."""
    return Stem(*stem_input(model, images))


def sweep_lambdas(
    model: nn.Module, images: Tensor, lambdas: Sequence[float | Tensor], *, scope: str = "stem"
) -> Iterator[Tensor]:
    """The logits of one batch at each lambda in turn.

    Logits at a lambda do not depend on which others are asked for. They agree with a forward pass under
    `use_lambda` to rounding: the analysis of the stem is shared, so sums are taken in another order.

    Args:
        model: in evaluation mode, with sparse coding layers.
        images: (n, 3, h, w) in [0, 1].
        lambdas: numbers, or one value per sample (n,); a number alone is one.
        scope: "stem" or "all" layers.

    Yields:
        (n, classes) logits for each lambda in order.

    Raises:
        InputError: the model has no sparse coding layers, or a lambda is out of range.
    """
    lambdas = several(lambdas)
    # A model around one of ours may look at the stem twice, or at other images: only ours is known to share.
    stem = stem_of(model, images) if scope == "stem" and isinstance(model, Classifier) else None
    if stem is None or not stem.shares_analysis:
        for lam in lambdas:
            with use_lambda(model, lam, scope=scope):
                logits = model(images)
            yield logits
        return
    for code in stem.codes(lambdas):
        with _coded(stem.layer, code):
            logits = model(images)
        yield logits


@contextmanager
def _coded(layer: SparseCoding, code: Tensor) -> Iterator[None]:
    """The layer answers with a code that is known already, whatever its input; the class is not touched."""
    layer.forward = lambda x: code  # type: ignore[method-assign]  # on the instance alone
    try:
        yield
    finally:
        del layer.forward

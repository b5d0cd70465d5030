"""The loss of one step: the model, the adversary, the consistency and the auxiliary terms, in one module.

As one module it is what DistributedDataParallel wraps, so that every forward pass of a step lies inside
its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...attacks.engine.balls import BALLS
from ...draws import Draws
from ...zoo.nets.control import auxiliary_objective
from ..recipes.options import TrainOptions
from ..run.distributed import world
from .augmix import augmix
from .device import Device


class Objective(nn.Module):
    """Batch mean of the training loss of a classifier, by a recipe, in the device's precision."""

    def __init__(
        self, model: nn.Module, options: TrainOptions, device: Device, compiled: bool = False
    ) -> None:
        super().__init__()
        self.model, self.options, self.device = model, options, device
        # On a GPU the launches of small batches cost more than the kernels: a graph replays them. Not with several
        # processes, whose batch statistics are summed within the pass.
        replayed = device.device.type == "cuda" and world().processes == 1
        mode = "reduce-overhead" if replayed else "default"
        self._run = torch.compile(model, mode=mode) if compiled else model

    def logits(self, images: Tensor) -> Tensor:
        """(n, classes) in at least float32."""
        with self.device.forward():
            logits: Tensor = self._run(images)
        return logits if logits.dtype == torch.float64 else logits.float()

    def forward(self, images: Tensor, labels: Tensor, ids: Tensor, step: int) -> Tensor:
        """The loss, a 0-d tensor, of images (n, 3, h, w) uint8, labels and sample ids (n,), at a step of the run."""
        clean = self.device.floats(images)
        # Before the auxiliary terms are collected: they are of the passes that are trained on, not of the search.
        moved = clean if self.options.adversary == "none" else self.perturbed(clean, labels, ids, step)
        if not self.options.auxiliary:
            return self._main(clean, moved, labels, ids, step)
        with auxiliary_objective(self.model) as collect:
            return self._main(clean, moved, labels, ids, step) + self.options.auxiliary * collect()

    def _main(self, clean: Tensor, moved: Tensor, labels: Tensor, ids: Tensor, step: int) -> Tensor:
        if self.options.augmix:
            return self._consistent(clean, labels, ids, step)
        if self.options.adversary != "trades":
            return self._cross_entropy(self.logits(moved), labels)
        logits, moved_logits = self.logits(clean), self.logits(moved)
        divergence = _divergence(moved_logits.log_softmax(1), logits.log_softmax(1))
        return self._cross_entropy(logits, labels) + self.options.beta * divergence

    def perturbed(self, images: Tensor, labels: Tensor, ids: Tensor, step: int) -> Tensor:
        """Images within the budget that raise the loss, from a random start.

        "fgsm" takes one step of 1.25 eps (Wong et al. 2020, arXiv:2001.03994), "pgd" several on the
        cross-entropy (Madry et al. 2018, arXiv:1706.06083), "trades" several on the divergence from the clean
        prediction (Zhang et al. 2019, arXiv:1901.08573). The model is in evaluation mode meanwhile, so that batch
        statistics stay clean.

        Args:
            images, labels: (n, 3, h, w) in [0, 1], and (n,).
            ids: (n,) sample ids; with `step` they key the random start, so that it does not depend on the sharding.
        """
        options, training = self.options, self.model.training
        draws = Draws.of(options.seed, f"training start {options.adversary}", ids)
        ball = BALLS[options.norm]
        self.model.eval()
        try:
            if options.adversary == "trades":  # starts close to the centre
                moved = (images + 0.001 * draws.normal(images.shape[1:], step, images.dtype)).clamp(0, 1)
                with torch.no_grad():
                    clean = self.logits(images).softmax(1)
            else:
                moved = ball.random_in_ball(draws, images, options.radius, step)
            for _ in range(1 if options.adversary == "fgsm" else options.attack_steps):
                moved = moved.detach().requires_grad_()
                logits = self.logits(moved)
                if options.adversary == "trades":
                    loss = F.kl_div(logits.log_softmax(1), clean, reduction="sum")
                else:
                    loss = F.cross_entropy(logits, labels, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, moved)
                moved = ball.ascend(moved.detach(), gradient, images, options.step_radius, options.radius)
        finally:
            self.model.train(training)
        return moved

    def _consistent(self, clean: Tensor, labels: Tensor, ids: Tensor, step: int) -> Tensor:
        """Cross-entropy plus the Jensen-Shannon divergence of a clean image and two mixtures."""
        views = [
            clean,
            *(augmix(clean, ids, seed=self.options.seed, step=2 * step + view) for view in range(2)),
        ]
        logits = self.logits(torch.cat(views)).chunk(3)
        found = torch.stack([part.log_softmax(1) for part in logits])
        mixture = found.exp().mean(0).clamp(1e-7, 1).log()
        divergence = torch.stack([_divergence(mixture, each) for each in found]).mean()
        return self._cross_entropy(logits[0], labels) + self.options.augmix * divergence

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.options.label_smoothing)


def _divergence(found: Tensor, wanted: Tensor) -> Tensor:
    """Batch mean of KL(wanted || found) of logarithms of chances, whose gradient is finite where a chance is 0."""
    return F.kl_div(found, wanted, reduction="batchmean", log_target=True)

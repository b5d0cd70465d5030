"""A model as libraries of attacks see it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..engine.passes import Passes, silent


class Counted(nn.Module):
    """The model as a library sees it: a module with a parameter to tell the device by, that counts passes."""

    def __init__(self, passes: Passes, classes: int, images: Tensor) -> None:
        super().__init__()
        self.classes, self.batch_size = classes, passes.batch_size
        self.gradients = self.silent = 0
        self.first = True
        self._passes = passes
        self._dtype = images.dtype
        # Libraries read the device from the first parameter.
        self.anchor = nn.Parameter(
            torch.zeros((), dtype=torch.float32, device=images.device), requires_grad=False
        )

    def forward(self, images: Tensor) -> Tensor:
        asks = images.requires_grad and torch.is_grad_enabled()
        logits = self._passes.call(images.to(self._dtype), asks=asks)
        if logits.requires_grad:
            logits.register_hook(self._count_backward)  # type: ignore[no-untyped-call]  # torch states no types here
        if asks:
            images.register_hook(self._look)  # type: ignore[no-untyped-call]  # as above
        return logits

    def _look(self, gradient: Tensor) -> Tensor:
        """Count the first gradient of every sample of a batch, and those that are silent; in the layout of views."""
        if self.first:
            self.first = False
            self.gradients += len(gradient)
            self.silent += int(silent(gradient).sum())
        return gradient.contiguous()

    def _count_backward(self, gradient: Tensor) -> None:
        self._passes.backwards += len(gradient)

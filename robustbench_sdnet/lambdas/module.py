"""A model whose lambda follows a policy, as one module: what is deployed, and what attacks look through."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..zoo.nets.control import has_lambda, use_lambda
from .policy import Policy

GRADIENTS = ("through", "bpda")


class WithPolicy(nn.Module):
    """Logits of each image at the lambda the policy chooses for it.

    Attributes:
        model: a model with sparse coding layers.
        policy: from (model, images) to lambda (n,).
        scope: "stem" or "all" layers.
        gradient: "through" differentiates lambda(x) as well; "bpda" holds lambda constant in the backward
            pass (Athalye et al. 2018, arXiv:1802.00420), the one to take for a policy without a useful
            gradient.
    """

    def __init__(
        self, model: nn.Module, policy: Policy, *, scope: str = "stem", gradient: str = "through"
    ) -> None:
        super().__init__()
        if not has_lambda(model):
            raise InputError(
                "This model has no sparse coding layers, so it has no lambda for a policy to choose."
            )
        if gradient not in GRADIENTS:
            raise InputError(f"gradient must be 'through' or 'bpda', got '{gradient}'.")
        self.model, self.policy, self.scope, self.gradient = model, policy, scope, gradient
        self.train(model.training)

    def lambdas(self, images: Tensor) -> Tensor:
        """(n,) lambda of each image."""
        follows = self.gradient == "through" and self.policy.differentiable
        with torch.set_grad_enabled(follows and torch.is_grad_enabled()):
            return self.policy(self.model, images)

    def forward(self, images: Tensor) -> Tensor:
        """(n, classes) logits of images (n, 3, h, w) in [0, 1]."""
        with use_lambda(self.model, self.lambdas(images), scope=self.scope):
            logits: Tensor = self.model(images)
        return logits

"""Load a model by whatever names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .files.weights import load_checkpoint
from .names import EXTERNAL_KINDS, kind_of, own_checkpoint
from .others.external import load_external

if TYPE_CHECKING:
    import torch
    from torch import nn


def load_model(source: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """Load a model in evaluation mode, its weights frozen.

    Args:
        source: a run's folder or checkpoint, a name of the zoo ("cifar10/sdnet20"),
            "package.module:function", "torchvision:NAME", "timm:NAME", "robustbench:NAME", "hub:ID", a
            TorchScript or exported file.
        device: where to put it.

    Raises:
        InputError: nothing of that name; the message names the nearest.
        CheckpointError: the file is damaged or belongs to another architecture.
        ModelError: the code of another person's model failed.
    """
    kind, name = kind_of(str(source)), str(source)
    model = load_external(kind, name) if kind in EXTERNAL_KINDS else load_checkpoint(own_checkpoint(name))
    return model.to(device)

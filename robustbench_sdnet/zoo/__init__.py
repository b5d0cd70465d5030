"""Models: sparse coding networks, their plain baselines, checkpoints, and other people's models.

Heavy modules are imported on first use, so that names and cards can be had without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "ARCHITECTURES": "registry",
    "ModelCard": "registry",
    "describe_model": "registry",
    "find_models": "registry",
    "load_model": "weights",
    "read_card": "cards",
    "save_model": "weights",
    "weights_hash": "weights",
    "build_model": "sdnet",
    "add_to_zoo": "publish",
    "check_input": "guard",
    "export_model": "publish",
    "fetch": "fetch",
    "import_checkpoint": "importing",
    "auxiliary_objective": "control",
    "csc_layers": "control",
    "has_lambda": "control",
    "normalise_atoms": "control",
    "refresh_step_sizes": "control",
    "residuals": "control",
    "verify": "publish",
    "with_normalisation": "external",
    "use_lambda": "control",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

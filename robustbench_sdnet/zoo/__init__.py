"""Models: sparse coding networks, their plain baselines, checkpoints, and other people's models.

Modules are imported on first use, so that names and cards can be had without torch.
"""

from lazy_loader import attach_stub

<<<<<<< HEAD
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
=======
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .files.cards import ModelCard, read_card
    from .files.importing import import_checkpoint
    from .files.weights import save_model, weights_hash
    from .loading import load_model
    from .names import describe_model, find_models
    from .nets.architectures import ARCHITECTURES
    from .nets.control import (
        auxiliary_objective,
        csc_layers,
        has_lambda,
        normalise_atoms,
        refresh_step_sizes,
        residuals,
        use_lambda,
    )
    from .nets.sdnet import build_model
    from .others.external import with_normalisation
    from .others.guard import check_input
    from .shelf.publish import add_to_zoo, export_model, verify

__all__ = [
    "ARCHITECTURES",
    "ModelCard",
    "add_to_zoo",
    "auxiliary_objective",
    "build_model",
    "check_input",
    "csc_layers",
    "describe_model",
    "export_model",
    "find_models",
    "has_lambda",
    "import_checkpoint",
    "load_model",
    "normalise_atoms",
    "read_card",
    "refresh_step_sizes",
    "residuals",
    "save_model",
    "use_lambda",
    "verify",
    "weights_hash",
    "with_normalisation",
]
_NAMES = {
    "nets.architectures": ("ARCHITECTURES",),
    "files.cards": ("ModelCard", "read_card"),
    "nets.control": (
        *("auxiliary_objective", "csc_layers", "has_lambda", "normalise_atoms", "refresh_step_sizes"),
        *("residuals", "use_lambda"),
    ),
    "others.external": ("with_normalisation",),
    "others.guard": ("check_input",),
    "files.importing": ("import_checkpoint",),
    "shelf.publish": ("add_to_zoo", "export_model", "verify"),
    "names": ("describe_model", "find_models"),
    "nets.sdnet": ("build_model",),
    "files.weights": ("save_model", "weights_hash"),
    "loading": ("load_model",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
>>>>>>> f9d1f7f (Know other people's models by their code and their answers, and ours by their class)

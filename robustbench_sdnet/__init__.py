"""Robustness benchmarks for sparse-coding image classifiers.

    import robustbench_sdnet as rs

    model = rs.load_model("cifar10/sdnet20")
    with rs.use_lambda(model, 0.5):
        logits = model(images)

The names below are imported when they are first used, so that `import robustbench_sdnet` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import VERSION as __version__

if TYPE_CHECKING:
    from . import attacks, corruptions, data, lambdas, reports, training, zoo
    from .evaluation import diagnose, evaluate, study, sweep
    from .reports import report
    from .zoo import build_model, has_lambda, import_checkpoint, load_model, residuals, save_model, use_lambda

__all__ = [
    "__version__",
    "attacks",
    "build_model",
    "corruptions",
    "data",
    "diagnose",
    "evaluate",
    "has_lambda",
    "import_checkpoint",
    "lambdas",
    "load_model",
    "report",
    "reports",
    "residuals",
    "save_model",
    "study",
    "sweep",
    "training",
    "use_lambda",
    "zoo",
]

_SUBPACKAGES = {"attacks", "corruptions", "data", "lambdas", "reports", "training", "zoo"}
_HOME = {**dict.fromkeys(("diagnose", "evaluate", "study", "sweep"), "evaluation"), "report": "reports"}


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME.get(name, 'zoo')}", __name__), name)


def __dir__() -> list[str]:
    return __all__

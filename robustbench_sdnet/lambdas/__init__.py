"""How lambda is chosen at test time: policies from (model, images) to one lambda a sample.

Names are read in `specs.lambdas`, without torch; everything here is loaded when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibrated import Calibrated, CalibratedFit
    from .calibration import calibrate
    from .fixed import Fixed
    from .label_free import LabelFree, Reference, reference
    from .module import WithPolicy
    from .policy import Policy
    from .sweep import sweep_lambdas

_HOMES = {
    "Calibrated": "calibrated",
    "CalibratedFit": "calibrated",
    "Fixed": "fixed",
    "LabelFree": "label_free",
    "Policy": "policy",
    "Reference": "label_free",
    "WithPolicy": "module",
    "calibrate": "calibration",
    "reference": "label_free",
    "sweep_lambdas": "sweep",
}

__all__ = [
    "Calibrated", "CalibratedFit", "Fixed", "LabelFree",
    "Policy",
    "Reference", "WithPolicy", "calibrate", "reference", "sweep_lambdas",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

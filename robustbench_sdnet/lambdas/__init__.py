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
    from .matrix import LambdaMatrix, lambda_matrix
    from .module import Expectation, WithPolicy
    from .oracle import Oracle, choose_oracle
    from .policy import Policy
    from .sweep import sweep_lambdas

_HOMES = {
    "Calibrated": "calibrated",
    "CalibratedFit": "calibrated",
    "Expectation": "module",
    "Fixed": "fixed",
    "LabelFree": "label_free",
    "LambdaMatrix": "matrix",
    "Oracle": "oracle",
    "Policy": "policy",
    "Reference": "label_free",
    "WithPolicy": "module",
    "calibrate": "calibration",
    "choose_oracle": "oracle",
    "lambda_matrix": "matrix",
    "reference": "label_free",
    "sweep_lambdas": "sweep",
}

__all__ = [
    "Calibrated", "CalibratedFit", "Expectation", "Fixed", "LabelFree",
    "LambdaMatrix", "Oracle", "Policy",
    "Reference", "WithPolicy", "calibrate", "choose_oracle", "lambda_matrix", "reference", "sweep_lambdas",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

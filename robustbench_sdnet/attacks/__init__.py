"""Adversarial attacks: one active-set engine, native attacks on it, and adapters for other libraries.

The names below are imported when they are first used, so that the registry stays free of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dispatch import run
    from .engine.result import AttackResult
    from .native.apgd import apgd_ce, apgd_dlr, apgd_t
    from .native.autoattack import autoattack
    from .native.fab import fab_t
    from .native.fgsm import fgsm
    from .native.noise import noise
    from .native.pgd import pgd
    from .native.square import square
    from .registry import ATTACKS, CHAINS, attack_info, check_params

_LAZY = {
    "ATTACKS": "registry",
    "CHAINS": "registry",
    "AttackResult": "engine.result",
    "apgd_ce": "native.apgd",
    "apgd_dlr": "native.apgd",
    "apgd_t": "native.apgd",
    "attack_info": "registry",
    "autoattack": "native.autoattack",
    "check_params": "registry",
    "fab_t": "native.fab",
    "fgsm": "native.fgsm",
    "noise": "native.noise",
    "pgd": "native.pgd",
    "run": "dispatch",
    "square": "native.square",
}

__all__ = [
    "ATTACKS", "CHAINS", "AttackResult", "apgd_ce", "apgd_dlr", "apgd_t", "attack_info", "autoattack",
    "check_params", "fab_t", "fgsm", "noise", "pgd", "run", "square",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)

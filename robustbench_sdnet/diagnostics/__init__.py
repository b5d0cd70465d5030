"""Sixteen diagnostics of an adversarial evaluation: does the attack measure the model, or fool itself?

The table of checks needs no torch; the diagnostics are loaded when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .record import CHECKS, Check, Verdict, trusted

if TYPE_CHECKING:
    from .diagnosis import diagnose

__all__ = ["CHECKS", "Check", "Verdict", "diagnose", "trusted"]


def __getattr__(name: str) -> Any:
    if name == "diagnose":
        from .diagnosis import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Does an attack measure the model, or fool itself? Sixteen diagnostics, and doubts about a model itself.

The table and its findings need no torch; what computes them is loaded when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .finding import DIAGNOSTICS, Diagnostic, Finding, trusted

if TYPE_CHECKING:
    from .masking.diagnosis import diagnose

__all__ = ["DIAGNOSTICS", "Diagnostic", "Finding", "diagnose", "trusted"]


def __getattr__(name: str) -> Any:
    if name == "diagnose":
        from .masking.diagnosis import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

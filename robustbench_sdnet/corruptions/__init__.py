"""The nineteen corruptions of CIFAR-10-C, vectorised and reproducible, and salt-and-pepper noise.

`registry` and `parameters` are torch-free; the rest is loaded when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .registry import CORRUPTIONS, CorruptionInfo, corruption_info, expand

if TYPE_CHECKING:
    from .pipeline import apply, corrupt, sample

__all__ = ["CORRUPTIONS", "CorruptionInfo", "apply", "corrupt", "corruption_info", "expand", "sample"]


def __getattr__(name: str) -> Any:
    if name in ("apply", "corrupt", "sample"):
        from . import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

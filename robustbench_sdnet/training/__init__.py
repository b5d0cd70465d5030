"""Training: recipes, the loop, its state, and the robust variants. Importing this package does not import
torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .recipes.options import TrainOptions
from .recipes.recipe import Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from .run.run import TrainResult, train

__all__ = ["Recipe", "TrainOptions", "TrainResult", "load_recipe", "recipe_names", "train"]


def __getattr__(name: str) -> Any:
    if name in ("TrainResult", "train"):
        from .run import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""What is refused before any work, by commands and in Python alike; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..data.registry import check_name
from ..planning.setting import Setting
from .engines import check_engine


def checked(setting: Setting) -> Setting:
    """The setting; an InputError where its engine, data set or models cannot be meant."""
    check_engine(setting.engine)
    if setting.data is not None:
        check_name(setting.data)
    check_models(setting.models)
    return setting


def check_models(models: Iterable[str | Path]) -> None:
    """Refuse models that cannot be meant with an InputError, or a CheckpointError."""
    for model in models:
        from ..zoo.names import check_source  # takes time, also where no model is named

        check_source(model)

"""Where and on what a run works: the fields that every question shares, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from ..specs import DEFAULT_STORE

CALIBRATION_IMAGES = 200  # of the training split, seen clean and at half of the 35 published noise levels


class Where(TypedDict, total=False):
    """Keywords of `evaluate`, `sweep`, `study` and `diagnose`; left out, each is what `Setting` says.

    Attributes:
        store: URL of the result store; answers that it holds are not computed again.
        limit: the first N images only.
        split: "test" or "train".
        device: "auto", "cpu", "cuda" or "cuda:N".
        batch_size: the largest batch; None for what suits the device.
        precision: of attacks' searches: "auto", "float32" or "bfloat16".
        data_root: where data sets lie.
        runs: the folder of runs.
        repair: drop what is damaged in the store and answer it anew; without it a damaged store is refused.
        engine: where the work is done: "local", this process.
    """

    store: str
    limit: int | None
    split: str
    device: str
    batch_size: int | None
    precision: str
    data_root: str | None
    runs: str | Path
    repair: bool
    engine: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A run's models and data, and where it works.

    Attributes:
        models: sources; empty for every model at hand that was trained on the data set.
        data: a data set's name; None for the newest run's.
        calibration_images: training images that a lambda policy is fitted on.

    The others are those of `Where`.
    """

    models: Sequence[str] = ()
    data: str | None = None
    data_root: str | None = None
    split: str = "test"
    limit: int | None = None
    device: str = "auto"
    batch_size: int | None = None
    precision: str = "auto"
    store: str = DEFAULT_STORE
    runs: str | Path = "runs"
    repair: bool = False
    engine: str = "local"
    calibration_images: int = CALIBRATION_IMAGES

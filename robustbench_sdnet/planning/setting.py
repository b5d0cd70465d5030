"""Where and on what a run works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..specs import DEFAULT_STORE

CALIBRATION_IMAGES = 200  # of the training split, seen clean and at half of the 35 published noise levels


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and on what a run works: models, images, device, store.

    Attributes:
        models: sources; empty for every model at hand that was trained on the data set.
        data: a data set's name; None for the newest run's.
        limit: the first N images only.
        batch_size: the largest batch; None for what suits the device.
        precision: of attacks' searches: auto, float32 or bfloat16.
        calibration_images: training images that a lambda policy is fitted on.
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
    runs: Path = Path("runs")
    calibration_images: int = CALIBRATION_IMAGES

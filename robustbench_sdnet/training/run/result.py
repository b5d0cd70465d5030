"""What a training run gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run gave.

    Attributes:
        folder: everything it wrote.
        best: checkpoint chosen on held-out training images, or the last one where none are held out.
        last: checkpoint of the last epoch.
        seconds: of this call.
        steps_total: of the whole run.
        steps_run: of this call.
        resumed_at_step: where this call began.
        accuracy: of `last` on the test images, in [0, 1].
    """

    folder: Path
    best: Path
    last: Path
    seconds: float
    steps_total: int
    steps_run: int
    resumed_at_step: int
    accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        raw = asdict(self)
        return {key: str(value) if isinstance(value, Path) else value for key, value in raw.items()}

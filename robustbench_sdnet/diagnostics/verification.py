"""Whether a model by its name has the accuracy that it states, and on which images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ..data import load
from ..devices import pick_device
from ..errors import InputError
from ..planning.setting import Setting
from ..zoo.names import describe_model, load_model, source_text
from ..zoo.shelf.verification import verify
from .doubts import training_doubt


def verify_model(
    source: str,
    setting: Setting,
    *,
    tolerance: float,
    insist: bool,
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Evaluate a model again and compare with its stated accuracy.

    Args:
        setting: its data (None: what the model was trained on), limit, batch size and device.
        tolerance: what the accuracy on all test images may differ from the stated one.
        insist: on the setting's data, for a model that was trained on other images too; else such a one keeps its own.

    Returns:
        The fields of `zoo.shelf.verification.Verification`, and `other_data`, a line on other images of training.

    Raises:
        InputError: an unknown name, or no data to measure on.
        ModelError: the model failed.
    """
    source = source_text(source)  # once: another run of the name may end meanwhile
    card = describe_model(source)
    if not (setting.data or card.data):
        raise InputError(f"'{source}' does not say what it was trained on. Give --data.")
    device = pick_device(setting.device)
    images = load(setting.data or card.data, "test", setting.data_root)
    doubt = training_doubt(card, images, setting.data_root) if setting.data else None
    if doubt and not insist:
        images, doubt = load(card.data, "test", setting.data_root), None
    verification = verify(
        load_model(source, device),
        card,
        images,
        limit=setting.limit,
        batch_size=setting.batch_size or 250,
        device=device,
        tolerance=tolerance,
        on_progress=on_progress,
    )
    warning = doubt and (
        f"Trained on other images than those of {doubt.asked} ({doubt.trained_on}): "
        "the stated accuracy is for its own test images."
    )
    return {**asdict(verification), "other_data": warning}

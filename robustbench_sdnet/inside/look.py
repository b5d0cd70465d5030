"""One look inside models: atoms, what they hold of images at every depth and lambda, and how perturbations grow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..data.tensors import first_images
from ..devices import full_float32
from ..diagnostics.doubts import training_doubts
from ..errors import InputError, ModelError
from ..planning.identity import data_spec
from ..planning.setting import Setting
from ..reports.pictures import Album, Number
from ..reports.plots import style
from ..running.ready import prepare
from ..specs.models import NO_LAMBDA
from ..zoo.others.guard import named_errors
from .measures import feature_changes, reconstruction_numbers
from .pages import Drawn, pages, way
from .subject import Wanted, depths_of, subject
from .way import features

IMAGES = 40


@full_float32()
def look(
    setting: Setting, wanted: Wanted, on_step: Callable[[str], None] = lambda label: None
) -> tuple[Album, dict[str, bytes]]:
    """Look inside the models of a setting on its first images, `IMAGES` unless it says otherwise.

    Returns the album and its pictures, PNG bytes by page.

    Raises:
        InputError: an unknown name, or a depth or lambda that a model does not have.
        ModelError: a model failed.
    """
    ready = prepare(replace(setting, limit=setting.limit or IMAGES), stored=False)
    if ready.failed:
        raise ModelError(" | ".join(ready.failed.values()))
    if all(spec.training_lambda is None for spec in ready.models):
        _refuse_codes(wanted, ", ".join(spec.name for spec in ready.models))
    for spec in ready.models:  # before any of them is attacked
        with named_errors(spec.name):
            model = ready.worker.model(spec)
            depths_of(model, wanted, coded=spec.training_lambda is not None)
            try:
                features(model, first_images(ready.data, 1, ready.worker.device)[0])
            except InputError as error:
                raise InputError(f"{spec.name} cannot be looked into. {error}") from None
    drawn: list[Drawn] = []
    numbers: list[Number] = []
    ways: dict[str, list[Number]] = {}
    doubts = [*ready.notes, *training_doubts(ready.models, ready.data, setting.data_root)]
    for spec in ready.models:
        with named_errors(spec.name):
            on_step(f"{spec.name}: attack")
            shown = subject(ready, spec, wanted)
            doubts += [f"{spec.name}, {wanted.attack.name}: {shown.doubt}"] if shown.doubt else []
            on_step(f"{spec.name}: depths and lambdas")
            ways[spec.name] = feature_changes(shown, ready.worker.batch_size)
            numbers += reconstruction_numbers(shown, ready.worker.batch_size, on_step)
            numbers += ways[spec.name]
            on_step(f"{spec.name}: pictures")
            drawn += pages(shown)
    drawn.append(way(ways))
    album = Album(
        models=tuple(spec.name for spec in ready.models),
        data=data_spec(ready.data).label,
        images=ready.count,
        pages=tuple(page for page, _ in drawn),
        numbers=tuple(numbers),
        doubts=tuple(doubts),
        weights=tuple(spec.weights for spec in ready.models),
    )
    return album, {page.name: style.to_png(figure) for page, figure in drawn}


def _refuse_codes(wanted: Wanted, names: str) -> None:
    """Say what of the wish needs sparse coding layers whose lambda is set, where no model has any."""
    if wanted.lambdas:
        raise InputError(f"{names} has no lambda to set: {NO_LAMBDA}. Leave out --lambda.")
    if wanted.depths and wanted.method == "inverse":
        raise InputError(
            f"{names} has no codes at a lambda that is set: {NO_LAMBDA}. Write --method gradient."
        )

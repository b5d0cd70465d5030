"""One look inside models: atoms, what they hold of images at every depth and lambda, and how perturbations grow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .. import attacks
from ..attacks.engine.balls import ball
from ..attacks.signs import stands_still
from ..corruptions import corrupt
from ..data.tensors import to_images
from ..diagnostics.doubts import training_doubts
from ..draws import Draws
from ..errors import GradientWarning, InputError, ModelError
from ..planning.identity import shown_name
from ..planning.setting import Setting
from ..reports.pictures import Album, Number, Page, slug
from ..reports.plots import style
from ..running.ready import Ready, prepare
from ..specs import AttackSpec, CorruptionSpec, ModelSpec
from ..zoo import describe_model
from ..zoo.others.guard import named_errors
from . import drawing
from .inversion import dictionary, invertible
from .measures import PerImage, active, inverted, measure, measure_way, summed
from .way import stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES, SHOWN = 40, 10
NOISE = "noise of "
LAMBDAS = (0.5, 1.0)  # beside the training lambda
Drawn = tuple[Page, "Figure"]
_STYLES = {"plain": drawing.clipped, "stretched": drawing.stretched, "equalised": drawing.equalised}
_READ_STYLES = {
    "plain": "as it is, cut to [0, 1]",
    "stretched": "each image and channel stretched from its darkest to its brightest pixel, so that colours are false",
    "equalised": "stretched, then the histogram of each channel made even",
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to look at.

    Attributes:
        depths: where to make images again; empty for every depth that can be inverted.
        lambdas: empty for the training lambda and `LAMBDAS`.
        attack: the attack with its budget; the same budget is drawn as noise.
        method: "inverse" or "gradient".
        every_atom: draw the dictionaries of all layers, not of the stem alone.
    """

    depths: tuple[int, ...] = ()
    lambdas: tuple[float, ...] = ()
    scope: str = "stem"
    corruption: CorruptionSpec
    attack: AttackSpec
    method: str = "inverse"
    every_atom: bool = False


@dataclass(frozen=True, eq=False)
class Subject:
    """A model on its images: `seen` holds them clean, corrupted, as noise of the attack's size, and attacked."""

    name: str
    model: nn.Module
    lam: float | None
    lambdas: tuple[float | None, ...]
    depths: tuple[int, ...]
    seen: dict[str, Tensor]
    order: Tensor
    wanted: Wanted
    doubt: str | None


def look(
    setting: Setting, wanted: Wanted, on_step: Callable[[str], None] = lambda label: None
) -> tuple[Album, dict[str, bytes]]:
    """Look inside the models of a setting on its first images, `IMAGES` unless it says otherwise.

    Returns:
        The album and its pictures, PNG bytes by page.

    Raises:
        InputError: an unknown name, or a depth or lambda that a model does not have.
        ModelError: a model failed.
    """
    card = describe_model(setting.models[0])
    data = setting.data or card.data or None
    ready = prepare(replace(setting, data=data, limit=setting.limit or IMAGES), stored=False)
    if ready.failed:
        raise ModelError(" | ".join(ready.failed.values()))
    if all(spec.training_lambda is None for spec in ready.models):
        _refuse_codes(wanted, ", ".join(spec.name for spec in ready.models))
    pages: list[Drawn] = []
    numbers: list[Number] = []
    ways: dict[str, list[Number]] = {}
    doubts = [*ready.notes, *training_doubts(ready.models, ready.data, setting.data_root)]
    for spec in ready.models:
        with named_errors(spec.name):
            on_step(f"{spec.name}: attack")
            subject = _subject(ready, spec, wanted)
            doubts += [f"{spec.name}, {wanted.attack.name}: {subject.doubt}"] if subject.doubt else []
            on_step(f"{spec.name}: depths and lambdas")
            made, ways[spec.name] = _numbers(subject, ready.worker.batch_size)
            numbers += [*made, *ways[spec.name]]
            on_step(f"{spec.name}: pictures")
            pages += [*_atoms(subject), *_depths(subject), *_film(subject)]
    pages.append(_way(ways))
    names, shown = tuple(spec.name for spec in ready.models), shown_name(ready.data.name)
    album = Album(
        models=names,
        data=shown,
        images=ready.count,
        pages=tuple(page for page, _ in pages),
        numbers=tuple(numbers),
        doubts=tuple(doubts),
    )
    return album, {page.name: style.to_png(figure) for page, figure in pages}


def _refuse_codes(wanted: Wanted, names: str) -> None:
    """Say what of the wish needs sparse coding layers, where no model has any."""
    if wanted.lambdas:
        raise InputError(f"{names} has no sparse coding layers, so it has no lambda. Leave --lambda out.")
    if wanted.depths and wanted.method == "inverse":
        raise InputError(f"{names} has no sparse coding stem, so it has no codes. Write --method gradient.")


def _numbers(subject: Subject, batch_size: int) -> tuple[list[Number], list[Number]]:
    """What is made again at every depth and lambda, and how much the features of perturbed images change."""
    made: PerImage = {}
    changed: PerImage = {}
    images = {name: seen for name, seen in subject.seen.items() if not name.startswith(NOISE)}
    measure(
        subject.model,
        images,
        subject.depths,
        subject.lambdas,
        method=subject.wanted.method,
        scope=subject.wanted.scope,
        batch_size=batch_size,
        into=made,
    )
    measure_way(subject.model, subject.seen, subject.lam, batch_size=batch_size, into=changed)
    return summed(subject.name, made), summed(subject.name, changed)


def _subject(ready: Ready, spec: ModelSpec, wanted: Wanted) -> Subject:
    worker, data, n = ready.worker, ready.data, ready.count
    model, trained = worker.model(spec), spec.training_lambda
    usual = () if trained is None else tuple(sorted({trained, *LAMBDAS}))
    lambdas: tuple[float | None, ...] = (wanted.lambdas or usual) if trained is not None else (None,)
    if wanted.method == "gradient":
        last = len(stages(model)) - 1
        depths = wanted.depths or tuple(sorted({0, last // 2, last}))
    else:
        depths = () if trained is None else wanted.depths or invertible(model)
    pixels, ids = data.images(0, n), data.ids[:n]
    clean, corruption = to_images(pixels, worker.device), wanted.corruption
    noisy = corrupt(
        pixels, corruption.name, severity=corruption.severity or 5, seed=corruption.seed, sample_ids=ids
    )
    labels, attack = torch.from_numpy(np.asarray(data.labels[:n], np.int64)).to(worker.device), wanted.attack
    assert attack.eps is not None  # narrows the type: the command asks for a budget
    budget = f"{attack.norm} {attack.eps}"
    ids_there = torch.from_numpy(np.asarray(ids, np.int64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GradientWarning)  # said with the model's name
        attacked = attacks.run(
            attack.name,
            model,
            clean,
            labels,
            eps=float(attack.eps),
            norm=attack.norm,
            params=dict(attack.params),
            seed=attack.seed,
            sample_ids=ids_there,
            batch_size=worker.batch_size,
            early_stop=False,
        )
    drawn = Draws.of(attack.seed, "noise", ids_there.to(worker.device))
    noise = ball(attack.norm).noise(drawn, clean, float(attack.eps), torch.zeros_like(labels))
    return Subject(
        name=spec.name,
        model=model,
        lam=trained,
        lambdas=lambdas,
        depths=depths,
        seen={
            "clean": clean,
            f"{corruption.name}@{corruption.severity}": to_images(noisy, worker.device),
            f"{NOISE}{budget}": noise,
            f"{attack.name} {budget}": attacked.images.to(clean.dtype),
        },
        order=torch.argsort(labels[:SHOWN], stable=True),
        wanted=wanted,
        doubt=stands_still(attacked.gradients, attacked.silent),
    )


def _shown(subject: Subject, images: Tensor) -> Tensor:
    """The few images that pictures show, in order of their labels."""
    return images[:SHOWN][subject.order]


def _pixels(images: Tensor) -> drawing.Pixels:
    found: drawing.Pixels = images.detach().float().permute(0, 2, 3, 1).cpu().numpy()
    return found


def _page(subject: Subject, kind: str, title: str, reading: str, alt: str) -> Page:
    name = subject.name
    return Page(name=f"{slug(name)}-{kind}", title=f"{name}: {title}", reading=reading, alt=f"{name}. {alt}")


def _atoms(subject: Subject) -> Iterator[Drawn]:
    if subject.lam is None:
        return
    depths = [0]
    if subject.wanted.every_atom:
        depths = [
            depth for depth in range(len(stages(subject.model))) if depth == 0 or _sparse(subject, depth)
        ]
    for depth in depths:
        atoms = dictionary(subject.model, depth).float().cpu().numpy()
        what = "the stem" if depth == 0 else f"block {depth}"
        colours = "in colour around grey" if atoms.shape[1] == 3 else "bright where an atom has energy"
        yield (
            _page(
                subject,
                f"atoms-{depth}",
                f"atoms of {what}",
                f"The {len(atoms)} atoms of {what}, {colours}, smooth ones first. A code says how much of each atom "
                "stands at each place: smooth atoms hold colour, fine ones edges, and ones like noise hold little.",
                f"A grid of {len(atoms)} small patches, the dictionary of {what}, sorted from smooth to fine.",
            ),
            drawing.atom_grid(atoms),
        )


def _sparse(subject: Subject, depth: int) -> bool:
    try:
        dictionary(subject.model, depth)
    except InputError:
        return False
    return True


def _depths(subject: Subject) -> Iterator[Drawn]:
    """The input, and what each depth still holds of it, in the three ways of the original."""
    if not subject.depths:
        return
    clean, wanted = _shown(subject, subject.seen["clean"]), subject.wanted
    found = list(inverted(subject.model, clean, subject.depths, wanted.method, subject.lam, wanted.scope))
    for kind, draw in _STYLES.items():
        rows = [("input", _pixels(clean))]
        rows += [(f"depth {one.depth}", draw(_pixels(one.images))) for one in found]
        yield (
            _page(
                subject,
                f"depths-{kind}",
                f"what each depth holds, {kind}",
                "Above the input, sorted by label, below it the images made again from each depth, "
                f"{_READ_STYLES[kind]}. Depth 0 is after the stem. What fades on the way down the network no longer "
                "keeps; what stays is what its answer rests on.",
                f"Rows of {len(clean)} images: the input and what is made again from depths "
                f"{', '.join(str(one.depth) for one in found)}, {kind}.",
            ),
            drawing.image_grid(rows),
        )


def _film(subject: Subject) -> Iterator[Drawn]:
    """The stem's image and residual at each lambda, for the clean, the corrupted and the attacked image."""
    if subject.lam is None or subject.wanted.method != "inverse":
        return
    for name, images in subject.seen.items():
        if name.startswith(NOISE):
            continue
        given = _shown(subject, images)
        rows = [(name, _pixels(given))]
        for lam in subject.lambdas:
            one = next(inverted(subject.model, given, (0,), "inverse", lam, subject.wanted.scope))
            share = 100 * float(active(one.code).mean())
            rows.append((f"lambda {lam:g}\n{share:.1f} % active", drawing.clipped(_pixels(one.images))))
            rows.append(("residual", drawing.clipped(_pixels(0.5 + given - one.images))))
        texts = ", ".join(f"{lam:g}" for lam in subject.lambdas)
        yield (
            _page(
                subject,
                f"lambda-{slug(name)}",
                f"lambda film, {name}",
                "What the stem keeps of the image at each lambda, and the residual that it throws away, around grey. "
                "Where a larger lambda throws away noise first, the residual looks like noise and the image stays; "
                "where it shows the object, lambda costs what the answer needs. What the image shows of an attack "
                "survives it.",
                f"Rows of {len(given)} images, {name}: the input, then for lambda {texts} the image made again and its "
                "residual.",
            ),
            drawing.image_grid(rows),
        )


def _way(ways: dict[str, list[Number]]) -> Drawn:
    models: Sequence[str] = tuple(ways)
    names = ", ".join(dict.fromkeys(number.image for found in ways.values() for number in found))
    page = Page(
        name="way",
        title=f"The perturbation's way: {', '.join(models)}",
        reading="How much the features change, relative to those of the clean image, at every depth, with 95 % "
        "intervals. Where a line rises, the network enlarges the change on its way: an attack's grows, while that of "
        "noise of the same size should fade.",
        alt=f"Relative change of the features against depth for {', '.join(models)}: {names}. Its numbers are in the "
        "table.",
    )
    return page, drawing.way_figure(ways)

"""The pictures of one look inside: atoms, depths, the lambda film, and the perturbation's way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from ..reports.document import plain
from ..reports.pictures import Number, Page
from ..zoo.nets.csc import SparseCoding
from . import drawing
from .inversion import invertible
from .measures import active, inverted
from .subject import NOISE, SHOWN, Subject
from .way import stages

Drawn = tuple[Page, Figure]
_STYLES = {"plain": drawing.clipped, "stretched": drawing.stretched, "equalised": drawing.equalised}
_READ_COLOURS = (
    "in colour around grey",
    ": smooth atoms hold brightness and colour, fine ones edges and texture",
)
_READ_ENERGY = ("bright where an atom has energy in any channel", "")
_READ_METHODS = {
    "inverse": "The inversion knows only dictionaries and BatchNorm, and loses some of the image in every layer: the "
    "network may still use what fades here.",
    "gradient": "Each is an image with nearly the same features there, found by starting from grey: where it differs "
    "from the input, the features do not tell the two apart, or the search did not find more.",
}
_READ_FILM = (
    "What the stem reconstructs of the image at each lambda, and the residual, around grey. Most of what the residual "
    "shows at a lambda near 0 is left out by few atoms and few coding steps; what grows in it is discarded by a larger "
    "lambda. Shares are of the images shown."
)
_READ_CHANGE = (
    " Below, the difference from the clean image, and what is left of it in the reconstruction: lambda discards the "
    "perturbation first where that fades faster than the image. The table says how fast, under 'change left'."
)
_READ_STYLES = {
    "plain": "clipped to [0, 1]",
    "stretched": "each image and channel stretched from its darkest to its brightest pixel, so that colours are false",
    "equalised": "stretched, then the histogram of each channel equalised, so that the faintest remainder looks strong",
}


def pages(subject: Subject) -> Iterator[Drawn]:
    """The pictures of one model."""
    yield from _atoms(subject)
    yield from _depths(subject)
    yield from _film(subject)


def _shown(subject: Subject, images: Tensor) -> Tensor:
    """The few images that pictures show, in order of their labels."""
    return images[:SHOWN][subject.order]


def _pixels(images: Tensor) -> drawing.Pixels:
    pixels: drawing.Pixels = images.detach().float().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def _page(subject: Subject, kind: str, title: str, reading: str, alt: str) -> Page:
    name = subject.name
    return Page(
        name=f"{subject.stem}-{kind}", title=f"{name}: {title}", reading=reading, alt=f"{name}. {alt}"
    )


def _atoms(subject: Subject) -> Iterator[Drawn]:
    """The dictionary of the stem, or of every sparse coding layer, whose number is said where a block has several."""
    depths = stages(subject.model)
    for depth, stage in enumerate(depths if subject.wanted.every_atom else depths[:1]):
        layers = [
            part for part in stage.modules() if isinstance(part, SparseCoding) and part.weight.dim() == 4
        ]
        for position, layer in enumerate(layers, 1):
            atoms = layer.atoms().detach().float().cpu().numpy()
            number = f"-{position}" if len(layers) > 1 else ""
            place = "the stem" if depth == 0 else f"block {depth}"
            place += f", layer {position}" if number else ""
            colours, holds = _READ_COLOURS if atoms.shape[1] == 3 else _READ_ENERGY
            yield (
                _page(
                    subject,
                    f"atoms-{depth}{number}",
                    f"Atoms of {place}",
                    f"The {len(atoms)} atoms of {place}, {colours}, smooth ones first. A code says how much of each "
                    f"stands at each place{holds}.",
                    f"A grid of {len(atoms)} small patches, the dictionary of {place}, sorted from smooth to fine.",
                ),
                drawing.atom_grid(atoms),
            )


def _depths(subject: Subject) -> Iterator[Drawn]:
    """The input, and what each depth still holds of it, in the three ways of the original."""
    if not subject.depths:
        return
    clean = _shown(subject, subject.seen["clean"])
    inversions = list(inverted(subject, clean, subject.depths, subject.lam))
    lam = "" if subject.lam is None else f" at lambda {subject.lam:g}"
    for kind, draw in _STYLES.items():
        rows = [("input", _pixels(clean))]
        rows += [(f"depth {each.depth}", draw(_pixels(each.images))) for each in inversions]
        yield (
            _page(
                subject,
                f"depths-{kind}",
                f"What is reconstructed from each depth, {kind}",
                f"The input, sorted by label, and below it the images reconstructed from each depth{lam}, "
                f"{_READ_STYLES[kind]}. Depth 0 is after the stem. {_READ_METHODS[subject.wanted.method]}",
                f"Rows of {len(clean)} images: the input and what is reconstructed at depth "
                f"{', '.join(str(each.depth) for each in inversions)}, {kind}.",
            ),
            drawing.image_grid(rows),
        )


def _film(subject: Subject) -> Iterator[Drawn]:
    """The stem's image and residual at each lambda, for the clean, the corrupted and the attacked image, and of what
    was changed in the latter two, what the stem's image still holds."""
    if subject.lam is None or subject.wanted.method != "inverse" or not invertible(subject.model):
        return
    clean = _shown(subject, subject.seen["clean"])
    attacked = list(subject.seen)[-1]
    attack_lambda = f" The attack knew lambda {subject.lam:g} alone."
    of_clean = [next(inverted(subject, clean, (0,), lam)) for lam in subject.lambdas]
    for name, images in subject.seen.items():
        if name.startswith(NOISE):
            continue
        given = _shown(subject, images)
        change = given - clean
        times = _enlargement(change)
        rows = [(name, _pixels(given))]
        if name != "clean":
            rows.append((f"what was changed, times {times}", _grey(times * change)))
        for lam, before in zip(subject.lambdas, of_clean, strict=True):
            stem = before if name == "clean" else next(inverted(subject, given, (0,), lam))
            share = f"{100 * float(active(stem.code).mean()):.1f} % of the code active"
            rows.append((f"lambda {lam:g}: reconstructed, {share}", drawing.clipped(_pixels(stem.images))))
            rows.append((f"lambda {lam:g}: residual", _grey(given - stem.images)))
            if name != "clean":
                left = _grey(times * (stem.images - before.images))
                rows.append((f"lambda {lam:g}: left of the change, times {times}", left))
        texts = ", ".join(f"{lam:g}" for lam in subject.lambdas)
        yield (
            _page(
                subject,
                f"lambda-{plain(name)}",
                f"Lambda film, {name}",
                _READ_FILM
                + ("" if name == "clean" else _READ_CHANGE)
                + (attack_lambda if name == attacked else ""),
                f"Rows of {len(given)} images, {name}: the input, then for lambda {texts} the reconstruction and its "
                "residual" + ("." if name == "clean" else ", and what is left of the change."),
            ),
            drawing.image_grid(rows),
        )


def _enlargement(change: Tensor) -> int:
    """How many times a change can be drawn around grey, but for its largest entries."""
    sizes = change[change != 0].abs().cpu()  # a quantile takes float64, which not all devices have
    return max(1, int(0.5 / float(sizes.quantile(0.95)))) if sizes.numel() else 1


def _grey(difference: Tensor) -> drawing.Pixels:
    """A difference around grey, cut to [0, 1]."""
    return drawing.clipped(_pixels(0.5 + difference))


def way(ways: dict[str, list[Number]]) -> Drawn:
    """How perturbations grow in one or several models, side by side."""
    models: Sequence[str] = tuple(ways)
    names = ", ".join(dict.fromkeys(number.image for numbers in ways.values() for number in numbers))
    page = Page(
        name="way",
        title="The perturbation's way",
        reading="How much the features change at every depth, relative to those of the clean image, at the training "
        "lambda where there is one, with 95 % intervals. Where a line rises, the change grows faster than the "
        "features. Compare the attack with random noise within the same eps, not with the corruption, which has a "
        "size of its own.",
        alt=f"Relative change of the features against depth for {', '.join(models)}: {names}. Its numbers are in the "
        "table.",
    )
    return page, drawing.way_figure(ways)

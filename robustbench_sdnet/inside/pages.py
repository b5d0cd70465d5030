"""The pictures of one look inside: atoms, depths, the lambda film, and the perturbation's way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from ..errors import InputError
from ..reports.document import plain
from ..reports.pictures import Number, Page
from . import drawing
from .inversion import dictionary
from .measures import active, inverted
from .subject import NOISE, SHOWN, Subject
from .way import stages

Drawn = tuple[Page, Figure]
_STYLES = {"plain": drawing.clipped, "stretched": drawing.stretched, "equalised": drawing.equalised}
_READ_STYLES = {
    "plain": "as it is, cut to [0, 1]",
    "stretched": "each image and channel stretched from its darkest to its brightest pixel, so that colours are false",
    "equalised": "stretched, then the histogram of each channel made even",
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
    found: drawing.Pixels = images.detach().float().permute(0, 2, 3, 1).cpu().numpy()
    return found


def _page(subject: Subject, kind: str, title: str, reading: str, alt: str) -> Page:
    name = subject.name
    return Page(name=f"{plain(name)}-{kind}", title=f"{name}: {title}", reading=reading, alt=f"{name}. {alt}")


def _atoms(subject: Subject) -> Iterator[Drawn]:
    if subject.lam is None:
        return
    for depth in range(len(stages(subject.model)) if subject.wanted.every_atom else 1):
        try:
            atoms = dictionary(subject.model, depth).float().cpu().numpy()
        except InputError:  # no sparse coding there
            if depth == 0:
                raise
            continue
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


def _depths(subject: Subject) -> Iterator[Drawn]:
    """The input, and what each depth still holds of it, in the three ways of the original."""
    if not subject.depths:
        return
    clean = _shown(subject, subject.seen["clean"])
    found = list(inverted(subject, clean, subject.depths, subject.lam))
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
            one = next(inverted(subject, given, (0,), lam))
            share = 100 * float(active(one.code).mean())
            rows.append((f"lambda {lam:g}\n{share:.1f} % active", drawing.clipped(_pixels(one.images))))
            rows.append(("residual", drawing.clipped(_pixels(0.5 + given - one.images))))
        texts = ", ".join(f"{lam:g}" for lam in subject.lambdas)
        yield (
            _page(
                subject,
                f"lambda-{plain(name)}",
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


def way(ways: dict[str, list[Number]]) -> Drawn:
    """How perturbations grow in one or several models, side by side."""
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

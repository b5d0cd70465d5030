"""Pictures of the inside of models as files: a page of their own, and chapters of a report that asks for them."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Drawing
from matplotlib.image import imread

from ..errors import InputError
from ..files import write_whole
from ..wording import brief, counted
from .document import Document, Figure, Section, Table
from .plots import style
from .writers import html

MANIFEST = "pictures.json"
QUANTITIES = {
    "error": "relative error",
    "correlation": "correlation",
    "active": "active, %",
    "left": "change left",
    "change": "change",
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """A picture `name`.png beside the manifest: what it is of, how to read it, and for those who cannot see it, what it
    shows."""

    name: str
    title: str
    reading: str
    alt: str


@dataclass(frozen=True, kw_only=True)
class Number:
    """The mean over images of a quantity, with its 95 % interval (None for one image).

    Attributes:
        image: "clean", a corruption with its severity, or an attack with its eps.
        quantity: one of `QUANTITIES`: |made - given| / |given|; correlation of what is made with the clean image;
            share of the code that is not zero, in [0, 1]; |made - made of the clean image| / |image - clean|;
            |f(image) - f(clean)| / |f(clean)| of the features.
    """

    model: str
    image: str
    lam: float | None
    depth: int
    quantity: str
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Album:
    """One look inside: pages, numbers on the first `images` of a data set, and doubts about what they mean.

    `weights` identify the models, whose names others may bear later.
    """

    models: tuple[str, ...]
    data: str
    images: int
    pages: tuple[Page, ...]
    numbers: tuple[Number, ...]
    doubts: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()


def write(album: Album, pictures: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write pictures (PNG by page), manifest and `index.html`, the last of the paths; WriteError where it cannot.

    What an earlier look drew here and this one did not is removed.
    """
    before: tuple[Page, ...] = ()
    with suppress(InputError):
        before = _album(folder / MANIFEST).pages
    with suppress(OSError):  # of a folder that cannot be written the next line says so
        (folder / MANIFEST).unlink()  # its numbers would stand beside other pictures after an interrupt
    paths = [write_whole(folder / f"{name}.png", content) for name, content in pictures.items()]
    paths.append(write_whole(folder / MANIFEST, json.dumps(asdict(album), indent=1)))
    title = f"Inside {', '.join(album.models)}"
    page = Document(title, tuple(sections(album, folder)))
    text = html.render(page, lambda figure: style.to_svg(figure.draw(), figure.name))
    paths.append(write_whole(folder / "index.html", text))
    for old in (folder / f"{page.name}.png" for page in before):
        if old not in paths and old.parent == folder:
            old.unlink(missing_ok=True)
    return paths


def read(folder: Path) -> list[tuple[Path, Album]]:
    """Every album in a folder and the folders in it; InputError for none, or a damaged one."""
    found = sorted([*folder.glob(MANIFEST), *folder.glob(f"*/{MANIFEST}")])
    if not found:
        raise InputError(f"No pictures in {folder}. Make them first: sdnet-bench visualize MODEL")
    return [(path.parent, _album(path)) for path in found]


def inside(folder: Path, weights: Container[str]) -> Iterator[Section]:
    """A chapter for every album that shows a model of some weights; InputError where there is none."""
    found = [pair for pair in read(folder) if any(known in weights for known in pair[1].weights)]
    if not found:
        raise InputError(
            f"The pictures in {folder} show no model of this report, or one trained since. "
            "Run 'sdnet-bench visualize' on one."
        )
    for place, album in found:
        images = counted(album.images, "image")
        yield Section(f"Inside {', '.join(album.models)}", (f"On {album.data}, {images}.",))
        yield from sections(album, place, level=3)


def _album(path: Path) -> Album:
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        raw |= {name: tuple(raw.get(name, ())) for name in ("models", "doubts", "weights")}
        raw["pages"] = tuple(Page(**page) for page in raw["pages"])
        raw["numbers"] = tuple(Number(**number) for number in raw["numbers"])
        album = Album(**raw)
        lost = [page.name for page in album.pages if not (path.parent / f"{page.name}.png").is_file()]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"'{path}' is damaged. Run 'sdnet-bench visualize' again.") from None
    if lost:
        raise InputError(f"{path.parent} lacks {lost[0]}.png. Run 'sdnet-bench visualize' again.")
    return album


def sections(album: Album, folder: Path, *, level: int = 2) -> Iterator[Section]:
    """A section a picture, and the numbers behind them."""
    if album.doubts:
        yield Section("Doubts", album.doubts, level)
    known = f"{album.models[0]}: " if len(album.models) == 1 else ""  # the title above names a single model
    for page in album.pages:
        title = page.title.removeprefix(known)
        figure = Figure(page.name, title, page.alt, partial(_drawn, folder / f"{page.name}.png"))
        yield Section(title, (page.reading, figure), level)
    for table in tables(album.numbers):
        note = (
            f"Means over {counted(album.images, 'image')} of {album.data}, with 95 % intervals; each leaves out the "
            "images for which it is undefined, such as those of one colour."
        )
        yield Section(table.title, (replace(table, title="", notes=(note,)),), level, folded=True)


def tables(numbers: Sequence[Number]) -> Iterator[Table]:
    """The numbers as texts, with models where there are several: one table for what is made again and one for what
    changed."""
    single = len({number.model for number in numbers}) == 1
    for title, wanted in (
        ("What is reconstructed, in numbers", ("error", "correlation", "active", "left")),
        ("How a perturbation grows, in numbers", ("change",)),
    ):
        rows: dict[tuple[str, str, str, str], dict[str, str]] = {}
        for number in numbers:
            if number.quantity in wanted:
                lam = "-" if number.lam is None else brief(number.lam)
                row = rows.setdefault((number.model, number.image, lam, str(number.depth)), {})
                row[number.quantity] = _text(number)
        if rows:
            columns = ("model", "image", "lambda", "depth", *(QUANTITIES[name] for name in wanted))[single:]
            lines = ((*key[single:], *(row.get(name, "-") for name in wanted)) for key, row in rows.items())
            yield Table(columns, tuple(lines), left=tuple(range(columns.index("lambda"))), title=title)


def _text(number: Number) -> str:
    scale, form = {"active": (100, ".1f"), "change": (1, ".3g")}.get(number.quantity, (1, ".3f"))
    mean, low, high = number.mean, number.low, number.high
    interval = "" if low is None or high is None else f" [{scale * low:{form}}, {scale * high:{form}}]"
    return f"{scale * mean:{form}}{interval}"


@style.own_look()
def _drawn(path: Path) -> Drawing:
    """A picture as a figure that is nothing else."""
    pixels = imread(path)
    figure = style.new_figure(pixels.shape[1] / style.DPI, pixels.shape[0] / style.DPI)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(pixels, interpolation="none", aspect="auto")
    return figure

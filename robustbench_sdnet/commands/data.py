"""`sdnet-bench data`: fetch the published corrupted sets, generate them, look at them."""

from __future__ import annotations

import io
import shlex
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..console import options
from ..console.output import say_of, tell
from ..console.progress import shown
from ..corruptions.registry import expand
from ..data.registry import CORRUPTED, absolute, data_root as data_root_of
from ..errors import InputError, first_line
from ..files import write_whole
from ..planning.asked import Asked
from ..planning.setting import Setting
from ..specs import SEVERITIES, SequenceSpec
from ..wording import counted

if TYPE_CHECKING:
    from ..corruptions.sheet import Row
    from ..data import ImageData

# Endings of contact sheets; one without, as a device, is a PNG.
PICTURES = {
    "": "PNG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def data() -> None:
    """Download, generate and show data.

    \b
    Examples:
      sdnet-bench data prepare cifar10c
      sdnet-bench data generate cifar10c --data cifar10 --output CIFAR-10-C
      sdnet-bench data show --data digits --output sheet.png
    """


@data.command()
@click.argument("name", metavar="SET")
@options.data_root_option
@options.path_option("--output", "Folder to unpack into [default: a folder in the data root].")
@options.json_option
def prepare(name: str, data_root: str | None, output: Path | None, as_json: bool) -> None:
    """Download, check and unpack a published corrupted set.

    \b
    cifar10c, cifar100c       arrays, 2.9 GB each
    tinyimagenetc[-extra]     pictures of 64 pixels, 1.8 GB
    imagenetc                 noise, blur, weather, digital: 224 pixels, 50 GB
    imagenetc-noise           or -blur, -weather, -digital, -extra: one part of it
    imagenetcbar              ImageNet-C-bar; no checksum is published

    If a download breaks off, the same command continues it where it stopped.

    \b
    Examples:
      sdnet-bench data prepare cifar10c
      sdnet-bench corrupt --data cifar10c:DIR --severity 1-5
    """
    from ..data.archives import archives_of, prepare as fetch_and_unpack

    entries = archives_of(name)
    folder = output or data_root_of(data_root) / (name if entries[0].pictures else Path(entries[0].url).stem)
    files = [name for entry in entries for name in fetch_and_unpack(entry, folder)]
    what, kind = ("corruption", "imagenetc") if entries[0].pictures else ("file", name)
    text = f"{counted(len(files), what)} in {folder}. Use it with --data {shlex.quote(f'{kind}:{folder}')}"
    tell({"folder": str(folder), "files": files}, text, as_json)


@data.command()
@click.argument("layout", type=click.Choice(["cifar10c", "cifar100c"]), metavar="cifar10c|cifar100c")
@options.setting_options(
    only=("data", "data_root", "limit"), data={"help": "Clean images [default: cifar10 or cifar100]."}
)
@options.path_option("--output", "Folder to write.", required=True)
@options.corruption_option
@options.table_option
@options.seed_option
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Number of processes [default: one per core].",
)
@options.json_option
def generate(
    layout: str,
    setting: Setting,
    output: Path,
    corruptions: str,
    table: str | None,
    seed: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """Write a corrupted set in the published layout.

    That is one .npy per corruption with all severities, and labels.npy. Runs on every core. If it is stopped, the same
    command continues where it left off.

    \b
    Examples:
      sdnet-bench data generate cifar10c --output cifar10c
      sdnet-bench data generate cifar10c --data npz:my.npz --output my-c
    """
    expand(corruptions)
    from ..corruptions.generation import generate as write
    from ..data import load
    from ..data.cifar import SOURCES

    found = load(setting.data or CORRUPTED[layout], "test", root=setting.data_root)
    n = min(setting.limit or len(found), len(found))
    classes = SOURCES[CORRUPTED[layout]].num_classes
    if (largest := int(found.labels[:n].max())) >= classes:
        raise InputError(
            f"{layout} has {classes} classes, and {found.name} labels up to {largest}: the set could not be read back. "
            + ("Write cifar100c." if largest < 100 else "No published layout has that many.")
        )
    if found.numbered_here:
        raise InputError(
            f"{found.name} numbers its own classes, and {layout} keeps no names. List them in order in classes.txt."
        )
    with shown("generate", quiet=as_json) as display:
        names = write(
            found.images(0, n),
            found.labels[:n],
            output,
            content_hash=found.content_hash,
            data=absolute(found.training_set),
            corruptions=corruptions,
            seed=seed,
            table=table,
            workers=workers,
            report=display.update,
        )
    images = n * 5 * len(names)
    text = f"{counted(images, 'image')} in {output}. Use them with --data {shlex.quote(f'{layout}:{output}')}"
    tell({"folder": str(output), "corruptions": names, "images": images}, text, as_json)


@data.command()
@options.setting_options(
    only=("data", "data_root"),
    data={"default": "digits", "help": "Clean images, or a folder of corrupted ones."},
)
@click.option(
    "--images", "count", type=click.IntRange(1, 20), default=2, show_default=True, help="Number of images."
)
@options.drawn_options
@click.option(
    "--scale",
    type=click.IntRange(1, 8),
    help="Screen pixels per image pixel.  [default: 2 up to 64 pixels, else 1]",
)
@options.path_option(
    "--output",
    "Picture to write; its kind goes by its ending, and is PNG without one.",
    "FILE",
    required=True,
)
def show(setting: Setting, count: int, asked: Asked, scale: int | None, output: Path) -> None:
    """Draw a contact sheet of corruptions or sequences.

    It shows every corruption at every severity, or frames of every sequence, on the first images.

    \b
    Examples:
      sdnet-bench data show --data digits --output corruptions.png
      sdnet-bench data show --data npz:my.npz --corruption c-bar --output a.webp
      sdnet-bench data show --data cifar10 --sequences --output sequences.png
      sdnet-bench data show --data imagenetc:DIR --severity 1,5 --output noise.png
    """
    kind = _picture_format(output)
    from ..corruptions.sheet import contact_sheet
    from ..data import load

    found = load(setting.data or "digits", "test", root=setting.data_root)
    titles, rows, what = _shown(found, asked, min(count, len(found)))
    sheet = contact_sheet(titles, rows, scale=scale or (2 if max(found.image_shape) <= 64 else 1))
    content = io.BytesIO()
    try:
        sheet.save(content, format=kind)
    except (ValueError, OSError, OverflowError, struct.error) as error:  # such as too many pixels for it
        raise InputError(
            f"{output} cannot be a picture of {sheet.width} x {sheet.height} pixels ({first_line(error)}). End it in "
            ".png, or lower --images or --scale."
        ) from None
    write_whole(output, content.getvalue())
    say_of(output, f"{what} in {output}")


def _shown(data: ImageData, asked: Asked, count: int) -> tuple[list[str], Iterable[Row], str]:
    """Titles of the columns, the rows, and what they are in words."""
    from ..corruptions import corrupt
    from ..corruptions.sheet import SHOWN_FRAMES, sequence_rows
    from ..data.published import PublishedPixels, corrupted_images

    specs = asked.of(data)
    if asked.sequences:
        titles = [f"at {100 * part / (SHOWN_FRAMES - 1):.0f} %" for part in range(SHOWN_FRAMES)]
        sequences = [spec for spec in specs if isinstance(spec, SequenceSpec)]
        rows = sequence_rows(data.images(0, count), sequences)
        return titles, rows, counted(len(sequences), "sequence")
    names = list(dict.fromkeys(spec.name for spec in specs))
    severities = asked.severities or SEVERITIES
    titles = [f"severity {severity}" for severity in severities]
    levels = "1 severity" if len(severities) == 1 else f"{len(severities)} severities"
    what = f"{counted(len(names), 'corruption')} at {levels}"
    if isinstance(data.pixels, PublishedPixels):
        folder = ((name, [corrupted_images(data, name, s, 0, count) for s in severities]) for name in names)
        return titles, folder, what
    clean = data.images(0, count)
    drawn = (
        (name, [clean, *(corrupt(clean, name, s, asked.seed, table=asked.table) for s in severities)])
        for name in names
    )
    return ["clean", *titles], drawn, what


def _picture_format(output: Path) -> str:
    """By the name's ending."""
    kind = PICTURES.get(output.suffix.lower())
    if kind is None:
        raise InputError(
            f"{output} is not the name of a picture. End it in {', '.join(filter(None, PICTURES))}."
        )
    return kind

"""`sdnet-bench data`: fetch the published corrupted sets, generate them, look at them."""

from __future__ import annotations

import io
from pathlib import Path

import click

from ..console import options
from ..console.output import say, tell
from ..console.progress import shown
from ..corruptions.parameters import table_for
from ..corruptions.registry import expand
from ..data.registry import data_root as data_root_of
from ..errors import InputError
from ..files import write_whole
from ..planning.setting import Setting
from ..wording import counted

output_option = click.option(
    "--output", type=options.PATH, required=True, metavar="PATH", help="Where to write."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def data() -> None:
    """Prepare, generate and show data.

    \b
    Examples:
      sdnet-bench data prepare cifar10c
      sdnet-bench data generate cifar10c --data cifar10 --output CIFAR-10-C
      sdnet-bench data show --data digits --output sheet.png
    """


@data.command()
@click.argument("name", metavar="cifar10c|cifar100c")
@options.data_root_option
@click.option("--output", type=options.PATH, metavar="DIR", help="Where [default: in the data root].")
@options.json_option
def prepare(name: str, data_root: str | None, output: Path | None, as_json: bool) -> None:
    """Download CIFAR-10-C or CIFAR-100-C (2.9 GB) from Zenodo, check and unpack it.

    A download that broke off goes on where it was when the same command is given again.

    \b
    Examples:
      sdnet-bench data prepare cifar10c
      sdnet-bench corrupt --data cifar10c:DIR --severity 1-5
    """
    from ..data.archives import archive, prepare as fetch_and_unpack

    entry = archive(name)
    folder = output or data_root_of(data_root) / Path(entry.url).stem
    with shown("download", quiet=as_json) as display:
        files = fetch_and_unpack(entry, folder, lambda done, total: display.update(done, total, "bytes"))
    text = f"{len(files)} files in {folder}. Use it with --data {name}:{folder}"
    tell({"folder": str(folder), "files": files}, text, as_json)


@data.command()
@click.argument("layout", type=click.Choice(["cifar10c", "cifar100c"]), metavar="cifar10c|cifar100c")
@options.setting_options(
    only=("data", "data_root", "limit"), data={"help": "Clean images [default: cifar10 or cifar100]."}
)
@output_option
@options.corruption_option
@options.table_option
@options.seed_option
@click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="Processes [default: every core].")
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
    """Write a corrupted set in the published layout: one .npy a corruption with all severities, and labels.npy.

    Runs on every core, and goes on where it was when the same command is given again.

    \b
    Examples:
      sdnet-bench data generate cifar10c --output cifar10c
      sdnet-bench data generate cifar10c --data npz:my.npz --corruption main --output my-c
    """
    expand(corruptions)
    from ..corruptions.generation import generate as write
    from ..data import load

    found = load(setting.data or layout.removesuffix("c"), "test", root=setting.data_root)
    n = min(setting.limit or len(found), len(found))
    with shown("generate", quiet=as_json) as display:
        names = write(
            found.images(0, n),
            found.labels[:n],
            output,
            content_hash=found.content_hash,
            corruptions=corruptions,
            seed=seed,
            table=table,
            workers=workers,
            report=lambda done: display.update(done.written, done.total, done.corruption),
        )
    images = n * 5 * len(names)
    text = f"{counted(images, 'image')} in {output}. Use them with --data {layout}:{output}"
    tell({"folder": str(output), "corruptions": names, "images": images}, text, as_json)


@data.command()
@options.setting_options(only=("data", "data_root"), data={"default": "digits", "help": "Clean images."})
@click.option("--images", "count", type=click.IntRange(1, 20), default=2, show_default=True, help="How many.")
@options.corruption_option
@options.severity_option
@options.seed_option
@options.table_option
@click.option(
    "--scale", type=click.IntRange(1, 8), default=2, show_default=True, help="Screen pixels a pixel."
)
@output_option
def show(
    setting: Setting,
    count: int,
    corruptions: str,
    severities: tuple[int, ...],
    seed: int,
    table: str | None,
    scale: int,
    output: Path,
) -> None:
    """Draw a contact sheet: every corruption at every severity on the first images.

    \b
    Example:
      sdnet-bench data show --data digits --output corruptions.png
    """
    expand(corruptions)
    kind = _picture_format(output)
    from ..corruptions.sheet import contact_sheet
    from ..data import load

    images = load(setting.data or "digits", "test", root=setting.data_root).images(0, count)
    names = expand(corruptions, table or table_for(*images.shape[1:3])[0])
    sheet = contact_sheet(images, names, severities, seed=seed, scale=scale, table=table)
    content = io.BytesIO()
    sheet.save(content, format=kind)
    write_whole(output, content.getvalue())
    say(f"{len(names)} corruptions at {len(severities)} severities in {output}")


def _picture_format(output: Path) -> str:
    """By the name's ending; PNG for what has none, as a device."""
    from PIL import Image

    kind = Image.registered_extensions().get(output.suffix.lower(), "") if output.suffix else "PNG"
    if kind not in Image.SAVE:
        raise InputError(f"{output} is no name of a picture. Use one that ends in .png.")
    return kind

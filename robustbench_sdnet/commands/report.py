"""`sdnet-bench report to FORMAT`: the report of a store, or of several as of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..console.options import gathered, path_option, setting_option
from ..console.output import say, say_of, warn
from ..errors import InputError
from ..planning.setting import PICTURES
from ..specs import DEFAULT_STORE

if TYPE_CHECKING:
    from ..reports import Sources


def _sources(stores: tuple[str, ...], models: tuple[str, ...], data: str | None) -> Sources:
    from ..reports import Sources

    return Sources(stores, models, data)


@click.command(no_args_is_help=True)
@click.argument("to", metavar="to")
@click.argument("format_name", metavar="FORMAT", required=False)
@gathered(
    "sources",
    _sources,
    click.option(
        "--store",
        "stores",
        multiple=True,
        default=(DEFAULT_STORE,),
        show_default=True,
        metavar="URL",
        help="Result store; repeatable: several are reported as one. A leaderboard also takes JSON files of records or "
        "of RobustBench's model_info.",
    ),
    setting_option("models", help="Report this model alone, by its name in reports; repeatable."),
    setting_option("data", help="Report this data set alone."),
)
@path_option(
    "--output",
    "Where to write the report [default: next to the store; csv and json: the terminal; bundle and leaderboard: the "
    "current folder].",
    "FILE",
)
@click.option(
    "--baseline",
    metavar="MODEL[@LAMBDA]",
    help="Divide corruption errors by those of this model of the store, or of alexnet for ImageNet-C.",
)
@click.option(
    "--with-cost",
    is_flag=True,
    help="Add seconds, memory, device, threads, versions and the hash of the weights.",
)
@click.option(
    "--with-pictures",
    is_flag=False,
    flag_value=str(PICTURES),
    type=click.Path(path_type=Path),
    metavar="[DIR]",
    help=f"Include the pictures that 'visualize' wrote [default folder: {PICTURES}].",
)
def report(
    to: str,
    format_name: str | None,
    sources: Sources,
    output: Path | None,
    baseline: str | None,
    with_cost: bool,
    with_pictures: Path | None,
) -> None:
    """Write the report of one store, or of several taken as one, in FORMAT: markdown, html, latex, csv, json, outcomes
    (one row per image), tensorboard (an event file), wandb (a Weights & Biases run), leaderboard (a page over several
    stores, with its rows as JSON next to it) or bundle (a folder with page, records, figures, environment and all
    answers in one store, which every report can read as --store bundle:FOLDER).

    \b
    Examples:
      sdnet-bench report to markdown
      sdnet-bench report to html --output report.html --with-cost
      sdnet-bench report to markdown --baseline cifar10/resnet20
      sdnet-bench report to html --with-pictures
      sdnet-bench report to html --model sdnet20 --model resnet20 --data cifar10
      sdnet-bench report to html --store sqlite:///a.db --store sqlite:///b.db
      sdnet-bench report to csv > results.csv
      sdnet-bench report to leaderboard --store sqlite:///a.db --store b.json
    """
    from ..reports import FORMATS, disputed, write

    if to != "to" or format_name is None:
        wanted = next((word for word in (format_name, to) if word in FORMATS), "markdown")
        raise InputError(f"A report needs a format. Write: sdnet-bench report to {wanted}")
    written = write(
        sources,
        format_name,
        output=output,
        baseline=baseline,
        with_cost=with_cost,
        with_pictures=with_pictures,
    )
    is_data = FORMATS[format_name].is_data
    if FORMATS[format_name].is_rows:  # documents say it themselves
        for line in disputed(sources.snapshot):
            warn(line)
    if isinstance(written, Path):
        say_of(written, f"Wrote {written}", err=is_data)
    else:
        say(written, nl=False)

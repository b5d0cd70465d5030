"""`sdnet-bench report to FORMAT`: the report of a store."""

from __future__ import annotations

from pathlib import Path

import click

from .options import store_option


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def report() -> None:
    """Draw the report from the store.

    \b
    Examples:
      sdnet-bench report to markdown
      sdnet-bench report to html --output report.html
      sdnet-bench report to csv > results.csv
    """


@report.command("to")
@click.argument("format_name", metavar="FORMAT")
@store_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write it [default: beside the store; csv and json: the terminal].",
)
@click.option(
    "--baseline",
    metavar="MODEL[@LAMBDA]",
    help="A model of the store that mean corruption errors are divided by.",
)
@click.option("--with-cost", is_flag=True, help="Add seconds, memory, device and versions.")
def to(format_name: str, store: str, output: Path | None, baseline: str | None, with_cost: bool) -> None:
    """Write the report as FORMAT: markdown, html, latex, csv or json.

    \b
    Examples:
      sdnet-bench report to markdown
      sdnet-bench report to html --output report.html --with-cost
      sdnet-bench report to markdown --baseline resnet20
      sdnet-bench report to json > results.json
    """
    from ..reports import report as write

    written = write(store, format_name, output=output, baseline=baseline, with_cost=with_cost)
    if isinstance(written, Path):
        click.echo(f"Wrote {written}", err=format_name in ("csv", "json"))
    else:
        click.echo(written, nl=False)

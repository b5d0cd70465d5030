"""`sdnet-bench zoo verify`."""

from __future__ import annotations

import click

from ...console import options
from ...console.output import say, say_json
from ...console.progress import shown
from ...errors import InputError
from ...planning.setting import Setting
from ...wording import counted

_VERDICTS = {True: "ok", False: "DIFFERS", None: "measured"}


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@options.setting_options(
    only=("data", "data_root", "limit", "batch_size", "device"),
    data={"help": "Data set [default: the one each model was trained on]."},
)
@click.option(
    "--tolerance",
    type=options.SHARE,
    default=0.001,
    show_default=True,
    help="Allowed difference of accuracy on all test images.",
)
@options.json_option
def verify(models: tuple[str, ...], setting: Setting, tolerance: float, as_json: bool) -> None:
    """Evaluate MODELs again and compare with their stated accuracy; default: every model of the zoo that is here.

    Exits with 1 if one differs. --data says where the images are; a MODEL that was trained on others is measured there
    all the same, with a warning, while without MODELs such a one keeps its own data. On all test images the difference
    may be --tolerance; with --limit the stated accuracy must lie in the 95 % interval.

    \b
    Examples:
      sdnet-bench zoo verify
      sdnet-bench zoo verify --data npz:cifar10.npz
      sdnet-bench zoo verify cifar10/sdnet20 --data npz:cifar10.npz --limit 1000
      sdnet-bench zoo verify --json
    """
    from ...zoo.shelf.index import entries, local_path

    options.check_sources(models, setting.data, setting.device)
    chosen = models or tuple(item.name for item in entries() if local_path(item) is not None)
    if not chosen:
        raise InputError("No model of the zoo is on this machine. Fetch one, or name a run or checkpoint.")
    from ...diagnostics.of_stated import verify_model

    rows = []
    for model in chosen:
        with shown(f"verify {model}", quiet=as_json) as display:
            rows.append(
                verify_model(
                    model, setting, tolerance=tolerance, insist=bool(models), on_progress=display.update
                )
            )
    if as_json:
        say_json(rows)
    for row in () if as_json else rows:
        stated = "nothing stated" if row["stated"] is None else f"stated {100 * row['stated']:.2f} %"
        say(
            f"{_VERDICTS[row['matches']]} {row['name']}: {100 * row['measured']:.2f} % "
            f"[{100 * row['low']:.2f}, {100 * row['high']:.2f}] on {counted(row['n'], 'image')} of "
            f"{row['data']}, {stated}"
        )
        for warning in filter(None, (row["warning"], row["other_data"])):
            say(f"  {warning}")
    if any(row["matches"] is False for row in rows):
        raise click.exceptions.Exit(1)

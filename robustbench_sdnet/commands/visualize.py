"""`sdnet-bench visualize`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ..console import options
from ..console.output import say, say_json, warn
from ..data.registry import check_clean
from ..errors import InputError
from ..files import make_folder
from ..planning.setting import PICTURES, Setting
from ..running.refusals import check_models
from ..specs import SEVERITIES, AttackSpec, CorruptionSpec, LambdaSpec, parse_depths
from ..wording import counted, shown


def _corruption(text: str) -> CorruptionSpec:
    from ..corruptions.registry import corruption_info

    name, _, severity = text.partition("@")
    info = corruption_info(name)
    if severity not in map(str, SEVERITIES):
        raise InputError(
            f"--corruption takes NAME@SEVERITY with a severity from 1 to 5, got '{shown(text)}'."
        )
    return CorruptionSpec(name=info.name, severity=int(severity), version=info.version)


def _lambdas(lambdas: tuple[LambdaSpec, ...] | None, lambda_scope: str) -> tuple[tuple[float, ...], str]:
    """The numbers asked for, and the layers that lambda is set on; an InputError for a policy."""
    numbers = []
    for lam in lambdas or ():
        if lam.fixed is None:
            raise InputError(f"visualize takes numbers as --lambda, such as 0.1,0.5, got '{lam.text}'.")
        numbers.append(lam.fixed)
    return tuple(numbers), lambda_scope


def _attack(name: str, eps: str | None, norm: str, seed: int) -> AttackSpec:
    from ..planning.questions import attack_specs, budgets

    _, asked = budgets(name, norm, eps)
    if not asked:
        raise InputError(
            f"visualize takes an attack with a budget, but {name} seeks the smallest perturbation. Give --eps."
        )
    if len(asked) > 1:
        raise InputError(f"visualize takes one budget, got {len(asked)} as --eps. Run it once per budget.")
    found = attack_specs(name, asked, norm, seed=seed)
    if len(found) != 1:
        raise InputError(
            f"visualize takes one attack, but {name} combines several. Take one of its stages, such as apgd-ce."
        )
    if found[0].kind == "noise":
        raise InputError(
            "visualize shows random noise of the same budget next to any attack. Name an attack, such as pgd."
        )
    return found[0]


@click.command(no_args_is_help=True)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--depth",
    "depths",
    type=options.Parsed("0,2,4-6", parse_depths),
    help="Depths to reconstruct images from; 0 is after the stem [default: every depth that can be inverted].",
)
@options.gathered(
    "lambdas",
    _lambdas,
    options.lambda_option(
        "A number, a list 0.1,0.5, or a range 0.1:1.4:0.1 [default: the training lambda, 0.5 and 1]."
    ),
    options.lambda_scope_option,
)
@click.option(
    "--corruption",
    type=options.Parsed("NAME@SEVERITY", _corruption),
    default="gaussian_noise@5",
    show_default=True,
    help="A corruption to look at.",
)
@options.gathered(
    "attack",
    _attack,
    click.option(
        "--attack",
        "name",
        default="pgd",
        show_default=True,
        metavar="NAME",
        help="An attack to look at; random noise within the same eps is drawn next to it.",
    ),
    click.option(
        "--eps", metavar="EPS", help="Budget of the attack [default: the norm's default, 8/255 in linf]."
    ),
    options.norm_option,
    options.seed_option,
)
@options.choice_option(
    "--method",
    ("inverse", "gradient"),
    "Invert through the dictionaries, or search by gradient for images with the same features (any model, slow).",
)
@options.choice_option("--atoms", ("stem", "all"), "Layers whose dictionaries are drawn.")
@options.path_option("--output", f"Folder for the pictures [default: {PICTURES}/MODEL].")
@options.setting_options(
    only=("data", "data_root", "split", "limit", "runs", "device", "batch_size"),
    limit={"default": 40, "help": "Number of images to measure on; 10 are shown."},
    data={"help": "Data set [default: the one that the first model was trained on]."},
)
@options.json_option
def visualize(
    models: tuple[str, ...],
    depths: tuple[int, ...] | None,
    lambdas: tuple[tuple[float, ...], str],
    corruption: CorruptionSpec,
    attack: AttackSpec,
    method: str,
    atoms: str,
    output: Path | None,
    setting: Setting,
    as_json: bool,
) -> None:
    """Look inside MODELs: atoms, what each depth and lambda keeps of images, and how a perturbation grows.

    Writes PNG pictures and index.html into --output, and prints the numbers with their 95 % intervals over images, at
    the training lambda, 0.5 and 1 unless --lambda says otherwise. Depths beyond the stem need a network without
    shortcuts (train ... sdnet20_all --set model.shortcut=false), or --method gradient. 'report to html --with-pictures'
    includes the pictures.

    \b
    Examples:
      sdnet-bench visualize digits/sdnet20-at
      sdnet-bench visualize cifar10/sdnet20 cifar10/resnet20 --corruption fog@3
      sdnet-bench visualize runs/digits-sdnet20_all --depth 0,3,6,9 --output in
      sdnet-bench visualize cifar10/resnet20 --method gradient --depth 0,4
    """
    check_models(models)
    check_clean(setting.data, "visualize")
    make_folder(output or PICTURES)  # before the work, which would be lost

    from ..inside.look import look
    from ..inside.subject import Wanted
    from ..reports.document import plain
    from ..reports.pictures import tables, write
    from ..reports.writers.records import as_record

    numbers, scope = lambdas
    wanted = Wanted(
        depths=depths or (),
        lambdas=numbers,
        scope=scope,
        corruption=replace(corruption, seed=attack.seed),
        attack=attack,
        method=method,
        every_atom=atoms == "all",
    )
    said = (lambda label: None) if as_json else (lambda label: say(f"visualize: {label}", err=True))
    album, pictures = look(replace(setting, models=models), wanted, said)
    paths = write(album, pictures, output or PICTURES / plain("-".join(album.models)))
    for doubt in album.doubts:
        warn(doubt)
    if as_json:
        say_json({**as_record(album), "files": [str(path) for path in paths]})
        return
    from tabulate import tabulate

    for table in tables(album.numbers):
        say(f"{table.title}: {', '.join(album.models)} on {album.data}, {counted(album.images, 'image')}")
        say(tabulate(table.rows, table.columns, disable_numparse=True))
    say(f"Wrote {counted(len(pictures), 'picture')} and {paths[-1]}")

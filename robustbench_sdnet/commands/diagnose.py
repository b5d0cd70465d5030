"""`sdnet-bench diagnose`."""

from __future__ import annotations

from dataclasses import asdict, replace

import click

from ..console import findings, options
from ..console.output import say, say_json, warn
from ..planning.setting import Setting
from ..running.refusals import check_models
from ..specs import LambdaSpec
from ..wording import counted


@click.command()
@click.argument("source", metavar="MODEL")
@click.option(
    "--eps",
    metavar="EPS",
    help="Budget as a fraction or a decimal [default: the norm's default, 8/255 in linf].",
)
@options.norm_option
@options.lambda_options("A number such as 0.5 [default: the training lambda].")
@click.option(
    "--transfer-from",
    "others",
    multiple=True,
    metavar="MODEL",
    help="Also try perturbations made on this model; repeatable.",
)
@click.option("--cheap", is_flag=True, help="Run only the checks that cost at most 20 steps per survivor.")
@options.seed_option
@options.setting_options(
    without=("models", "store", "repair", "precision"),
    limit={"default": 100, "help": "Number of images to attack."},
    data={"help": "Data set [default: the one that the model was trained on]."},
)
@options.json_option
def diagnose(
    source: str,
    eps: str | None,
    norm: str,
    lambdas: tuple[LambdaSpec, ...],
    others: tuple[str, ...],
    cheap: bool,
    seed: int,
    setting: Setting,
    as_json: bool,
) -> None:
    """Check whether a model masks gradients: every diagnostic says pass, warn or fail, with its number.

    MODEL is a run, a checkpoint, a zoo name or package.module:function. A fail means that an attack's
    accuracy cannot be trusted, and says why. The data set is the one that the model was trained on.

    \b
    Examples:
      sdnet-bench diagnose runs/digits-sdnet20
      sdnet-bench diagnose cifar10/sdnet20 --lambda 0.5 --limit 100 --eps 8/255
      sdnet-bench diagnose mypackage.models:defended --data cifar10 --json
    """
    from ..planning.questions import one_budget, one_lambda

    asked = one_budget(norm, eps, "--eps")
    lam = one_lambda(lambdas, "--lambda")
    if lam is None:
        options.refuse_given(
            ("lambda_scope",), "--lambda-scope says where --lambda is set, which is not given"
        )
    check_models((source, *others))

    from ..diagnostics.finding import DIAGNOSTICS
    from ..diagnostics.of_model import diagnose_model

    found = diagnose_model(
        replace(setting, models=(source,)),
        asked,
        norm=norm,
        lam=lam,
        others=others,
        cheap=cheap,
        seed=seed,
    )
    for note in found.notes:
        warn(note)
    if as_json:
        say_json([asdict(one) | {"question": DIAGNOSTICS[one.check]} for one in found.findings])
        return
    at = "" if lam is None else f" at lambda {lam.fixed:g}"
    say(f"{found.model}{at} on {found.data}, {counted(found.images, 'image')}, {norm} {asked}")
    say(findings.table(found.findings))
    say(findings.summary(found.findings))

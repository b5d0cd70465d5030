"""`sdnet-bench study`."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..console import options
from ..console.answering import say_doubts
from ..console.output import say, say_json
from ..console.progress import shown, shown_fits, shown_progress
from ..data.registry import check_clean
from ..errors import ModelError
from ..files import make_folder
from ..planning.setting import Setting
from ..planning.study import NAMES, PROTOCOLS, SAID, budget_named
from ..running.refusals import check_models

if TYPE_CHECKING:
    from ..evaluation import Study


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@options.choice_option(
    "--budget",
    NAMES,
    "How much to measure: minutes, hours or days on a CPU. The first finds large differences, and hardly says no.",
)
@click.option(
    "--protocol",
    type=click.Choice(tuple(PROTOCOLS)),
    help="Run the experiment of a paper instead: published is that of SDNet, four noises at every level and lambda.",
)
@click.option(
    "--eps",
    metavar="EPS",
    help="Budget of the attacks, a fraction or a decimal, or a comma-separated list [default: the norm's default].",
)
@options.norm_option
@options.lambda_scope_option
@options.path_option("--output", "Folder for study.md and study.html [default: next to the store].")
@options.seed_option
@options.setting_options(
    without=("models", "split", "counting"),
    data={"help": "Data set [default: the one that the first model was trained on]."},
    limit={"help": "Use the first N images only [default: as many as the budget or the protocol says]."},
    precision={
        "help": "Precision of the search for perturbations, every success confirmed in float32; and of answers under "
        "noise, where auto means float32, and bfloat16 repeats close calls in float32."
    },
)
@options.json_option
def study(
    models: tuple[str, ...],
    budget: str,
    protocol: str | None,
    eps: str | None,
    norm: str,
    lambda_scope: str,
    output: Path | None,
    seed: int,
    setting: Setting,
    as_json: bool,
) -> None:
    """Find out in one run whether another lambda makes MODEL robust.

    Measures four noises at several severities, at fixed lambdas and under policies; PGD at every lambda, evaluated at
    every lambda; a gradient-free attack and random noise at each lambda; and runs the diagnostics. The report begins
    with a conclusion. If a run is stopped, the same command continues where it left off.

    \b
    Examples:
      sdnet-bench study runs/cifar10-sdnet20
      sdnet-bench study cifar10/sdnet20 --budget standard --eps 2/255,8/255
      sdnet-bench study cifar10/sdnet20 cifar10/resnet20 --protocol published
      sdnet-bench study runs/sdnet20-s* runs/resnet20-s* --protocol published
    """
    if protocol:
        options.refuse_given(SAID, "A protocol fixes what it measures")
    from ..planning.questions import budgets

    _, asked = budgets("pgd", norm, eps)
    check_models(models)
    check_clean(setting.data, "A study")
    if output is not None:
        make_folder(output)  # before the work

    from ..diagnostics.of_study import Watching
    from ..evaluation import run_study

    with shown_fits(quiet=as_json) as fit, shown("study, diagnostics", quiet=as_json) as checks:
        found = run_study(
            replace(setting, models=models),
            budget_named(budget, protocol),
            asked,
            norm=norm,
            seed=seed,
            scope=lambda_scope,
            watching=Watching(
                stage=lambda stage: shown_progress(f"study, {stage}", quiet=as_json),
                fit=fit,
                check=checks.update,
                ready=partial(say_doubts, budgets=[(norm, one) for one in asked], pairs=bool(protocol)),
            ),
            output=output or True,
        )
    if as_json:
        say_json(asdict(found))
    else:
        _say(found)
    if found.failed:
        raise ModelError(" | ".join(found.failed.values()))


def _say(found: Study) -> None:
    """What it comes to, and where more stands."""
    for item in found.conclusion:
        say(textwrap.fill(item["answer"], min(shutil.get_terminal_size((100, 24)).columns, 120)) + "\n")
    if not found.conclusion:
        say("No conclusion: no model was measured at several lambdas. What was measured is in the report.")
    for path in found.reports:
        say(f"report {path}")

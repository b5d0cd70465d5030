"""`sdnet-bench attack`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ..attacks.registry import ATTACKS
from ..console import options
from ..console.answering import Saving, finish
from ..console.progress import shown_fits
from ..errors import InputError
from ..files import make_folder
from ..planning.setting import Setting
from ..specs import NORMS, AttackSpec, Eps, LambdaSpec
from ..specs.lambdas import DEPLOYED

Budget = Callable[[str, int], tuple[str, tuple[Eps, ...]]]
USUAL = ", ".join(f"{norm} {known.eps}" for norm, known in NORMS.items() if known.eps)


def _budget(eps: str | None, eps_curve: str | None, norm: str | None) -> Budget:
    """From an attack's name and the values of an image to the norm and the budgets that it is run at."""
    if eps and eps_curve:
        raise InputError("--eps-curve is itself a list of budgets. Leave out --eps, or --eps-curve.")

    def budget(name: str, values: int) -> tuple[str, tuple[Eps, ...]]:
        from ..planning.questions import budgets, eps_curve as curve

        full = values if eps_curve == "full" else None
        return budgets(name, norm, curve(name, norm, full=full) if eps_curve else eps)

    return budget


def _lambdas(
    lambdas: tuple[LambdaSpec, ...] | None, attack_lambdas: tuple[LambdaSpec, ...] | None, lambda_scope: str
) -> tuple[tuple[LambdaSpec, ...], tuple[LambdaSpec, ...]]:
    """Lambdas to evaluate at, and those to attack at, none where they are the same."""
    return options.with_scope(lambdas, lambda_scope), options.with_scope(attack_lambdas, lambda_scope)


def _saving(folder: Path | None, eight_bit: bool) -> Saving | None:
    if eight_bit and folder is None:
        raise InputError("--eight-bit rounds what --save-adversarials writes. Add --save-adversarials DIR.")
    return Saving(folder, eight_bit) if folder else None


BUDGET = options.gathered(
    "budget",
    _budget,
    click.option(
        "--eps",
        metavar="EPS",
        help="Budget as a fraction or a decimal (linf: in [0, 1]), or a comma-separated list of them "
        f"[default: {USUAL}; a minimal-norm attack seeks the smallest perturbation of each image].",
    ),
    click.option(
        "--eps-curve",
        is_flag=False,
        flag_value="usual",
        type=click.Choice(["usual", "full"]),
        help=f"Short for --eps {','.join(NORMS['linf'].curve)}, and similarly in l2 and l1; 'full' keeps "
        "doubling until every image is within reach (linf: 1).",
    ),
    click.option(
        "--norm",
        type=click.Choice(tuple(NORMS)),
        help="Norm of the budget or of the distance [default: linf, if the attack supports it].",
    ),
)
PARAMETERS = options.gathered(
    "given",
    options.settings,
    click.option(
        "--steps",
        metavar="N",
        help="Number of steps of an iterative attack [default: the attack's own; 20 for pgd].",
    ),
    click.option(
        "--step-size", metavar="SIZE", help="Step size of pgd [default: eps/4], or of fmn [default: 1]."
    ),
    click.option("--restarts", metavar="N", help="Number of random restarts [default: 1; 2 for pma]."),
    click.option(
        "--eot",
        metavar="N",
        help="Gradients (square: margins) averaged per step by pgd, apgd-* and square, for randomised models "
        "[default: 1].",
    ),
    click.option(
        "--variant",
        metavar="NAME",
        help="Variant of autoattack: standard, or rand for models that draw random numbers [default: standard].",
    ),
    click.option(
        "--then",
        type=click.Choice(["autoattack"]),
        help="After lean: run all of standard AutoAttack on the images it left, which certifies the number.",
    ),
    click.option(
        "--set",
        "pairs",
        multiple=True,
        metavar="KEY=VALUE",
        help="Any other hyper-parameter of the attack; repeatable.",
    ),
)
LAMBDAS = options.gathered(
    "lambdas",
    _lambdas,
    options.lambda_option(options.any_lambda(DEPLOYED)),
    options.lambda_scope_option,
    click.option(
        "--attack-lambda",
        "attack_lambdas",
        type=options.LAMBDAS,
        metavar="LAMBDA",
        help="Attack at these lambdas and evaluate each result at every --lambda (off the diagonal: transfer).",
    ),
)
SAVING = options.gathered(
    "saving",
    _saving,
    options.path_option(
        "--save-adversarials",
        "Write the perturbed images of every attack to one .npz file each, as exact float32.",
        "DIR",
        "folder",
    ),
    click.option(
        "--eight-bit",
        is_flag=True,
        help="With --save-adversarials: also write them rounded to 8 bits, and print the accuracy on those.",
    ),
)


@click.command()
@click.argument("name", metavar="ATTACK")
@BUDGET
@click.option(
    "--from-scratch",
    is_flag=True,
    help="Attack every image at every eps [default: a larger eps attacks only the survivors of the smaller one].",
)
@PARAMETERS
@LAMBDAS
@click.option(
    "--warm-start",
    is_flag=True,
    help="Start PGD at each lambda from the perturbations found at the lambda before it.",
)
@click.option(
    "--verdicts",
    is_flag=False,
    flag_value="cheap",
    type=click.Choice(["cheap", "full"]),
    help="Check every attack for gradient masking: with the cheap diagnostics, or with 'full' all of them.",
)
@SAVING
@options.seed_option
@options.setting_options()
@options.json_option
def attack(
    name: str,
    budget: Budget,
    from_scratch: bool,
    given: dict[str, str],
    lambdas: tuple[tuple[LambdaSpec, ...], tuple[LambdaSpec, ...]],
    warm_start: bool,
    verdicts: str | None,
    saving: Saving | None,
    seed: int,
    setting: Setting,
    as_json: bool,
) -> None:
    """Measure accuracy under adversarial attacks, at every given lambda.

    ATTACK is {attacks}, torchattacks:NAME or foolbox:NAME.
    Gradients are taken at the deployed lambda; random noise of the same budget is measured as well.
    Without --eps, minimal-norm attacks (fab-t, torchattacks:CW, foolbox:L2DeepFoolAttack, ...) measure the distance
    of each image to its nearest wrong answer: the median is printed, and the report plots accuracy against eps.

    \b
    Examples:
      sdnet-bench attack pgd --eps 8/255
      sdnet-bench attack pgd --eps 1/255,2/255,4/255,8/255 --limit 1000
      sdnet-bench attack pgd --attack-lambda 0.1,0.5 --lambda 0.1,0.5
      sdnet-bench attack pgd --lambda 0.1:0.7:0.2 --warm-start
      sdnet-bench attack lean --limit 1000
      sdnet-bench attack lean --then autoattack --limit 100
      sdnet-bench attack autoattack --limit 100 --verdicts
      sdnet-bench attack autoattack --variant rand
      sdnet-bench attack torchattacks:MIFGSM --steps 10
      sdnet-bench attack fab-t --norm l2 --limit 100
    """
    from ..planning import questions

    if "then" in given:
        if name != "lean":
            raise InputError(f"--then goes with lean, not with {name}. Leave it out.")
        name = f"{name}+{given.pop('then')}"

    def asked(values: int) -> list[AttackSpec]:
        norm, budgets = budget(name, values)
        return questions.attack_specs(name, budgets, norm, given, seed)

    specs = asked(1)  # says what is wrong before any work
    questions.check_attacked(specs, *lambdas, setting.data, warm_start)
    if saving:
        make_folder(saving.folder)  # before the work

    from ..running.cells import attack_plan
    from ..running.ready import prepare

    ready = prepare(setting)
    height, width = ready.data.image_shape
    specs = asked(3 * height * width)
    with shown_fits(quiet=as_json) as fit:
        cells = attack_plan(ready, specs, *lambdas, not from_scratch, fit, warm_start)
    finish(ready, cells, f"attack {name}", as_json, verdicts, saving, sum(lambdas, ()))


attack.help = str(attack.help).format(attacks=", ".join(ATTACKS))

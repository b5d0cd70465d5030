"""`sdnet-bench corrupt`."""

from __future__ import annotations

import click

from ..console import options
from ..console.answering import finish
from ..console.progress import shown_fits
from ..planning.asked import Asked
from ..planning.setting import Setting
from ..specs import LambdaSpec
from ..specs.lambdas import CHOOSING


@click.command()
@options.asked_options
@options.lambda_options(options.any_lambda(CHOOSING))
@options.setting_options(
    precision={
        "choices": ("float32", "bfloat16"),
        "default": "float32",
        "help": "bfloat16 is faster where the processor supports it, and repeats close calls in float32.",
    }
)
@options.json_option
def corrupt(asked: Asked, lambdas: tuple[LambdaSpec, ...], setting: Setting, as_json: bool) -> None:
    """Measure accuracy under corruptions, at every given lambda, or how stable predictions are along sequences.

    Each corrupted image is made once and shown to all models at all lambdas. Answers are kept in the store: if a run
    is stopped, the same command continues where it left off.

    \b
    Examples:
      sdnet-bench corrupt --severity 1-5
      sdnet-bench corrupt --corruption noise --lambda 0.1:1.4:0.1 --limit 1000
      sdnet-bench corrupt --corruption gaussian_noise --level 0.02:0.20:0.02
      sdnet-bench corrupt --sequences --corruption main --limit 1000
    """
    from ..running.cells import corruption_plan
    from ..running.ready import prepare

    ready = prepare(setting)
    specs = asked.of(ready.data)
    with shown_fits(quiet=as_json) as fit:
        cells = corruption_plan(ready, specs, lambdas, setting.precision, fit)
    finish(ready, cells, "corrupt", as_json, lambdas=lambdas)

"""`sdnet-bench corrupt`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import click

from ..console import options
from ..console.tables import Asked, finish, say_fit
from ..corruptions.registry import expand
from ..specs import LambdaSpec


@click.command()
@click.option(
    "--corruption",
    "corruptions",
    default="all",
    show_default=True,
    metavar="NAMES",
    help="Names, a comma list, or all, main, extra, noise, blur, weather, digital.",
)
@click.option(
    "--severity",
    "severities",
    type=options.SEVERITIES,
    default="1-5",
    show_default=True,
    help="3, 1,3,5 or 1-5.",
)
@click.option(
    "--level",
    "levels",
    type=options.LEVELS,
    help="Free noise levels instead of severities, such as 0.02:0.20:0.02.",
)
@options.table_option
@options.model_option
@options.lambda_options
@options.data_option
@options.data_root_option
@options.split_option
@options.limit_option
@options.store_option
@options.repair_option
@options.runs_option
@options.seed_option
@options.device_option
@options.batch_size_option
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="bfloat16 repeats close calls in float32; several times faster where the processor has it.",
)
@options.json_option
def corrupt(
    corruptions: str,
    severities: tuple[int, ...],
    levels: tuple[Decimal, ...] | None,
    table: str | None,
    models: tuple[str, ...],
    lambdas: tuple[LambdaSpec, ...] | None,
    lambda_scope: str,
    data: str | None,
    data_root: str | None,
    split: str,
    limit: int | None,
    store: str,
    repair: bool,
    runs: Path,
    seed: int,
    device: str,
    batch_size: int | None,
    precision: str,
    as_json: bool,
) -> None:
    """Measure accuracy under corruptions, at every lambda asked for.

    Each corrupted image is made once and shown to all models at all lambdas. Answers are kept in the store: a run that
    was stopped goes on where it was when the same command is given again.

    \b
    Examples:
      sdnet-bench corrupt --severity 1-5
      sdnet-bench corrupt --corruption noise --lambda 0.1:1.4:0.1 --limit 1000
      sdnet-bench corrupt --corruption gaussian_noise --level 0.02:0.20:0.02
    """
    expand(corruptions)
    chosen = options.with_scope(lambdas, lambda_scope)
    options.check_sources(models, data, device)
    asked = Asked(models, data, data_root, split, limit, store, runs, device, batch_size, repair=repair)

    from ..planning import questions
    from ..running.ready import corruption_plan, prepare

    ready = prepare(asked.setting())
    specs = questions.corruptions_of(ready.data, corruptions, severities, levels or (), seed, table)
    finish(ready, corruption_plan(ready, specs, chosen, precision, say_fit), asked, "corrupt", as_json)

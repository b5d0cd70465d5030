"""Options that several commands share, and what they accept. Nothing here imports torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..corruptions.member import TABLES
from ..errors import InputError, unknown
from ..specs import DEFAULT_STORE, NORMS, LambdaSpec, parse_lambdas, parse_numbers, parse_severities

Function = TypeVar("Function", bound=Callable[..., Any])


class Parsed(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """A value read by a function that raises `InputError`, which then ends the command in one line.

    Args:
        name: the metavar.
        parse: from text to value.
    """

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a text; anything else is a default already read."""
        return self._parse(value) if isinstance(value, str) else value


# Folders of corrupted images -> the clean data set behind them.
PUBLISHED = {"cifar10c": "cifar10", "cifar100c": "cifar100"}

SEVERITIES = Parsed("1-5", parse_severities)
LAMBDAS = Parsed("lambda", parse_lambdas)
LEVELS = Parsed("first:last:step", lambda text: parse_numbers(text, "level"))

store_option = click.option(
    "--store", metavar="URL", default=DEFAULT_STORE, show_default=True, help="Where results are kept."
)
repair_option = click.option(
    "--repair", is_flag=True, help="Drop what is damaged in the store, say what it was, and compute it anew."
)
table_option = click.option(
    "--table",
    type=click.Choice(list(TABLES)),
    help="Parameters of the corruptions: cifar (made for 32 pixels), tiny (64), imagenet (224), inception (299) "
    "[default: by the images' shorter side].",
)
data_option = click.option(
    "--data",
    metavar="NAME",
    help="digits, cifar10, cifar100, imagenet, npz:PATH, cifar10c:PATH, ... [default: the newest run's].",
)
data_root_option = click.option(
    "--data-root",
    metavar="DIR",
    help="Where downloaded data lies [default: $SDNET_BENCH_DATA, else the cache].",
)
split_option = click.option(
    "--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Which images."
)
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="The first N images only."
)
model_option = click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="A run, a checkpoint, a zoo name, package.module:function; repeatable [default: every model at hand].",
)
runs_option = click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Where runs are."
)
device_option = click.option(
    "--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda, cuda:1, ..."
)
batch_size_option = click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Largest batch [default: by device].",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of the search for perturbations; every success is confirmed in float32.",
)
norm_option = click.option(
    "--norm",
    type=click.Choice(tuple(NORMS)),
    default="linf",
    show_default=True,
    help="Norm of the budget, one that pgd knows.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all draws."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def lambda_options(function: Function) -> Function:
    """Add --lambda and --lambda-scope."""
    function = click.option(
        "--lambda-scope",
        type=click.Choice(["stem", "all"]),
        default="stem",
        show_default=True,
        help="Which CSC layers lambda is set on.",
    )(function)
    return click.option(
        "--lambda",
        "lambdas",
        type=LAMBDAS,
        metavar="LAMBDA",
        help="0.1, a list 0.1,0.4, a range 0.1:1.4:0.1, or a policy [default: the training lambda].",
    )(function)


def with_scope(lambdas: tuple[LambdaSpec, ...] | None, scope: str) -> tuple[LambdaSpec, ...]:
    """The lambdas asked for, set on the layers asked for."""
    return tuple(LambdaSpec(lam.text, scope, lam.fit) for lam in lambdas or ())


def check_device(device: str) -> str:
    """Refuse a device that cannot be meant, before torch is imported.

    Raises:
        InputError: not auto, cpu, cuda, cuda:N or mps.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", device, re.ASCII):
        raise unknown("device", device, ["auto", "cpu", "cuda", "cuda:0", "mps"])
    return device


def check_sources(models: tuple[str, ...], data: str | None, device: str) -> None:
    """Refuse what cannot be meant before torch is imported: data, models by name, device.

    Raises:
        InputError: an unknown name or a missing path.
    """
    from ..data import check_name
    from ..zoo.names import check_source

    check_device(device)
    if data is not None:
        check_name(data)
    for model in models:
        check_source(model)


def check_clean(data: str | None, what: str) -> None:
    """Refuse a folder of corrupted images for what perturbs clean ones itself, and would never look at the folder.

    Raises:
        InputError: the data set is such a folder.
    """
    kind, colon, _ = (data or "").partition(":")
    if colon and kind in PUBLISHED:
        raise InputError(
            f"{what} perturbs clean images, got '{data}'. Write --data {PUBLISHED[kind]}; "
            "'corrupt' reads such folders."
        )


def parse_pairs(pairs: tuple[str, ...], option: str) -> dict[str, str]:
    """Read repeated key=value options.

    Raises:
        InputError: a pair without "=" or without a key.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"{option} takes key=value, got '{pair}'.")
        found[key.strip()] = value.strip()
    return found

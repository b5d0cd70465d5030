"""The options that say what `corrupt` asks and `data show` draws."""

from __future__ import annotations

import click

from ..corruptions.members import STORED
from ..planning.asked import Asked
from . import options

asked_options = options.gathered(
    "asked",
    Asked,
    options.corruption_option,
    click.option(
        "--severity", "severities", type=options.SEVERITIES, help="3, 1,3,5 or 1-5.  [default: 1-5]"
    ),
    click.option(
        "--level",
        "levels",
        type=options.LEVELS,
        help="Free noise levels instead of severities, such as 0.02:0.20:0.02.",
    ),
    options.table_option,
    click.option(
        "--stored-as",
        "stored",
        type=click.Choice(list(STORED)),
        help="Pass corrupted images through a JPEG of quality 85, as those of ImageNet-C were.",
    ),
    click.option(
        "--sequences",
        is_flag=True,
        help="CIFAR-10-P's slowly changing sequences instead: how often the prediction flips; names, all, main, extra.",
    ),
    click.option(
        "--difficulty",
        "difficulties",
        type=options.DIFFICULTIES,
        help="Of sequences: strength of noises, else how many frames apart are compared.  [default: 1]",
    ),
    options.seed_option,
)

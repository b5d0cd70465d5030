"""What commands print: every text passes here, so that no name from outside steers the terminal."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..wording import visible


def say(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print a text of one line or more, its control characters written out."""
    click.echo(visible(str(text), keep="\n\t"), err=err, nl=nl)


def say_json(value: Any) -> None:
    """Print JSON for machines; a number that is undefined is an error, as JSON has none."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def tell(value: Any, text: object, as_json: bool) -> None:
    """Print an answer, as JSON where that is asked for."""
    if as_json:
        say_json(value)
    else:
        say(text)


def say_of(path: Path, text: object, *, err: bool = False) -> None:
    """Print what was written to a path; on standard error where that path is standard output itself."""
    with suppress(OSError):  # standard output may be closed
        err = err or os.path.samestat(path.stat(), os.fstat(1))
    say(text, err=err)


def warn(text: object) -> None:
    """Print a warning on standard error."""
    say(f"Warning: {text}", err=True)

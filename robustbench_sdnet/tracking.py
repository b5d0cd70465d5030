"""Weights & Biases where it is installed: the one place that starts a run of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import make_folder
from .wording import shown

PROJECT = "sdnet-bench"


def check_wandb() -> None:
    """Refuse to track where the package is missing, with an InputError, before any work."""
    if find_spec("wandb") is None:
        raise InputError("wandb is not installed. Run: pip install 'robustbench-sdnet[wandb]'")


def start_wandb(
    folder: Path, name: str, parameters: Mapping[str, Any], *, kind: str, run_id: str | None = None
) -> Any:
    """A run that is logged to; WANDB_MODE, WANDB_PROJECT and the others of its own mean what they mean there.

    Args:
        folder: where it keeps its files.
        kind: "train" or "report".
        run_id: of a run that is gone on with.

    Raises:
        InputError: not installed, nobody is logged in, its server cannot be reached, a setting of its own is wrong, or
            what is off would keep no report.
        WriteError: the folder cannot be made.
    """
    check_wandb()
    import wandb

    made = not folder.exists()
    make_folder(folder)
    try:
        run = wandb.init(
            project=None if wandb.env.get_project() else PROJECT,
            dir=str(folder),
            name=shown(name)[:128],
            job_type=kind,
            config=dict(parameters),
            id=run_id,
            resume="allow" if run_id else None,
            reinit="create_new",
            settings=wandb.Settings(console="off", disable_git=True, disable_code=True),
        )
        if kind == "report" and run.disabled:
            raise wandb.errors.UsageError("It is disabled, and would keep nothing.")
        return run
    except (wandb.errors.Error, ValueError) as error:  # the latter of a setting
        if made:
            with suppress(OSError):
                folder.rmdir()
        said = " ".join(str(error).split())
        raise InputError(f"wandb: {said} WANDB_MODE=offline keeps the run in {folder} instead.") from None

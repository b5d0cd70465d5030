"""One folder with all there is to send on: page, records, figures, environment, and the answers as one store."""

from __future__ import annotations

import json
import platform
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from ..answers.copying import copy_stores
from ..answers.records import records
from ..answers.snapshot import Snapshot
from ..errors import InputError
from ..files import LOCK, alone_in, write_whole
from .content import build
from .plots import style
from .writers import html
from .writers.records import to_csv, to_json


def bundle(stores: Sequence[str], folder: str | Path) -> Path:
    """Write the folder of the stores taken as one; `bundle:FOLDER` is a store that every report reads again.

    Raises:
        InputError: the folder holds something already.
        StoreError: a store does not exist, is damaged or empty.
        WriteError: something cannot be written, or another process is writing to the folder.
    """
    target = Path(folder)
    _refuse_full(target)
    snapshot = Snapshot.read(stores)
    document, found = build(snapshot), records(snapshot)
    page = html.render(document, lambda figure: style.to_svg(figure.draw(), figure.name))
    with alone_in(target):
        _refuse_full(target)  # minutes may have passed, and what fails is taken away
        try:
            write_whole(target / "report.html", page)
            write_whole(target / "results.csv", to_csv(found))
            write_whole(target / "results.json", to_json(found))
            for figure in document.figures:
                write_whole(target / "figures" / f"{figure.name}.svg", style.to_svg_file(figure.draw()))
                write_whole(target / "figures" / f"{figure.name}.pdf", style.to_pdf(figure.draw()))
            environment = json.dumps(_environment(), indent=1, sort_keys=True) + "\n"
            write_whole(target / "environment.json", environment)
            copy_stores(stores, target / "results.db")
        except BaseException:  # the same command would refuse what is left of it
            shutil.rmtree(target.resolve(), ignore_errors=True)
            raise
    return target


def _refuse_full(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(path.name != LOCK for path in target.iterdir())):
        raise InputError(f"{target} is not empty. Name a new folder with --output.")


def _environment() -> dict[str, str]:
    """The versions of Python and of what this package requires."""
    required = metadata.requires("robustbench-sdnet") or []
    names = [re.split(r"[^\w.-]", line)[0] for line in required if "extra ==" not in line]
    found = {"python": platform.python_version()}
    for name in ("robustbench-sdnet", *names):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found

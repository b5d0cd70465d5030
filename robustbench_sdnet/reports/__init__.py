"""Reports: what stores say as Markdown, a web page, LaTeX, CSV, JSON, and whatever else `FORMATS` has a row for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from ..answers.snapshot import Snapshot
from ..errors import InputError, unknown
from ..files import write_whole
from ..reading.options import several
from ..reading.paths import path_of
from ..specs import DEFAULT_STORE
from .formats import FORMATS, Format, Options, Sources
from .notices import disputed

if TYPE_CHECKING:
    from ..store.store import Store

    Stores = str | Store | Snapshot | Sequence[str | Store | Snapshot]

__all__ = ["FORMATS", "Format", "Sources", "disputed", "pages", "report", "write"]


@overload  # what is written has a path; without an output it depends on the format
def report(
    store: Stores = ...,
    to: str = ...,
    *,
    output: str | Path,
    baseline: str | None = ...,
    with_cost: bool = ...,
    with_pictures: str | Path | None = ...,
    models: str | Sequence[str] = ...,
    data: str | None = ...,
) -> Path: ...
@overload
def report(
    store: Stores = ...,
    to: str = ...,
    *,
    output: None = ...,
    baseline: str | None = ...,
    with_cost: bool = ...,
    with_pictures: str | Path | None = ...,
    models: str | Sequence[str] = ...,
    data: str | None = ...,
) -> Path | str: ...
def report(
    store: str | Store | Snapshot | Sequence[str | Store | Snapshot] = DEFAULT_STORE,
    to: str = "markdown",
    *,
    output: str | Path | None = None,
    baseline: str | None = None,
    with_cost: bool = False,
    with_pictures: str | Path | None = None,
    models: str | Sequence[str] = (),
    data: str | None = None,
) -> Path | str:
    """Write the report of one store, or of several taken as one. Reports of the same answers are equal byte for byte.

    Args:
        store: an open result store, its URL, or a snapshot of it, or several of these: a question that several hold is
            taken from the one with the most images. A leaderboard and a bundle take URLs.
        to: one of `FORMATS`.
        output: the file to write. Without it csv and json are returned as text; everything else goes to `report.*`
            next to the store, with pictures in a folder `report-files` next to it, but a bundle goes to `bundle` and a
            leaderboard to `leaderboard.html` in the working directory.
        baseline: a model, or "MODEL@LAMBDA": mean corruption errors are divided by its errors.
        with_cost: add seconds, memory, device, threads, versions and the weights' hash; most differ from run to run.
        with_pictures: a folder that `sdnet-bench visualize` wrote; its pictures of the report's models are included.
        models: these alone, by the names that reports give them; empty for all. Tests are of what is shown.
        data: this data set alone; None for all.

    Returns:
        The path of the file (of the run's folder for a tracker), or the text where no file was written.

    Raises:
        InputError: an unknown format, baseline, model or data set, an output that is a folder or one of the sources,
            a part of what a leaderboard or a bundle holds whole, or a format whose package is not installed.
        StoreError: the store does not exist, is damaged or empty.
        WriteError: the file cannot be written.
    """
    sources = Sources(several(store), several(models), data)
    return write(
        sources, to, output=output, baseline=baseline, with_cost=with_cost, with_pictures=with_pictures
    )


def write(
    sources: Sources,
    to: str,
    *,
    output: str | Path | None,
    baseline: str | None,
    with_cost: bool,
    with_pictures: str | Path | None,
) -> Path | str:
    """Write the report of `sources`, as `report` does; the caller may then use their snapshot, which is read once."""
    if to not in FORMATS:
        raise unknown("report format", to, FORMATS)
    chosen = FORMATS[to]
    given = {
        "--baseline": baseline is not None,
        "--with-pictures": with_pictures is not None,
        "--with-cost": with_cost and not chosen.is_data,
    }
    for option, is_given in given.items():
        if is_given and not chosen.is_document:
            raise InputError(f"{option} changes nothing in {to}. Write: sdnet-bench report to html {option}")
    if not sources.stores:
        raise InputError("A report needs a store, got none.")
    stem = chosen.stem or sources.snapshot.folder / "report"
    target = Path(f"{stem}{chosen.ending}") if output is None else path_of(output)
    if output is not None or not chosen.is_data:  # data without an output are printed
        _check_target(target, chosen, sources)
    pictures = None if with_pictures is None else path_of(with_pictures)
    content = chosen.render(sources, Options(target, baseline, with_cost, pictures))
    if isinstance(content, Path) or (chosen.is_data and output is None and isinstance(content, str)):
        return content
    return write_whole(target, content)


def _check_target(target: Path, chosen: Format, sources: Sources) -> None:
    """Refuse, with an InputError, a target that is no file name, or that would overwrite one of the sources."""
    if chosen.is_folder:
        return
    if target.is_dir() or not target.name:
        raise InputError(
            f"A report is a file, and {target} is a folder. Name a file, such as report{chosen.ending}."
        )
    beside = [target.with_suffix(ending) for ending in chosen.beside]
    if target in beside:
        raise InputError(
            f"{target} is where the rows of the page go. Name the page, such as leaderboard.html."
        )
    written = {path.resolve() for path in (target, *beside)}
    for path in sources.files:
        if path.resolve() in written:
            raise InputError(
                f"The report would overwrite {path}, which it is made from. Name another --output."
            )


def pages(snapshot: Snapshot, folder: Path, name: str) -> list[Path]:
    """Write NAME.md and NAME.html into a folder; their paths."""
    kinds = ("markdown", "html")
    return [report(snapshot, kind, output=folder / f"{name}{FORMATS[kind].ending}") for kind in kinds]

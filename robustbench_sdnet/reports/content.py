"""What a report says, in order: how to read it, the chapters of every data set, and what was run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..answers.comparisons import comparisons
from ..answers.published import published
from ..answers.rivals import rivals
from ..answers.rows import rows
from ..answers.searches import convergence, optimality
from ..answers.snapshot import Snapshot
from ..errors import InputError, unknown
from . import chapters, notices
from .citing import citing
from .conclusion import conclusion
from .document import Block, Document, Figure, Section, filled
from .evidence import evidences
from .lead import lead
from .pictures import inside
from .reading import read_results
from .results import Results
from .tables import provenance
from .tables.overview import everything
from .tables.published import published_section

READING = (
    "Accuracies are in per cent, each with its 95 % Wilson interval. n is the number of images. "
    "The interval of a mean is the mean of the intervals, which is never too narrow. "
    '"-" marks a number that was not run, or a mean over things that were not all run; '
    "the reason is given below the table. untrusted: a diagnostic of the attack failed, and the number may "
    "be far too high. Numbers in parentheses are transfer, not robust accuracy."
)


def build(
    snapshot: Snapshot, *, baseline: str | None = None, with_cost: bool = False, pictures: Path | None = None
) -> Document:
    """The whole report; an InputError for a baseline that is not in it, or no pictures of its models."""
    given, snapshot = snapshot, snapshot.told_apart
    found, compared = rows(snapshot), comparisons(snapshot)
    results = read_results(found)
    if baseline is not None:
        baseline = _told(baseline, given, snapshot)
        _check_baseline(results, baseline)
    known = evidences(found, compared, rivals(snapshot))
    sections = [*conclusion(known), *published_section(published(snapshot))]
    for data in results.data:
        prefix = "" if len(results.data) == 1 else f"{data}: "
        own = chapters.of_data(results, data, baseline)
        sections += (replace(section, title=prefix + section.title) for section in own)
    sections += chapters.searches(optimality(snapshot), convergence(snapshot))
    sections += chapters.comparisons(compared)
    if pictures is not None:
        sections += inside(pictures, {answered.cell.model.weights for answered in snapshot.answered})
    ran = provenance.in_order(snapshot.answered)
    what: list[Block | None] = [
        provenance.model_table(ran),
        provenance.data_table(ran),
        provenance.corruption_table(ran),
        provenance.attack_table(ran),
        f"Software: {provenance.versions_text(ran)}.",
        f"Cells answered: {len(ran):,}.",
        provenance.cost_table(found) if with_cost else None,
    ]
    sections += filled("What was run", what, folded=True)
    sections += [citing(snapshot), Section("How to read it", (READING,))]
    return Document(
        "Robustness report",
        tuple(_with_unique_figures(sections)),
        lead=(*lead(results, known), *notices.unfinished(snapshot), *notices.disputed(snapshot)),
        everything=everything(results),
    )


def _with_unique_figures(sections: Sequence[Section]) -> Iterator[Section]:
    """Names that became equal as file names get a number."""
    seen: Counter[str] = Counter()

    def unique(block: Block) -> Block:
        if not isinstance(block, Figure):
            return block
        seen[block.name] += 1
        count = seen[block.name]
        return block if count == 1 else replace(block, name=f"{block.name}-{count}")

    for section in sections:
        yield replace(section, blocks=tuple(map(unique, section.blocks)))


def _told(baseline: str, given: Snapshot, apart: Snapshot) -> str:
    """A baseline by the name that the report gives the model, where it was called otherwise too, and it alone."""
    names: dict[str, set[str]] = {}
    for one, told in zip(given.answered, apart.answered, strict=True):
        names.setdefault(one.cell.model.name, set()).add(told.cell.model.name)
    model, at, lam = (baseline, "", "") if baseline in names else baseline.rpartition("@")
    found = names.get(model, ())
    return f"{next(iter(found))}{at}{lam}" if len(found) == 1 else baseline


def _check_baseline(results: Results, baseline: str) -> None:
    if any(
        results.subject_named(data, baseline) or chapters.of_imagenet_c(results, baseline, data)
        for data in results.data
    ):
        return
    if baseline == "alexnet":
        raise InputError(
            "AlexNet's errors are those of ImageNet-C, and the store holds none of it: images of 224x224 with the "
            "imagenet table. Name a model of the store."
        )
    known = {subject.model for data in results.data for subject in results.subjects(data)}
    if baseline.rpartition("@")[0] in known:
        raise InputError(
            f"The store holds no results for baseline '{baseline}': that model was not run at this lambda."
        )
    raise unknown("baseline", baseline, known)

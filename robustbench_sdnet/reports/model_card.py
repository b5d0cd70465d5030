"""A model of the zoo as a card in the form of the Hugging Face hub: metadata with results, then what readers need.

Every number comes out of the zoo's index or out of a store; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import yaml
from markupsafe import Markup

from ..answers.rows import grouped, lambda_text, rows
from ..answers.snapshot import Snapshot
from ..errors import InputError
from ..wording import brief
from ..zoo.files.cards import ModelCard, read_card
from ..zoo.nets.architectures import architecture
from ..zoo.shelf.index import Entry, local_path
from .document import Table
from .numbers import Estimate, Missing, Value
from .reading import read_results
from .tables.overview import threats
from .writers.markdown import escape, table_lines
from .writers.templates import environment

DATA = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet": "ImageNet",
    "digits": "scikit-learn's digits",
}


# What an accuracy was measured under; a number of the index, or an estimate of a store; the data with its split.
Measured = tuple[str, float | Estimate, tuple[str, str]]


def model_card(entry: Entry, snapshot: Snapshot | None = None) -> str:
    """The card of a model as Markdown under YAML metadata.

    Args:
        entry: of the zoo's index.
        snapshot: of a store whose answers of exactly these weights are taken in too.

    Raises:
        InputError: the store holds no answer of these weights.
        CheckpointError: the model's file is damaged.
    """
    path = local_path(entry)
    card = read_card(path) if path else None
    stated = {"clean test images": entry.accuracy, **entry.robust}
    found: list[Measured] = [(under, share, (entry.data, "test")) for under, share in stated.items()]
    asked = [] if snapshot is None else list(_measured(entry, card, snapshot))
    found += [(under, value, data) for under, value, data in asked if isinstance(value, Estimate)]
    left_out = [
        f"No mean over {under} ({value.reason})." for under, value, _ in asked if isinstance(value, Missing)
    ]
    sparse = architecture(entry.arch).sparse != "none"
    head = yaml.safe_dump(_metadata(entry, found, sparse), sort_keys=False, allow_unicode=False, width=110)
    page = environment(escape, keep_trailing_newline=True).get_template("card.md")
    return page.render(
        entry=entry,
        data=DATA.get(entry.data, entry.data),
        summary=Markup(architecture(entry.arch).summary),
        sparse=sparse,
        metadata=Markup(head),
        results=Markup("\n".join(table_lines(_results(found, entry.note, left_out)))),
        weights=Markup("\n".join(table_lines(_weights(entry, card)))),
    )


def _measured(
    entry: Entry, card: ModelCard | None, snapshot: Snapshot
) -> Iterator[tuple[str, Value, tuple[str, str]]]:
    """The store's accuracies of these weights, or why there is none, without bounds that were chosen on test labels."""
    weights = card.weights_hash if card else None
    own = {answered.id for answered in snapshot.answered if answered.cell.model.weights == weights}
    if not own:
        raise InputError(f"The store holds no answer of the weights of '{entry.name}'.")
    found = rows(snapshot.of(own).told_apart)
    results = read_results([row for row in found if row.lam is None or not row.lam.upper_bound])
    data = {result.subject.data: (result.data.name, result.data.split) for result in results.all}
    for subject in (one for name in results.data for one in results.subjects(name)):
        for threat in threats(results, subject):
            lam = "" if subject.lam is None else f"at lambda {lambda_text(subject.lam)}"
            doubt = "untrusted" if isinstance(threat.accuracy, Estimate) and threat.accuracy.untrusted else ""
            under = ", ".join(filter(None, (threat.name, threat.by, lam, f"on {subject.data}", doubt)))
            yield under, threat.accuracy, data[subject.data]


def _metric(under: str, found: float | Estimate) -> dict[str, Any]:
    """As the metadata of the hub has it."""
    share = found.accuracy if isinstance(found, Estimate) else found
    stated = {"type": "accuracy", "name": f"Accuracy, {under}", "value": round(share, 6)}
    if isinstance(found, Estimate):
        stated["args"] = {"n": found.n, "low": round(found.low, 6), "high": round(found.high, 6)}
    return stated


def _metadata(entry: Entry, found: Sequence[Measured], sparse: bool) -> dict[str, Any]:
    results = [
        {
            "task": {"type": "image-classification", "name": "Image classification"},
            "dataset": {"type": data, "name": DATA.get(data, data), "split": split},
            "metrics": [_metric(under, number) for under, number, _ in same],
        }
        for (data, split), same in grouped(found, itemgetter(2)).items()
    ]
    return {
        "license": "apache-2.0",
        "library_name": "robustbench-sdnet",
        "pipeline_tag": "image-classification",
        "tags": ["robustness", "adversarial-robustness", *(["sparse-coding"] if sparse else [])],
        "datasets": [entry.data],
        "metrics": ["accuracy"],
        "model-index": [{"name": entry.name, "results": results}],
    }


def _results(found: Sequence[Measured], note: str, left_out: Sequence[str]) -> Table:
    lines = tuple(
        (under, value, f"{value.n:,}", "a store")
        if isinstance(value, Estimate)
        else (under, f"{100 * value:.2f}", "-", "the index")
        for under, value, _ in found
    )
    columns = ("under", "accuracy, %", "images", "from")
    notes = (*([f"The index: {note}."] if note else []), *left_out)
    return Table(columns, lines, left=(0, 3), notes=notes)


def _weights(entry: Entry, card: ModelCard | None) -> Table:
    lines = [("file", entry.source.rpartition("/")[2]), ("SHA-256 of the file", entry.sha256)]
    lines += [("weights that training began with", entry.init)] if entry.init else []
    if card:
        lines.append(("hash of the weights", card.weights_hash))
        lines += [("lambda in training", brief(card.lam))] if card.lam is not None else []
        lines += [("hash of the training images", card.data_hash)] if card.data_hash else []
        made = card.recipe.get("trained_on") if isinstance(card.recipe, Mapping) else None
        if isinstance(made, Mapping) and (speed := made.get("images_per_second")):
            how = f"{made.get('device')}, {made.get('precision')}, {speed:,.0f} images a second"
            lines.append(("trained on", how))
    return Table(("what", "which"), tuple(lines), left=(0, 1))

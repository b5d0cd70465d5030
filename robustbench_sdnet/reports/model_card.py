"""A model of the zoo as a card in the form of the Hugging Face hub: metadata with results, then what readers need.

Every number comes out of the zoo's index or out of a store; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import yaml
from markupsafe import Markup

from ..answers.rows import grouped, lambda_text, rows
from ..answers.snapshot import Snapshot
from ..errors import InputError
from ..wording import brief
from ..zoo.files.cards import ModelCard, read_card
from ..zoo.nets.architectures import architecture
from ..zoo.shelf.index import Entry, local_path
from .document import Item, Table
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


class _Stated(NamedTuple):
    """One accuracy of a model.

    Attributes:
        under: what it was measured under, in words.
        accuracy: a share that the index states, or an estimate of a store.
        data, split: the data set.
    """

    under: str
    accuracy: float | Estimate
    data: str
    split: str


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
    shares = {"clean test images": entry.accuracy, **entry.robust}
    accuracies = [_Stated(under, share, entry.data, "test") for under, share in shares.items()]
    left_out = []
    for under, value, (data, split) in () if snapshot is None else _measured(entry, card, snapshot):
        if isinstance(value, Missing):
            left_out.append(f"No mean over {under} ({value.reason}).")
        else:
            accuracies.append(_Stated(under, value, data, split))
    sparse = architecture(entry.arch).sparse != "none"
    head = yaml.safe_dump(
        _metadata(entry, accuracies, sparse), sort_keys=False, allow_unicode=False, width=110
    )
    page = environment(escape, keep_trailing_newline=True).get_template("card.md")
    return page.render(
        entry=entry,
        data=DATA.get(entry.data, entry.data),
        summary=Markup(architecture(entry.arch).summary),
        sparse=sparse,
        metadata=Markup(head),
        results=Markup("\n".join(table_lines(_results(accuracies, entry.note, left_out)))),
        weights=Markup("\n".join(table_lines(_weights(entry, card)))),
    )


def _measured(
    entry: Entry, card: ModelCard | None, snapshot: Snapshot
) -> Iterator[tuple[str, Value, tuple[str, str]]]:
    """The store's accuracies of these weights: under what, how accurate or why there is no number, data and split.

    Bounds that were chosen on test labels are left out.
    """
    weights = card.weights_hash if card else None
    cells = {answered.id for answered in snapshot.answered if answered.cell.model.weights == weights}
    if not cells:
        raise InputError(f"The store holds no answer of the weights of '{entry.name}'.")
    kept = [row for row in rows(snapshot.of(cells).told_apart) if row.lam is None or not row.lam.upper_bound]
    results = read_results(kept)
    sets = {result.subject.data: (result.data.name, result.data.split) for result in results.all}
    for data in results.data:
        for subject in results.subjects(data):
            lam = "" if subject.lam is None else f"at lambda {lambda_text(subject.lam)}"
            for threat in threats(results, subject):
                accuracy = threat.accuracy
                doubt = "untrusted" if isinstance(accuracy, Estimate) and accuracy.untrusted else ""
                under = ", ".join(filter(None, (threat.name, threat.by, lam, f"on {data}", doubt)))
                yield under, accuracy, sets[data]


def _metric(stated: _Stated) -> dict[str, Any]:
    """As the metadata of the hub has it."""
    accuracy = stated.accuracy
    share = accuracy.accuracy if isinstance(accuracy, Estimate) else accuracy
    metric = {"type": "accuracy", "name": f"Accuracy, {stated.under}", "value": round(share, 6)}
    if isinstance(accuracy, Estimate):
        metric["args"] = {"n": accuracy.n, "low": round(accuracy.low, 6), "high": round(accuracy.high, 6)}
    return metric


def _metadata(entry: Entry, accuracies: Sequence[_Stated], sparse: bool) -> dict[str, Any]:
    results = [
        {
            "task": {"type": "image-classification", "name": "Image classification"},
            "dataset": {"type": data, "name": DATA.get(data, data), "split": split},
            "metrics": [_metric(stated) for stated in same],
        }
        for (data, split), same in grouped(accuracies, attrgetter("data", "split")).items()
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


def _results(accuracies: Sequence[_Stated], note: str, left_out: Sequence[str]) -> Table:
    lines: list[tuple[Item, ...]] = []
    for under, accuracy, _, _ in accuracies:
        if isinstance(accuracy, Estimate):
            lines.append((under, accuracy, f"{accuracy.n:,}", "a store"))
        else:
            lines.append((under, f"{100 * accuracy:.2f}", "-", "the index"))
    columns = ("under", "accuracy, %", "images", "from")
    notes = (*([f"The index: {note}."] if note else []), *left_out)
    return Table(columns, tuple(lines), left=(0, 3), notes=notes)


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

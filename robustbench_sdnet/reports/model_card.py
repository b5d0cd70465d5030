"""A model of the zoo as a card in the form of the Hugging Face hub: metadata with results, then what readers need.

Every number comes out of the zoo's index or out of a store; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from markupsafe import Markup

from ..answers.rows import rows
from ..answers.snapshot import Snapshot
from ..errors import InputError
from ..zoo.files.cards import ModelCard, read_card
from ..zoo.nets.architectures import architecture
from ..zoo.shelf.index import Entry, local_path
from .document import Item, Table
from .numbers import Estimate
from .reading import read_results
from .tables.overview import everything
from .writers.markdown import escape, table_lines
from .writers.templates import environment

DATA = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet": "ImageNet",
    "digits": "scikit-learn's digits",
}


@dataclass(frozen=True, slots=True)
class _Result:
    """An accuracy and what it was measured under; `estimate` where a store holds it, else the index states it."""

    under: str
    share: float
    estimate: Estimate | None = None

    def metric(self) -> dict[str, Any]:
        """As the metadata of the hub has it."""
        stated = {"type": "accuracy", "name": f"Accuracy, {self.under}", "value": round(self.share, 6)}
        if self.estimate is None:
            return stated
        low, high = (round(end, 6) for end in (self.estimate.low, self.estimate.high))
        return {**stated, "args": {"n": self.estimate.n, "low": low, "high": high}}


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
    found = [_Result("clean test images", entry.accuracy)]
    found += [_Result(under, share) for under, share in entry.robust.items()]
    found += [] if snapshot is None else _measured(entry, card, snapshot)
    sparse = architecture(entry.arch).sparse != "none"
    head = yaml.safe_dump(_metadata(entry, found, sparse), sort_keys=False, allow_unicode=False, width=110)
    page = environment(escape, keep_trailing_newline=True).get_template("card.md")
    return page.render(
        entry=entry,
        data=DATA.get(entry.data, entry.data),
        summary=Markup(architecture(entry.arch).summary),
        sparse=sparse,
        metadata=Markup(head),
        results=Markup("\n".join(table_lines(_results(found, entry.note)))),
        weights=Markup("\n".join(table_lines(_weights(entry, card)))),
    )


def _measured(entry: Entry, card: ModelCard | None, snapshot: Snapshot) -> Iterator[_Result]:
    """The store's accuracies of these weights, without bounds that were chosen on test labels."""
    weights = card.weights_hash if card else None
    own = {answered.id for answered in snapshot.answered if answered.cell.model.weights == weights}
    if not own:
        raise InputError(f"The store holds no answer of the weights of '{entry.name}'.")
    found = rows(snapshot.of(own))
    results = read_results([row for row in found if row.lam is None or not row.lam.upper_bound])
    table = everything(results)
    for row in table.rows:
        told = dict(zip(table.columns, row, strict=True))
        number = told["accuracy"]
        if isinstance(number, Estimate):
            data = told.get("data", results.data[0])
            lam = "" if told["lambda"] == "-" else f"at lambda {told['lambda']}"
            parts = (told["threat"], told["by"], lam, f"on {data}", "untrusted" if number.untrusted else "")
            yield _Result(", ".join(str(part) for part in parts if part), number.accuracy, number)


def _metadata(entry: Entry, found: Sequence[_Result], sparse: bool) -> dict[str, Any]:
    kind = {"type": "image-classification", "name": "Image classification"}
    data = {"type": entry.data, "name": DATA.get(entry.data, entry.data), "split": "test"}
    results = [{"task": kind, "dataset": data, "metrics": [result.metric() for result in found]}]
    return {
        "license": "apache-2.0",
        "library_name": "robustbench-sdnet",
        "pipeline_tag": "image-classification",
        "tags": ["robustness", "adversarial-robustness", *(["sparse-coding"] if sparse else [])],
        "datasets": [entry.data],
        "metrics": ["accuracy"],
        "model-index": [{"name": entry.name, "results": results}],
    }


def _results(found: Sequence[_Result], note: str) -> Table:
    lines: list[tuple[Item, ...]] = []
    for result in found:
        number = result.estimate
        measured = (number, f"{number.n:,}", "a store") if number else None
        lines.append((result.under, *(measured or (f"{100 * result.share:.2f}", "-", "the index"))))
    columns = ("under", "accuracy, %", "images", "from")
    return Table(columns, tuple(lines), left=(0, 3), notes=(f"The index: {note}.",) if note else ())


def _weights(entry: Entry, card: ModelCard | None) -> Table:
    lines = [("file", entry.source.rpartition("/")[2]), ("SHA-256 of the file", entry.sha256)]
    if card:
        lines.append(("hash of the weights", card.weights_hash))
        lines += [("lambda in training", f"{card.lam:g}")] if card.lam is not None else []
        lines += [("hash of the training images", card.data_hash)] if card.data_hash else []
    return Table(("what", "which"), tuple(lines), left=(0, 1))

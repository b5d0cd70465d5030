"""What the zoo's index claims of models that were measured here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from ..errors import InputError
from ..reading.numbers import fraction
from ..specs import NORMS
from ..zoo.files.cards import read_card
from ..zoo.shelf.index import entries, local_path

# Model, data, norm, eps as a fraction, and lambda as text, empty without one.
Key = tuple[str, str, str, str, str]
Claim = tuple[float, str]  # accuracy, and where it is claimed


def of_zoo(weights: Mapping[str, str]) -> Mapping[Key, Claim]:
    """The lowest robust accuracy that the zoo's index states at each budget of the models that were measured.

    It is stated at the lambda that a model was trained at.

    Args:
        weights: names of models that were measured -> hash of their weights, empty where it is not known. A model with
            other weights than the zoo's of its name is not the zoo's.
    """
    found: dict[Key, Claim] = {}
    for entry in entries():
        path = local_path(entry) if entry.name in weights else None
        card = None if path is None else read_card(path)
        if entry.name in weights and (card is None or weights[entry.name] in ("", card.weights_hash)):
            lam = "" if card is None or card.lam is None else f"{card.lam:g}"
            for text, share in entry.robust.items():
                for norm, eps in _budgets(text):
                    key, claim = (entry.name, entry.data, norm, eps, lam), (share, f"the zoo's index: {text}")
                    found[key] = min(found.get(key, claim), claim)
    return found


def _budgets(text: str) -> Iterator[tuple[str, str]]:
    """Norms with the eps behind them, as in "pgd-20 linf 8/255 on 1000 images"."""
    words = text.replace(",", " ").split()
    for norm, eps in pairwise(words):
        if norm in NORMS:
            try:
                yield norm, str(fraction(eps, "eps"))
            except InputError:
                continue

"""Answers as pandas tables, for users: a view at the end, never a stage on the way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..reading.numbers import whole
from ..specs import DEFAULT_STORE
from ..wording import brief, shown
from .records import flat, records as flat_records
from .rows import row_of
from .snapshot import Snapshot

if TYPE_CHECKING:
    import pandas as pd

    from ..store.store import Store


def records(
    store: str | Store | Snapshot | Sequence[str | Store | Snapshot] = DEFAULT_STORE,
    *,
    only: Collection[str] | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """The results of a store, or of several taken as one, one row each, in the order of `report to json`.

    Args:
        store: an open store, its URL, or a snapshot of it, or several of these, as `report` takes them.
        only, limit: of an open store or a URL, the cells by their ids and the first images to look at; None for all.

    Returns:
        A table of these columns:
        `model`, `arch`, `data`: names of the model, of its architecture and of the data set.
        `kind`: clean, corruption, sequence, noise, attack, worst_case or transfer.
        `perturbation`: corruption or attack, with the settings that differ from the defaults.
        `severity`: of a corruption, 1 to 5 (Int64; missing elsewhere and for free levels).
        `norm`, `eps`: of an attack; eps is the text that was asked for, such as "8/255".
        `lambda`: the deployed lambda, a number or the name of a policy, with the start of its fit's hash where
        a model was asked at several; None without CSC layers.
        `lambda_attack`: the lambda that the attack took its gradients at.
        `n`, `accuracy`, `low`, `high`: number of images, the share that is right, and its 95 % Wilson interval.
        `source`: generated, or published where the corrupted images come from files.
        `verdict`: trusted, untrusted or unchecked, by the attack's diagnostics.
        `passes_forward`, `passes_backward`: passes through the model, counted per image.
        `cell`: id of the answered cell; ids joined by "+" where a row is made of several.
        `median_distance`: only where the store holds a minimal-norm attack: the distance within which half of the
        images break, in the units of eps.
        `table`: only where corruptions have other parameters than CIFAR's for 32x32 images: the parameter set.
        `stored_as`: only where corrupted images were stored as JPEG before they were shown.
        `images`: only where some answer is not of the first `n` images, as after a lost shard: which ("0-99, 200-249").
        `disputed`: only where several stores were joined and answer something otherwise: on how many images of the row,
        of a row made of several answers the most.
        `flip_probability`, `top5_distance`: only where the store holds a sequence, whose `accuracy` is the share of
        images that are right on every frame.
        `draws`, `protocol`: only where a model is randomised: fresh draws per image, and how they count.

    Raises:
        InputError: `only` is a single text, `limit` is not a number from 1 on, or no store is named.
        StoreError: the store does not exist, is damaged, or holds nothing.
    """
    import pandas as pd

    if isinstance(only, str):
        raise InputError(
            f"only takes several cells, got the text '{shown(only)}'. Write only=['{shown(only)}']."
        )
    limit = None if limit is None else whole(limit, "limit must be a whole number", 1)
    rows = flat_records(Snapshot.read(store, only=only, limit=limit))
    table: pd.DataFrame = pd.DataFrame(rows, columns=list(rows[0]))
    table["severity"] = table["severity"].astype("Int64")
    return table


def outcomes(
    store: str | Store | Snapshot | Sequence[str | Store | Snapshot] = DEFAULT_STORE,
) -> pd.DataFrame:
    """The outcome of every image, one row per image and answered cell, ordered by cell and image.

    Args:
        store: as in `records`.

    Returns:
        A table with these columns; repeated texts are categories:
        `model`, `data`, `kind`, `perturbation`, `severity`, `norm`, `eps`: as in `records`.
        `lambda`, `lambda_attack`: as in `records`, as text.
        `image`: the image's id in its data set (int64).
        `right`: right under the perturbation (bool).
        `broken_at`: the first step of the attack that broke it; -1: none did, 0: wrong without an attack (int32).
        `margin`: logit of the label minus the largest other, under the perturbation (float32).
        `lambda_used`: the lambda that the prediction was made at; NaN without CSC layers (float32).
        `residual`: |x - A z|^2 of the stem at the training lambda, on the perturbed image; NaN without CSC layers
        (float32).
        `distance`: norm of a minimal-norm attack's perturbation; NaN elsewhere (float32).
        `cell`: id of the answered cell.
        `hits`: only if a model is randomised: how many of its fresh draws are right (Int64).

    Raises:
        StoreError: the store does not exist, is damaged, or holds nothing.
    """
    import pandas as pd

    answered = Snapshot.read(store).told_apart.exact
    counts = [len(one.outcome) for one in answered]
    named = pd.DataFrame(flat(map(row_of, answered)))[[*_NAMES]]
    for name in ("lambda", "lambda_attack"):
        named[name] = named[name].map(brief, na_action="ignore")
    columns: dict[str, Any] = {
        name: pd.Categorical(named[name]).repeat(counts) for name in named if name not in ("severity", "cell")
    }
    columns["severity"] = named["severity"].astype("Int64").repeat(counts).array
    for name, array in _ARRAYS.items():
        columns[name] = np.concatenate([getattr(one.outcome, array) for one in answered])
    columns["cell"] = pd.Categorical(named["cell"]).repeat(counts)
    table: pd.DataFrame = pd.DataFrame(columns, columns=[*named.columns[:-1], *_ARRAYS, "cell"])
    if any(one.outcome.hits is not None for one in answered):
        hits = [pd.Series(one.outcome.hits, range(len(one.outcome)), "Int64") for one in answered]
        table["hits"] = pd.concat(hits).array
    return table


_NAMES = (
    "model", "data", "kind", "perturbation", "severity", "norm", "eps", "lambda", "lambda_attack", "cell",
)  # fmt: skip
# Column -> the array of an outcome that it holds.
_ARRAYS = {
    "image": "ids",
    "right": "right",
    "broken_at": "broken_at",
    "margin": "margin",
    "lambda_used": "lam",
    "residual": "residual",
    "distance": "distance",
}

"""The rows of a leaderboard, out of its sources: stores, records, and RobustBench's `model_info`, which is quoted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from ..answers.records import records
from ..answers.rows import grouped
from ..answers.trust import UNTRUSTED
from ..attacks.registry import last_stages
from ..errors import InputError
from ..planning.chains import is_stage, whole_name
from ..reading.numbers import fraction, number, whole
from ..reading.structured import mapping, read_json
from ..specs import NORMS, SEVERITIES, AttackSpec, Eps
from ..specs.lambdas import is_upper_bound
from ..specs.perturbations import without_seed
from ..wording import brief, natural
from .results import DIRECT
from .tables.corruptions import MAIN, levels_text

LARGEST = 256 * 2**20  # bytes of a file of records


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row.

    Attributes:
        lam: the deployed lambda as text; empty without CSC layers.
        accuracy, low, high, n, by: the best known (lowest) accuracy at the budget, and which attack left it; for quoted
            rows the lowest that is stated, without interval.
        autoattack, clean, corruptions: accuracies; corruptions is the mean over all that were run at a severity, of the
            origin (generated or published, with parameters and storage) and number of images that most were run of, as
            `corruptions_over` says. None: not run.
        reported: what an author claims, with its `source`: a list that names the model, or the zoo's index.
        untrusted: a diagnostic failed, or the list calls it unreliable; `autoattack_untrusted` of that accuracy.
        disputed: sources answer it otherwise on as many images; not what a randomised model draws anew (`drawn`).
        quoted: taken from a list, not measured here.
        hash: of the weights; empty where records do not hold it.
        cell: id of the answer that `accuracy` is of, which hashes the model and all that it was asked.
        ran_by: the source that it was read from.
    """

    model: str
    arch: str
    data: str
    lam: str
    norm: str
    eps: str
    accuracy: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    by: str = ""
    autoattack: float | None = None
    clean: float | None = None
    corruptions: float | None = None
    corruptions_over: str = ""
    reported: float | None = None
    source: str = ""
    untrusted: bool = False
    autoattack_untrusted: bool = False
    disputed: bool = False
    drawn: bool = False
    quoted: bool = False
    hash: str = ""
    cell: str = ""
    ran_by: str = ""


class _Corruption(NamedTuple):
    """What a mean over corruptions may be over: those of one origin, where images come from and which, and one `n`."""

    name: str
    severity: int
    origin: str
    n: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class _Measured:
    """One measured accuracy as an entry of its own.

    Attributes:
        kind: of the record, one of `answers.rows.KINDS`.
        attack: the perturbation's name as that of an attack.
        corruption: None unless it is of a corruption at a severity.
    """

    entry: Entry
    kind: str
    attack: AttackSpec
    corruption: _Corruption | None

    @property
    def rank(self) -> tuple[Any, ...]:
        """The first of a budget stands for it, as in tables: of the accuracies on the most images the lowest."""
        entry = self.entry
        return -(entry.n or 0), entry.accuracy, self.kind != "worst_case", is_stage(self.attack), entry.by


def entries_of(source: str) -> Iterator[Entry]:
    """Rows of a store, which is read as the records it would write, or of a JSON file."""
    raw: Any
    if source.endswith(".json"):
        raw, name = read_json(Path(source), limit=LARGEST), Path(source).name
    else:
        raw, name = records(source, with_cost=True), source.rpartition("/")[2]
    if isinstance(raw, Mapping):
        yield from _quoted(raw, name, Path(source).absolute().parent.name)
    elif isinstance(raw, list):
        yield from (replace(entry, ran_by=name) for entry in _ranked(raw, name))
    else:
        raise InputError(f"{Path(source)} holds neither records nor RobustBench's model_info.")


def _measured(raw: Sequence[Any], source: str) -> Iterator[_Measured]:
    """The accuracies of result records; an InputError for a missing field or a value that it cannot have."""
    for position, item in enumerate(raw):
        record = mapping(item, f"record {position} of {source}")
        try:
            eps = record["eps"]
            known: dict[str, Any] = {key: str(record[key]) for key in ("model", "arch", "data", "cell")}
            for key in ("accuracy", "low", "high"):
                known[key] = number(record[key], f"{key} must lie in 0 to 1", 0, 1)
            kind, attack = str(record["kind"]), _attack(str(record["perturbation"]))
            name, n = whole_name(attack), whole(record["n"], "n must be a whole number", 1)
            entry = Entry(
                **known,
                lam=brief(record["lambda"]),
                norm=str(record["norm"] or ""),
                eps="" if eps is None else budget(eps, "eps must be a number"),
                n=n,
                by=f"worst case of {name}" if kind == "worst_case" else name,
                untrusted=record["verdict"] == UNTRUSTED,
                disputed=bool(record.get("disputed")),
                drawn=bool(record.get("draws")),
                hash=str(record.get("weights", "")),
            )
            yield _Measured(entry, kind, attack, _corruption(record, n, entry.accuracy))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Record {position} of {source} is not a result record: {str(error).rstrip('.')}."
            ) from None


def _corruption(record: Mapping[str, Any], n: int, accuracy: float) -> _Corruption | None:
    if record["severity"] is None:
        return None
    severity = whole(record["severity"], "severity must be a whole number", 1, max(SEVERITIES))
    origin = (str(record[key]) for key in ("source", "table", "stored_as", "images") if record.get(key))
    return _Corruption(str(record["perturbation"]), severity, ", ".join(origin), n, accuracy)


def _mean_corruption(measured: Iterable[_Measured]) -> tuple[float | None, str]:
    """The mean over corruptions of one origin and number of images, never of several, and what it is over, in words."""
    corruptions = (one.corruption for one in measured if one.corruption)
    by_origin = grouped(corruptions, lambda corruption: (corruption.n, corruption.origin))
    if not by_origin:
        return None, ""
    _, origin = largest = max(by_origin, key=lambda key: (len(by_origin[key]), key))
    averaged = list(_without_lone_seeds(by_origin[largest]))
    if {one.name for one in averaged} >= set(MAIN):  # lists are over these alone
        averaged = [one for one in averaged if one.name in MAIN]
    names = sorted({one.name for one in averaged}, key=natural)
    levels = sorted({one.severity for one in averaged})
    over = [f"the {len(MAIN)}" if set(names) == set(MAIN) else ", ".join(names), levels_text(levels)]
    if len(averaged) < len(names) * len(levels):
        over.append(f"{len(averaged)} of these alone")
    if origin != "generated":
        over.append(origin)
    return fmean(one.accuracy for one in averaged), "; ".join(over)


def _without_lone_seeds(corruptions: Sequence[_Corruption]) -> Iterator[_Corruption]:
    """The same without the seed in a name where none has another seed, as tables name them."""
    names = {one.name for one in corruptions}
    seeds = Counter(map(without_seed, names))
    for one in corruptions:
        plain = without_seed(one.name)
        yield one._replace(name=plain) if seeds[plain] == 1 else one


def _attack(name: str) -> AttackSpec:
    """An attack by its name in records: a stage of a chain is the last part of it."""
    chain, _, stage = name.rpartition("/")
    if last_stages(chain.partition("(")[0]):
        return AttackSpec(name=stage, eps=None, chain=chain)
    return AttackSpec(name=name, eps=None)


def _ranked(raw: Sequence[Any], source: str) -> Iterator[Entry]:
    """One entry for each model, lambda and budget of result records, with what else they hold of that model."""
    measured = (one for one in _measured(raw, source) if not is_upper_bound(one.entry.lam))
    subject = attrgetter(*(f"entry.{name}" for name in ("model", "arch", "data", "lam", "hash")))
    for of_subject in grouped(measured, subject).values():
        clean = next((one.entry.accuracy for one in of_subject if one.kind == "clean"), None)
        corrupted, over = _mean_corruption(of_subject)
        attacked = [one for one in of_subject if one.kind in DIRECT and one.entry.eps]
        for at_budget in grouped(attacked, lambda one: (one.entry.norm, one.entry.eps)).values():
            ranked = sorted(at_budget, key=attrgetter("rank"))
            chains = (one for one in ranked if whole_name(one.attack).startswith("autoattack"))
            standard = next((one.entry for one in chains if not is_stage(one.attack)), None)
            yield replace(
                ranked[0].entry,
                autoattack=standard.accuracy if standard else None,
                autoattack_untrusted=standard is not None and standard.untrusted,
                clean=clean,
                corruptions=corrupted,
                corruptions_over=over,
            )


def budget(stated: object, rule: str) -> str:
    """A budget as text: one that is a rounded multiple of 1/255 is that multiple."""
    exact = fraction(str(stated), rule)
    near = Fraction(round(255 * exact), 255)
    return Eps(near if abs(exact - near) < Fraction(1, 10**6) else exact).text


def _quoted(raw: Mapping[str, Any], source: str, folder: str) -> Iterator[Entry]:
    """Rows of RobustBench's model_info: one model, or several by name; there the folder alone says the norm."""
    models = {source: raw} if "name" in raw else raw
    for key, item in models.items():
        info = mapping(item, f"'{key}' of {source}")
        attacked = (_share(info, key, source) for key in ("autoattack_acc", "external"))
        known = [share for share in attacked if share is not None]
        stated = min(known, default=_share(info, "reported", source))
        if stated is None or info.get("eps") is None:
            continue  # a model of the corruptions list
        norm = str(info.get("norm", info.get("threat_model", folder))).lower()
        yield Entry(
            model=str(info.get("name", key)),
            arch=str(info.get("architecture", "")),
            data=str(info.get("dataset", "")),
            lam="",
            norm=norm if norm in NORMS else "linf",
            eps=budget(info["eps"], f"eps of '{key}' in {source} must be a number such as 8/255"),
            accuracy=stated,
            by="as stated",
            autoattack=_share(info, "autoattack_acc", source),
            clean=_share(info, "clean_acc", source),
            corruptions=_share(info, "corruptions_acc", source),
            reported=_share(info, "reported", source),
            source=str(info.get("link", "")),
            untrusted=info.get("unreliable") is True,
            quoted=True,
            ran_by=source,
        )


def _share(info: Mapping[str, Any], key: str, source: str) -> float | None:
    value = info.get(key)
    rule = f"{key} in {source} must lie in 0 to 100 per cent"
    return None if value in (None, "") else round(number(value, rule, 0, 100) / 100, 8)

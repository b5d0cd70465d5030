"""What exactly was run: models, data, perturbations with every parameter, software, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from ...answers.answered import Answered
from ...answers.rows import Row, eps_order, grouped, lambda_order, lambda_text
from ...specs import AttackSpec, CorruptionSpec, LambdaSpec, SequenceSpec
from ...wording import natural
from ..document import Table
from ..results import distinct, is_named, listed

HASH_DIGITS = 16


def in_order(answered: Iterable[Answered]) -> list[Answered]:
    """By model, data, perturbation and cell."""

    def order(one: Answered) -> tuple[Any, ...]:
        names = one.cell.model.name, one.cell.data.label, one.cell.perturbation.label
        return *map(natural, names), one.id

    return sorted(answered, key=order)


def model_table(answered: Sequence[Answered]) -> Table:
    """Name, architecture, hash of the weights, and the lambdas that were asked."""
    found = []
    asked = grouped(answered, lambda a: (a.cell.model.name, a.cell.model.arch, a.cell.model.weights))
    for (model, arch, weights), same in asked.items():
        found.append((model, arch, weights[:HASH_DIGITS], _lambdas(same)))
    drawn = distinct(_drawn(a) for a in answered if a.cell.model.repeats)
    columns = ("model", "architecture", "weights (SHA-256)", "lambda")
    return Table(columns, tuple(found), left=(0, 1, 2, 3), notes=drawn)


def _drawn(answered: Answered) -> str:
    model = answered.cell.model
    free = dict(model.options).get("unseeded")
    repeated = "and not repeatable, since its draws follow no seed" if free else "seeded by cell and shard"
    counted = model.repeats
    assert counted is not None  # narrows the type: it is randomised
    mean = counted.protocol == "mean"
    majority = "counts the majority of draws, so that it may lie above their mean, and " if mean else ""
    return (
        f"{model.name} is randomised: each final image counts {counted.rule}, {repeated}. A worst case "
        f"{majority}comes out lower by chance, and the more so the more attacks it covers."
    )


def data_table(answered: Sequence[Answered]) -> Table:
    """Name, hash of images and labels, and the number of images that were asked for."""
    asked = grouped(answered, attrgetter("cell.data.label", "cell.data.content"))
    found = ((name, content[:HASH_DIGITS], _counts(same)) for (name, content), same in asked.items())
    return Table(("data", "content (SHA-256)", "images"), tuple(found), left=(0, 1))


def corruption_table(answered: Sequence[Answered]) -> Table:
    """Every corruption and sequence with its severities, source, seed and algorithm version."""
    groups: dict[tuple[str, ...], list[Answered]] = {}
    for a in answered:
        spec = a.cell.perturbation
        if isinstance(spec, SequenceSpec):
            name, source = f"{spec.label}, a sequence", "generated"
        elif isinstance(spec, CorruptionSpec) and a.cell.kind == "corruption":
            name, source = spec.label, spec.origin
        else:
            continue
        groups.setdefault((name, source, str(spec.seed), str(spec.version)), []).append(a)
    found = []
    for (name, *key), same in groups.items():
        severities = {getattr(a.cell.perturbation, "severity", None) or 0 for a in same}
        found.append((name, _span(sorted(severities)), *key, _models(same), _counts(same)))
    columns = ("corruption", "severity", "source", "seed", "version", "models", "n")
    return Table(columns, tuple(found), left=(0, 2))


def attack_table(answered: Sequence[Answered]) -> Table:
    """Every attack and noise with its budgets and lambdas; its parameters in a note."""
    attacked = ((a, a.cell.perturbation) for a in answered if isinstance(a.cell.perturbation, AttackSpec))
    groups = grouped(
        attacked, lambda p: (p[1].label, p[0].cell.kind, p[1].norm, p[0].cell.precision, _settings(p[1]))
    )
    found, notes = [], []
    for (name, kind, norm, precision, settings), pairs in groups.items():
        same = [a for a, _ in pairs]
        budgets = sorted({spec.eps for _, spec in pairs}, key=eps_order)
        eps = ", ".join(str(one or "-") for one in budgets)
        found.append((name, kind, norm, eps, _lambdas(same), precision, _models(same), _counts(same)))
        # In another norm an attack may be of another version, or take other steps.
        of_norm = f", {norm}" if len({key[-1] for key in groups if key[:2] == (name, kind)}) > 1 else ""
        notes.append(f"{name} ({kind}{of_norm}): {settings}")
    columns = ("perturbation", "kind", "norm", "eps", "lambda", "search", "models", "n")
    return Table(columns, tuple(found), left=(0, 1, 2, 3, 4, 5), notes=distinct(notes))


def versions_text(answered: Sequence[Answered]) -> str:
    """The software that answered."""
    found = {_pairs(versions) for a in answered for versions in a.cost.versions if versions}
    return "; ".join(sorted(found)) or "not recorded"


def cost_table(rows: Iterable[Row]) -> Table:
    """Device, threads, seconds, memory and passes by model and perturbation, over all severities, eps and lambdas."""
    # Rows made of several cells (worst case, oracle) cost nothing of their own.
    single = (row for row in rows if len(row.cells) == 1)
    groups = grouped(single, lambda row: (row.model.name, row.data.label, row.perturbation.label))
    found = []
    for (model, data, name), same in groups.items():
        memory = [row.cost.memory_mib for row in same if row.cost.memory_mib is not None]
        devices = ", ".join(distinct(device for row in same for device in row.cost.devices))
        threads = ", ".join(map(str, sorted({count for row in same for count in row.cost.threads}))) or "-"
        seconds = f"{sum(row.cost.seconds for row in same):,.1f}"
        most = f"{max(memory):,.0f}" if memory else "-"
        passes = (sum(row.cost.forwards for row in same), sum(row.cost.backwards for row in same))
        found.append(
            (model, data, name, devices, threads, seconds, most, *(f"{count:,}" for count in passes))
        )
    columns = (
        "model", "data", "perturbation", "device", "threads", "seconds", "MiB", "forwards", "backwards",
    )  # fmt: skip
    return Table(columns, tuple(found), left=(0, 1, 2, 3))


def _settings(spec: AttackSpec) -> str:
    """Every parameter of an attack but those that stand in columns of their own."""
    return _pairs({"seed": spec.seed, "version": spec.version, **dict(spec.params)})


def _lambdas(answered: Iterable[Answered]) -> str:
    values = sorted({a.cell.lam for a in answered}, key=lambda_order)
    numbers: list[LambdaSpec | None] = [lam for lam in values if lam and not is_named(lam)]
    if len(numbers) < 5:
        return listed(values)
    span = f"{lambda_text(numbers[0])} to {lambda_text(numbers[-1])} ({len(numbers)})"
    return ", ".join([span, *(lambda_text(lam) for lam in values if is_named(lam))])


def _span(severities: Sequence[int]) -> str:
    if severities == list(range(severities[0], severities[-1] + 1)) and len(severities) > 1:
        return f"{severities[0]}-{severities[-1]}"
    return ", ".join(str(severity) if severity else "-" for severity in severities)


def _models(answered: Iterable[Answered]) -> str:
    return str(len({(a.cell.model.name, a.cell.model.weights) for a in answered}))


def _counts(answered: Iterable[Answered]) -> str:
    return ", ".join(f"{n:,}" for n in sorted({len(a.outcome) for a in answered}))


def _pairs(found: Mapping[str, object]) -> str:
    """Names with their values, in order, without those that have none."""
    return ", ".join(f"{name} {value}" for name, value in sorted(found.items()) if value is not None)

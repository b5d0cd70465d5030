"""What exactly was run: models, data, perturbations with every parameter, software, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..document import Table
from ..results import distinct, eps_value, lambda_order, lambda_text

Row = Mapping[str, Any]
# Parameters that vary along the axis of a table, and so stand in columns of their own.
AXES = ("norm", "eps", "severity", "level")
HASH_DIGITS = 16


def model_table(rows: Sequence[Row]) -> Table:
    """Name, architecture, hash of the weights, and the lambdas that were asked."""
    found = []
    for model, arch, weights in distinct((row["model"], row["arch"], row["weights"]) for row in rows):
        lambdas = _lambdas(row for row in rows if (row["model"], row["weights"]) == (model, weights))
        found.append((model, arch, weights[:HASH_DIGITS], lambdas))
    return Table(("model", "architecture", "weights (SHA-256)", "lambda"), tuple(found), left=(0, 1, 2, 3))


def data_table(rows: Sequence[Row]) -> Table:
    """Name, hash of images and labels, and the number of images that were asked for."""
    found = []
    for name, content in distinct((row["data"], row["data_hash"]) for row in rows):
        counts = sorted({row["n"] for row in rows if row["data_hash"] == content})
        found.append((name, content[:HASH_DIGITS], ", ".join(f"{n:,}" for n in counts)))
    return Table(("data", "content (SHA-256)", "images"), tuple(found), left=(0, 1))


def corruption_table(rows: Sequence[Row]) -> Table | None:
    """Every corruption with its severities, source, seed and algorithm version."""
    found = []
    kept = [row for row in rows if row["kind"] == "corruption"]
    for key in distinct(map(_corruption_key, kept)):
        same = [row for row in kept if _corruption_key(row) == key]
        severities = sorted({row["parameters"].get("severity") or 0 for row in same})
        found.append((key[0], _span(severities), *map(str, key[1:]), _models(same), _counts(same)))
    columns = ("corruption", "severity", "source", "seed", "version", "models", "n")
    return Table(columns, tuple(found), left=(0, 2)) if found else None


def attack_table(rows: Sequence[Row]) -> Table | None:
    """Every attack and noise with its budgets and lambdas; its parameters in a note."""
    kept = [row for row in rows if row["kind"] in ("attack", "noise", "transfer")]
    found, notes = [], []
    for key in distinct(map(_attack_key, kept)):
        same = [row for row in kept if _attack_key(row) == key]
        budgets = sorted({row["parameters"].get("eps", "-") for row in same}, key=eps_value)
        kind, name, norm, precision, settings = key
        budgets_text = ", ".join(budgets)
        found.append(
            (name, kind, norm, budgets_text, _lambdas(same), precision, _models(same), _counts(same))
        )
        notes.append(f"{name} ({kind}): {settings}")
    columns = ("perturbation", "kind", "norm", "eps", "lambda", "search", "models", "n")
    return Table(columns, tuple(found), left=(0, 1, 2, 3, 4, 5), notes=distinct(notes)) if found else None


def versions_text(rows: Sequence[Row]) -> str:
    """The software that answered."""
    found = sorted({_text(row["versions"]) for row in rows if row.get("versions")})
    return "; ".join(found) or "not recorded"


def cost_table(records: Sequence[Row]) -> Table:
    """Seconds, memory and passes by model and perturbation, over all severities, eps and lambdas."""
    found = []
    # Records made of several cells ("a+b": worst case, oracle) cost nothing of their own.
    kept = [row for row in records if "+" not in row["cell"]]
    for model, data, name in distinct((row["model"], row["data"], row["perturbation"]) for row in kept):
        same = [r for r in kept if (r["model"], r["data"], r["perturbation"]) == (model, data, name)]
        memory = [row["memory_mib"] for row in same if row.get("memory_mib") is not None]
        found.append(
            (
                model,
                name,
                ", ".join(distinct(_text(row.get("device", "-")) for row in same)),
                f"{sum(row.get('seconds') or 0 for row in same):,.1f}",
                f"{max(memory):,.0f}" if memory else "-",
                f"{sum(row['passes_forward'] for row in same):,}",
                f"{sum(row['passes_backward'] for row in same):,}",
            )
        )
    columns = ("model", "perturbation", "device", "seconds", "MiB", "forwards", "backwards")
    return Table(columns, tuple(found), left=(0, 1, 2))


def _corruption_key(row: Row) -> tuple[Any, ...]:
    details = row["parameters"]
    return (
        row["perturbation"],
        details.get("source", "-"),
        details.get("seed", "-"),
        details.get("version", "-"),
    )


def _attack_key(row: Row) -> tuple[str, ...]:
    details = row["parameters"]
    settings = ", ".join(f"{name} {_text(details[name])}" for name in sorted(details) if name not in AXES)
    return row["kind"], row["perturbation"], details.get("norm", "-"), row["precision"], settings


def _lambdas(rows: Iterable[Row]) -> str:
    values = sorted({row["lambda"] for row in rows}, key=lambda_order)
    numbers = [value for value in values if isinstance(value, float | int)]
    if len(numbers) < 5:
        return ", ".join(map(lambda_text, values))
    span = f"{lambda_text(numbers[0])} to {lambda_text(numbers[-1])} ({len(numbers)})"
    return ", ".join([span, *(lambda_text(value) for value in values if value not in numbers and value)])


def _span(severities: Sequence[int]) -> str:
    if severities == list(range(severities[0], severities[-1] + 1)) and len(severities) > 1:
        return f"{severities[0]}-{severities[-1]}"
    return ", ".join(str(severity) if severity else "-" for severity in severities)


def _models(rows: Iterable[Row]) -> str:
    return str(len({(row["model"], row["weights"]) for row in rows}))


def _counts(rows: Iterable[Row]) -> str:
    return ", ".join(f"{n:,}" for n in sorted({row["n"] for row in rows}))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value[key]}" for key in sorted(value))
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)

"""Records as tables that fit a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..corruptions.sequences.members import MAIN
from ..specs import distance_text, norm_facts

Record = dict[str, Any]
SCREEN = 60  # lines


def table(rows: Sequence[Record]) -> str:
    """Records as tables that fit a terminal: corruptions by severity, everything else one line an answer."""
    corruptions = [row for row in rows if row["kind"] == "corruption"]
    sequences = [row for row in rows if row["kind"] == "sequence"]
    others = [row for row in rows if row["kind"] not in ("corruption", "sequence")]
    parts = [_answers(others), _severities(corruptions), _sequences(sequences)]
    return "\n\n".join(part for part in parts if part) or "Nothing was asked."


def _answers(rows: Sequence[Record]) -> str:
    from tabulate import tabulate

    lines = [
        (
            row["model"],
            row["kind"].replace("_", " "),
            row["perturbation"],
            _budget(row),
            _text(row["lambda"]),
            _text(row["lambda_attack"]) if row["kind"] == "transfer" else "",
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['low']:.1f}-{100 * row['high']:.1f}",
            distance(row),
            row["n"],
            "untrusted" if row["verdict"] == "untrusted" else "",
        )
        for row in rows
    ]
    headers = ["model", "kind", "perturbation", "eps", "lambda", "made at", "acc. %", "95 %"]
    headers += ["median dist.", "n", ""]
    aligned = ("left", "left", "left", *("right",) * 7, "left")
    kept = [
        i
        for i, name in enumerate(headers)
        if name in ("model", "n", "95 %") or any(line[i] for line in lines)
    ]
    return (
        tabulate(
            [[line[i] for i in kept] for line in lines],
            headers=[headers[i] for i in kept],
            colalign=[aligned[i] for i in kept],
            disable_numparse=True,
        )
        if lines
        else ""
    )


def _severities(rows: Sequence[Record]) -> str:
    """Accuracy in % by severity; where that is too long for a screen, the mean over the corruptions alone."""
    from tabulate import tabulate

    names = list(dict.fromkeys(row["perturbation"] for row in rows))
    severities = sorted({row["severity"] or 0 for row in rows})
    questions = dict.fromkeys((row["model"], _text(row["lambda"]), row["n"]) for row in rows)
    found = {
        (row["model"], _text(row["lambda"]), row["n"], row["perturbation"], row["severity"] or 0): row[
            "accuracy"
        ]
        for row in rows
    }
    whole = len(names) * len(questions) <= SCREEN
    lines = []
    for question in questions:
        for chosen in [[name] for name in names] if whole else [names]:
            means = [
                _mean([found.get((*question, name, severity)) for name in chosen]) for severity in severities
            ]
            label = chosen[0] if whole else f"mean of {len(names)}"
            cells = [*means, _mean(means)] if len(severities) > 1 else means
            lines.append([*question[:2], label, *(_percent(value) for value in cells), question[2]])
    columns = [str(severity) if severity else "acc. %" for severity in severities]
    headers = ["model", "lambda", "corruption", *columns, *(["mean"] if len(columns) > 1 else []), "n"]
    aligned = ["left", "right", "left", *["right"] * (len(headers) - 3)]
    return tabulate(lines, headers=headers, colalign=aligned, disable_numparse=True) if lines else ""


def _sequences(rows: Sequence[Record]) -> str:
    """Flips and top-5 distances, and their means over the ten published sequences where all were run."""
    from tabulate import tabulate

    lines = []
    for question in dict.fromkeys((row["model"], _text(row["lambda"]), row["n"]) for row in rows):
        here = [row for row in rows if (row["model"], _text(row["lambda"]), row["n"]) == question]
        steady = {row["perturbation"]: (row["flip_probability"], row["top5_distance"]) for row in here}
        if all(name in steady for name in MAIN):
            pairs = [steady[name] for name in MAIN]
            steady["mean of the ten"] = (sum(a for a, _ in pairs) / 10, sum(b for _, b in pairs) / 10)
        lines += [
            [*question[:2], name, f"{100 * flips:.2f}", f"{distance:.3f}", question[2]]
            for name, (flips, distance) in steady.items()
        ]
    headers = ["model", "lambda", "sequence", "flips %", "top-5 dist.", "n"]
    aligned = ["left", "right", "left", *["right"] * 3]
    return tabulate(lines, headers=headers, colalign=aligned, disable_numparse=True) if lines else ""


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of what was all run, or None."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _budget(row: Record) -> str:
    if row["eps"] is not None:
        return f"{row['eps']}" if norm_facts(row["norm"]).unit else f"{row['eps']} {row['norm']}"
    return _text(row["severity"])


def distance(row: Record) -> str:
    """The median distance of a minimal-norm attack, Linf in pixel levels."""
    if row["kind"] != "attack" or row["eps"] is not None or "median_distance" not in row:
        return ""
    text = distance_text(row["median_distance"], row["norm"])
    return text if text == "-" else f"{text} {row['norm']}"


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
